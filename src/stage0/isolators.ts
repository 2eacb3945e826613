// SPDX-License-Identifier: Apache-2.0
// What can be enforced on this machine: the isolators of a pod and of its apps → limits, sysctls and labels for the
// plan, and a list of what is not kept, with the reason (appc.md §6.6, §8). Pod isolators bound those of the apps.
import { existsSync, readFileSync } from "node:fs";
import {
  type App,
  type Isolator,
  type KnownIsolator,
  type PodManifest,
  parseIsolator,
  type Quantity,
  type ResourceIsolator,
} from "../appc/index.ts";
import { type Layout, type PodLimits, planLayout, type Unenforced } from "../cgroup/layout.ts";
import { readLimitFacts } from "../cgroup/limit-facts.ts";
import { controllersOf, type Limits } from "../cgroup/settings.ts";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import type { PlanInput, SecurityLabel } from "../stage1/plan/input.ts";
import { checkSysctls, type Sysctl } from "../stage1/sysctl.ts";
import { Stage0Error } from "./errors.ts";
import { isPlain } from "./plain-isolators.ts";

export interface IsolatedPod {
  readonly uuid: string;
  readonly manifest: PodManifest;
  readonly apps: readonly { readonly name: string; readonly app: App }[];
}

/** What is to be done for a pod's isolators, beyond what stage1 does for every app. */
export interface Isolation {
  /** The cgroups that limits need. */
  readonly layout: Layout;
  readonly sysctls: readonly Sysctl[];
  /** App → what to ask of SELinux or AppArmor. */
  readonly labels: ReadonlyMap<string, SecurityLabel>;
  /** App → its memory limit as the manifest writes it; in the sentence about an OOM kill. */
  readonly memory: ReadonlyMap<string, string>;
  readonly unenforced: readonly Unenforced[];
}

type Scope = string | undefined;

/** Isolators of one app, or of the pod, sorted by what becomes of them. */
interface Sorted {
  readonly limits: Limits;
  readonly memory: Quantity | undefined;
  readonly sysctls: readonly (readonly [name: string, value: string])[];
  readonly label: SecurityLabel | undefined;
  readonly unenforced: readonly Unenforced[];
}

function limitOf(
  isolator: ResourceIsolator,
  amount: (quantity: Quantity) => bigint,
): { readonly limit: bigint | undefined; readonly request: bigint | undefined } {
  const { limit, request } = isolator;
  // A request of the limit itself asks for nothing more: it is what --memory and --cpu write.
  const more = request !== undefined && (limit === undefined || !request.equals(limit));
  return {
    limit: limit === undefined ? undefined : amount(limit),
    request: more ? amount(request) : undefined,
  };
}

const whole = (quantity: Quantity): bigint => quantity.value();
const thousandths = (quantity: Quantity): bigint => quantity.milliValue();

/** The limits that one isolator sets; a text says why it cannot. */
function resourceLimits(isolator: ResourceIsolator): Limits | string {
  const { limit, request } = limitOf(isolator, isolator.kind === "cpu" ? thousandths : whole);
  if ((limit ?? 1n) <= 0n || (request ?? 1n) <= 0n) return "its amount is not above zero";
  switch (isolator.kind) {
    case "memory":
      return { memory: limit, memoryRequest: request };
    case "cpu":
      return { cpu: limit, cpuRequest: request };
    case "block-bandwidth":
      return { blockBandwidth: limit };
    case "block-iops":
      return { blockIops: limit };
    case "network-bandwidth":
      return "this version does not shape network traffic";
  }
}

const MODULE_APPARMOR = "/sys/module/apparmor/parameters/enabled";
const SELINUX = "/sys/fs/selinux/enforce";
const APPARMOR_PROFILES = "/sys/kernel/security/apparmor/profiles";

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}

/** A profile that is not loaded is refused: appc leaves no choice. */
function apparmorLabel(profile: string): SecurityLabel | string {
  if (readText(MODULE_APPARMOR)?.startsWith("Y") !== true) return "the kernel has no AppArmor";
  const loaded = readText(APPARMOR_PROFILES)?.split("\n");
  const name = (line: string) => line.replace(/ \([a-z]+\)$/, "");
  if (loaded?.some((line) => name(line) === profile) === false) {
    throw new Stage0Error(
      "ISOLATOR_INVALID",
      `cannot use the AppArmor profile ${quote(profile)}: it is not loaded`,
      { remedy: "load it with apparmor_parser -r FILE" },
    );
  }
  return { module: "apparmor", text: `exec ${profile}` };
}

function labelOf(
  isolator: KnownIsolator & { kind: "selinux-context" | "apparmor-profile" },
): SecurityLabel | string {
  if (isolator.kind === "apparmor-profile") return apparmorLabel(isolator.profile);
  if (!existsSync(SELINUX)) return "the kernel has no SELinux";
  const { user, role, type, level } = isolator;
  return { module: "selinux", text: `${user}:${role}:${type}:${level}` };
}

function sort(app: Scope, isolators: readonly Isolator[]): Sorted {
  let limits: Limits = {};
  let memory: Quantity | undefined;
  let label: SecurityLabel | undefined;
  const sysctls: (readonly [string, string])[] = [];
  const unenforced: Unenforced[] = [];
  // The last of a name counts; a plain one is stage1's business, but only an app's.
  const last = new Map(isolators.map((isolator) => [isolator.name as string, isolator]));
  for (const [name, isolator] of last) {
    const not = (reason: string) => unenforced.push({ app, isolator: name, reason });
    if (isPlain(isolator)) {
      if (app === undefined) not("it is for apps, not for a pod");
      continue;
    }
    const known = parseIsolator(isolator);
    switch (known?.kind) {
      case "memory":
      case "cpu":
      case "block-bandwidth":
      case "block-iops":
      case "network-bandwidth": {
        const found = resourceLimits(known);
        if (typeof found === "string") not(found);
        else limits = { ...limits, ...found };
        if (known.kind === "memory") memory = known.limit;
        break;
      }
      case "cpu-shares":
        limits = { ...limits, cpuShares: known.shares };
        break;
      case "sysctl":
        sysctls.push(...Object.entries(known.settings));
        break;
      case "selinux-context":
      case "apparmor-profile": {
        const found = labelOf(known);
        if (typeof found === "string") not(found);
        else label = found;
        break;
      }
      default:
        not("rkt knows no isolator of this name");
    }
  }
  return { limits, memory, sysctls, label, unenforced };
}

/** What to ask of SELinux or AppArmor for a program beside the app: `rkt enter` is held as the app is. */
export function labelOfApp(
  { name, app }: IsolatedPod["apps"][number],
  manifest: PodManifest,
): SecurityLabel | undefined {
  return sort(name, app.isolators).label ?? sort(undefined, manifest.isolators).label;
}

/** The pod's settings go over an app's; two apps that disagree are refused, for the pod has one value. */
function mergeSysctls(
  pod: Sorted,
  apps: readonly Sorted[],
): readonly (readonly [string, string])[] {
  const merged = new Map<string, string>();
  const fixed = new Map(pod.sysctls);
  for (const [name, value] of apps.flatMap((app) => app.sysctls)) {
    if (!fixed.has(name) && (merged.get(name) ?? value) !== value) {
      throw new Stage0Error(
        "ISOLATOR_INVALID",
        `cannot set the sysctl ${quote(name)}: two apps of the pod ask for different values`,
      );
    }
    merged.set(name, value);
  }
  return [...new Map([...merged, ...fixed])];
}

function smaller(a: Quantity | undefined, b: Quantity | undefined): Quantity | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a.value() < b.value() ? a : b;
}

const NO_LAYOUT: Layout = { hierarchies: [], unenforced: [] };

/**
 * Reads facts of the machine, changes nothing. `network`: undefined where it is not known yet (`rkt prepare`). Throws
 * ManifestError for an isolator that is wrong in itself, Stage0Error and Stage1Error for one that no machine can keep.
 */
export function planIsolation(
  pod: IsolatedPod,
  network: PlanInput["network"] | undefined,
): Isolation {
  const outer = sort(undefined, pod.manifest.isolators);
  const apps = pod.apps.map(({ name, app }) => ({ name, ...sort(name, app.isolators) }));
  const request: PodLimits = { uuid: pod.uuid, pod: outer.limits, apps };
  const limited = [outer, ...apps].some(({ limits }) => controllersOf(limits).length > 0);
  const layout = limited ? planLayout(request, readLimitFacts()) : NO_LAYOUT;
  const labels = new Map<string, SecurityLabel>();
  const memory = new Map<string, string>();
  for (const app of apps) {
    const label = app.label ?? outer.label;
    if (label !== undefined) labels.set(app.name, label);
    const limit = smaller(app.memory, outer.memory);
    if (limit !== undefined) memory.set(app.name, limit.toString());
  }
  return {
    layout,
    sysctls: checkSysctls(mergeSysctls(outer, apps), network),
    labels,
    memory,
    unenforced: [outer, ...apps].flatMap((part) => part.unenforced).concat(layout.unenforced),
  };
}

const subject = ({ app, isolator }: Unenforced): string =>
  app === undefined ? `the pod's isolator ${isolator}` : `app "${app}": the isolator ${isolator}`;

/** Says what is not kept; with `strict` that is an error. */
export function reportUnenforced(
  unenforced: readonly Unenforced[],
  { strict, warn }: { readonly strict: boolean; readonly warn: (sentence: string) => void },
): void {
  const sentences = unenforced.map((item) => `${subject(item)} cannot be enforced: ${item.reason}`);
  const [first] = sentences;
  if (strict && first !== undefined) {
    throw new Stage0Error("ISOLATOR_UNENFORCED", first, {
      details: { unenforced },
      remedy: "leave --strict out to run without it",
    });
  }
  for (const sentence of sentences) warn(sentence);
}
