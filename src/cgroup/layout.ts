// SPDX-License-Identifier: Apache-2.0
// Limits of a pod → the cgroups to make, the texts to write into them, and which app joins which. Pure: what the
// machine has comes in as facts (see limit-facts.ts), and apply-layout.ts does what is planned here.
//
// v1: a controller is touched only when a limit needs it. OWN/POD bounds the pod, OWN/POD/APP one app; PID 1 of the
// pod stays outside. v2: a cgroup with controllers for its children holds no processes ("no internal processes",
// cgroup-v2.rst), so that every app gets POD/APP and PID 1 gets POD/pod.init, which no app's name can be.
import { join, relative } from "node:path";
import type { Hierarchies } from "./hierarchies.ts";
import { scopeName } from "./pod-cgroup.ts";
import {
  boundBy,
  type Controller,
  controllersOf,
  type Limits,
  type Setting,
  settingsV1,
  settingsV2,
  V1_NAME,
} from "./settings.ts";

export interface PodLimits {
  readonly uuid: string;
  readonly pod: Limits;
  readonly apps: readonly { readonly name: string; readonly limits: Limits }[];
}

/** A cgroup v2 directory in which the pod's could be made. */
export interface UnifiedParent {
  readonly directory: string;
  /** The hierarchy's root: it may hold processes and have controllers for its children. */
  readonly root: boolean;
  /** `cgroup.controllers`. */
  readonly controllers: readonly string[];
  /** `cgroup.subtree_control`. */
  readonly enabled: readonly string[];
  /** It holds processes of its own. */
  readonly populated: boolean;
  /** `cgroup.subtree_control` may be written and directories made. */
  readonly writable: boolean;
}

export interface LimitFacts {
  readonly hierarchies: Hierarchies;
  /** This process's cgroup v2 first, then those above it. Empty without cgroup v2. */
  readonly parents: readonly UnifiedParent[];
  /** "MAJOR:MINOR" of every disk. */
  readonly devices: readonly string[];
}

export interface Write extends Setting {
  /** Absolute. */
  readonly directory: string;
  /** Undefined: for the pod. */
  readonly app: string | undefined;
}

/** What is made in one hierarchy: all of it, or, when that fails, nothing. */
export interface HierarchyLayout {
  readonly version: 1 | 2;
  readonly controllers: readonly Controller[];
  /** To make, parents first. */
  readonly directories: readonly string[];
  /** In this order, when the directories exist. */
  readonly writes: readonly Write[];
  /** App → the directory that its processes join. */
  readonly apps: ReadonlyMap<string, string>;
  /** v2: where PID 1 of the pod is started. */
  readonly init: string | undefined;
  /** v2: the pod's directory below the mount point, for the pod's file `subcgroup`. */
  readonly subcgroup: string | undefined;
}

/** An isolator that is not kept, and why. */
export interface Unenforced {
  /** Undefined: an isolator of the pod. */
  readonly app: string | undefined;
  readonly isolator: string;
  readonly reason: string;
}

export interface Layout {
  readonly hierarchies: readonly HierarchyLayout[];
  readonly unenforced: readonly Unenforced[];
}

/** PID 1 of the pod in cgroup v2. A name with a dot is no app's. */
export const INIT_CGROUP = "pod.init";

/** Which isolators need a controller, for the sentence when it is missing. */
export function isolatorsFor(controller: Controller, limits: Limits): readonly string[] {
  const devices = ["0:0"];
  return [...new Set(settingsV2(controller, limits, devices).map((setting) => setting.isolator))];
}

interface Part {
  readonly name: string | undefined;
  readonly limits: Limits;
}

/** The pod, then its apps, each within the pod's limits. */
function partsOf(request: PodLimits): Part[] {
  return [
    { name: undefined, limits: request.pod },
    ...request.apps.map(({ name, limits }) => ({ name, limits: boundBy(limits, request.pod) })),
  ];
}

function neededControllers(parts: readonly Part[]): Controller[] {
  return [...new Set(parts.flatMap((part) => controllersOf(part.limits)))];
}

/** The nearest cgroup v2 that can hold the pod with these controllers. */
function chooseParent(
  parents: readonly UnifiedParent[],
  controllers: readonly Controller[],
): UnifiedParent | undefined {
  return parents.find((parent) => {
    if (!parent.writable) return false;
    if (controllers.every((name) => parent.enabled.includes(name))) return true;
    const may = controllers.every((name) => parent.controllers.includes(name));
    return may && (parent.root || !parent.populated);
  });
}

function layoutV1(
  controllers: readonly Controller[],
  own: string,
  request: PodLimits,
  facts: LimitFacts,
): HierarchyLayout {
  const pod = join(own, scopeName(request.uuid));
  const [all, ...apps] = partsOf(request);
  const has = (part: Part) => controllersOf(part.limits).some((name) => controllers.includes(name));
  // Where the pod is bounded every app is in it; else only those that have a limit.
  const members = all !== undefined && has(all) ? apps : apps.filter(has);
  const writes = (directory: string, { name, limits }: Part): Write[] =>
    controllers.flatMap((controller) =>
      settingsV1(controller, limits, facts.devices).map((s) => ({ ...s, directory, app: name })),
    );
  const at = (part: Part) => join(pod, part.name ?? "");
  return {
    version: 1,
    controllers,
    directories: [pod, ...members.map(at)],
    writes: [
      ...(all === undefined ? [] : writes(pod, all)),
      ...members.flatMap((m) => writes(at(m), m)),
    ],
    apps: new Map(members.map((member) => [member.name ?? "", at(member)])),
    init: undefined,
    subcgroup: undefined,
  };
}

function layoutV2(
  controllers: readonly Controller[],
  parent: UnifiedParent,
  request: PodLimits,
  facts: LimitFacts,
): HierarchyLayout {
  const pod = join(parent.directory, scopeName(request.uuid));
  const parts = partsOf(request);
  const apps = request.apps.map(({ name }) => name);
  const missing = controllers.filter((name) => !parent.enabled.includes(name));
  const enable = (directory: string, names: readonly Controller[]): Write[] =>
    names.length === 0
      ? []
      : [
          {
            directory,
            file: "cgroup.subtree_control",
            text: names.map((name) => `+${name}`).join(" "),
            isolator: "",
            app: undefined,
          },
        ];
  const writes = parts.flatMap(({ name, limits }): Write[] => [
    ...controllers.flatMap((controller) =>
      settingsV2(controller, limits, facts.devices).map((setting) => ({
        ...setting,
        directory: join(pod, name ?? ""),
        app: name,
      })),
    ),
    // The pod is the first part: its children get their files here.
    ...(name === undefined ? enable(pod, controllers) : []),
  ]);
  const init = join(pod, INIT_CGROUP);
  return {
    version: 2,
    controllers,
    directories: [pod, init, ...apps.map((name) => join(pod, name))],
    writes: [...enable(parent.directory, missing), ...writes],
    apps: new Map(apps.map((name) => [name, join(pod, name)])),
    init,
    subcgroup: relative(facts.hierarchies.unified?.mountPoint ?? "/", pod),
  };
}

function missing(parts: readonly Part[], controller: Controller, reason: string): Unenforced[] {
  return parts.flatMap(({ name, limits }) =>
    isolatorsFor(controller, limits).map((isolator) => ({ app: name, isolator, reason })),
  );
}

/** Where each limit goes; those that have no place are in `unenforced`. */
export function planLayout(request: PodLimits, facts: LimitFacts): Layout {
  const parts = partsOf(request);
  const unenforced: Unenforced[] = [];
  const v1 = new Map<string, Controller[]>();
  const v2: Controller[] = [];
  const offered = new Set(facts.parents.flatMap((parent) => parent.controllers));
  for (const controller of neededControllers(parts)) {
    const hierarchy = facts.hierarchies.v1.get(V1_NAME[controller]);
    if (controller === "io" && facts.devices.length === 0) {
      unenforced.push(...missing(parts, controller, "there is no disk to limit"));
    } else if (hierarchy !== undefined) {
      v1.set(hierarchy.own, [...(v1.get(hierarchy.own) ?? []), controller]);
    } else if (offered.has(controller)) {
      v2.push(controller);
    } else {
      const reason = `the kernel offers no ${controller} controller here`;
      unenforced.push(...missing(parts, controller, reason));
    }
  }
  const hierarchies = [...v1].map(([own, names]) => layoutV1(names, own, request, facts));
  const parent = v2.length === 0 ? undefined : chooseParent(facts.parents, v2);
  if (parent !== undefined) {
    hierarchies.push(layoutV2(v2, parent, request, facts));
  } else {
    const reason =
      "no cgroup above this process may pass the controller on: it is not delegated, or holds processes";
    for (const controller of v2) unenforced.push(...missing(parts, controller, reason));
  }
  return { hierarchies, unenforced };
}
