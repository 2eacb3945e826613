// SPDX-License-Identifier: Apache-2.0
// What a plan gives to the pod and to each app, read back from its operations: `rkt explain` says what will be
// done, not what was asked for. Pure.
import { ALL_CAPABILITIES, capabilityNames } from "../capabilities.ts";
import {
  COPY_VOLUME_FLAGS,
  MOUNT_ATTRIBUTES,
  OPTION_FLAGS,
  type Op,
  type OpKind,
} from "./opcodes.ts";
import type { Plan } from "./wire.ts";

export interface MountFacts {
  /** `rkt`: a file that rkt puts there. */
  readonly kind: "host" | "empty" | "rkt";
  readonly volume: string | undefined;
  /** On the host; undefined where nothing of the host's is behind it. */
  readonly source: string | undefined;
  readonly target: string;
  readonly readOnly: boolean;
  readonly recursive: boolean;
}

export interface AppFacts {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** The program, then its arguments. */
  readonly exec: readonly string[];
  readonly preStart: readonly string[];
  readonly postStop: readonly string[];
  readonly workingDirectory: string;
  readonly environment: readonly string[];
  readonly mounts: readonly MountFacts[];
  readonly readOnlyRoot: boolean;
  readonly capabilities: "all" | readonly string[];
  readonly noNewPrivileges: boolean;
  /** What the filter of system calls is called; undefined: there is none. */
  readonly seccomp: string | undefined;
  /** "apparmor PROFILE" or "selinux CONTEXT"; undefined: none is asked for. */
  readonly label: string | undefined;
  readonly hiddenPaths: readonly string[];
  readonly readOnlyPaths: readonly string[];
}

export interface PodFacts {
  readonly hostname: string;
  readonly namespaces: readonly string[];
  readonly cgroup: string | undefined;
  readonly apps: readonly AppFacts[];
}

type OpOf<K extends OpKind> = Extract<Op, { readonly kind: K }>;

class Ops {
  readonly #ops: readonly Op[];

  constructor(ops: readonly Op[]) {
    this.#ops = ops;
  }

  all<K extends OpKind>(kind: K): OpOf<K>[] {
    return this.#ops.filter((op): op is OpOf<K> => op.kind === kind);
  }

  one<K extends OpKind>(kind: K): OpOf<K> | undefined {
    return this.all(kind)[0];
  }

  has(kind: string): boolean {
    return this.#ops.some((op) => op.kind === kind);
  }
}

interface Copy {
  readonly volume: OpOf<"volume">;
  readonly copy: OpOf<"copyVolume">;
}

/** The mounts in their slots. */
function copiesOf(plan: Plan): Copy[] {
  const copies: Copy[] = [];
  let volume: OpOf<"volume"> | undefined;
  for (const op of plan.ops) {
    if (op.kind === "volume") volume = op;
    if (op.kind === "copyVolume" && volume !== undefined) copies.push({ volume, copy: op });
  }
  return copies;
}

export function planFacts(plan: Plan): PodFacts {
  const pod = new Ops(plan.ops);
  const copies = copiesOf(plan);
  const flags = pod.one("options")?.flags ?? 0;
  const namespaces = ["mount", "pid", "ipc", "uts", "cgroup"];
  if ((flags & OPTION_FLAGS.newNetwork) !== 0) namespaces.push("network");
  if (pod.has("userNamespace")) namespaces.push("user");
  return {
    hostname: pod.one("hostname")?.name ?? "",
    namespaces,
    cgroup: pod.one("cgroup")?.path,
    apps: pod.all("app").map((app) => {
      const start = plan.ops.indexOf(app);
      const end = plan.ops.findIndex((op, i) => i > start && op.kind === "end");
      return appFacts(app.name, new Ops(plan.ops.slice(start, end)), copies);
    }),
  };
}

function appFacts(name: string, ops: Ops, copies: readonly Copy[]): AppFacts {
  const ids = ops.one("ids");
  const label = ops.one("label");
  const bounding = ops.one("bounding")?.capabilities ?? 0n;
  return {
    name,
    uid: ids?.uid ?? 0,
    gid: ids?.gid ?? 0,
    groups: ids?.groups ?? [],
    exec: ops.one("execute")?.argv ?? [],
    preStart: ops.one("preStart")?.argv ?? [],
    postStop: ops.one("postStop")?.argv ?? [],
    workingDirectory: ops.one("workingDirectory")?.path ?? "/",
    environment: ops.one("environment")?.variables ?? [],
    mounts: [...ownFiles(ops), ...attached(ops, copies)],
    readOnlyRoot: ops
      .all("attributes")
      .some((op) => op.path === "/" && (op.attributes & MOUNT_ATTRIBUTES.readOnly) !== 0),
    capabilities: bounding === ALL_CAPABILITIES ? "all" : capabilityNames(bounding),
    noNewPrivileges: ops.has("noNewPrivileges"),
    seccomp: ops.one("filter")?.label,
    label: label === undefined ? undefined : `${label.module} ${label.text}`,
    hiddenPaths: ops.all("mask").map((op) => op.path),
    readOnlyPaths: ops.all("protect").map((op) => op.path),
  };
}

function ownFiles(ops: Ops): MountFacts[] {
  return ops
    .all("bind")
    .filter((op) => op.target.startsWith("/etc/"))
    .map((op) => ({
      kind: "rkt",
      volume: undefined,
      source: op.source.startsWith("/etc/") ? op.source : undefined,
      target: op.target,
      readOnly: (op.attributes & MOUNT_ATTRIBUTES.readOnly) !== 0,
      recursive: false,
    }));
}

function attached(ops: Ops, copies: readonly Copy[]): MountFacts[] {
  return ops.all("attach").flatMap((op) => {
    const found = copies[op.slot];
    if (found === undefined) return [];
    const { volume, copy } = found;
    const ofHost = volume.source.startsWith("/");
    return {
      kind: ofHost ? ("host" as const) : ("empty" as const),
      volume: volume.name,
      source: ofHost ? volume.source : undefined,
      target: op.target,
      readOnly: (copy.attributes & MOUNT_ATTRIBUTES.readOnly) !== 0,
      recursive: (copy.flags & COPY_VOLUME_FLAGS.recursive) !== 0,
    };
  });
}
