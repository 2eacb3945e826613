// SPDX-License-Identifier: Apache-2.0
// Where a pod's processes are tracked: one directory in the cgroup2 hierarchy (rkt-runtime.md §9), whether or not
// it has controllers. Entering it costs nothing when stage1 is cloned into it; cgroup v1 is not touched.
import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";

/** A pod's cgroup. */
export interface PodCgroup {
  /** The directory, absolute on the host. */
  readonly directory: string;
  /** The path in the hierarchy without its first slash: what rkt writes into `subcgroup`. */
  readonly subcgroup: string;
}

/** The mount point of the cgroup2 hierarchy in the text of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export function findCgroup2Mount(mountinfo: string): string | undefined {
  for (const line of mountinfo.split("\n")) {
    const [mount, source] = line.split(" - ");
    if (source?.startsWith("cgroup2 ") !== true) continue;
    const fields = mount?.split(" ") ?? [];
    // A mount of a part of the hierarchy (in a container) shows paths that we could not join to ours.
    const [, , , root, point] = fields;
    if (root === "/" && point !== undefined) return unescapeMountPath(point);
  }
  return undefined;
}

function unescapeMountPath(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** This process's path in the hierarchy, from the text of /proc/self/cgroup: the line of hierarchy 0. */
export function findOwnCgroup(cgroups: string): string | undefined {
  const line = cgroups.split("\n").find((text) => text.startsWith("0::/"));
  return line?.slice("0::".length);
}

/** `machine-rkt\x2dUUID.scope`, with systemd's escape for the dashes. */
export function scopeName(uuid: string): string {
  return `machine-rkt\\x2d${uuid.replaceAll("-", "\\x2d")}.scope`;
}

/** The place for a pod, given the two files of /proc; undefined where there is no cgroup2 hierarchy. */
export function podCgroup(
  uuid: string,
  proc: { readonly mountinfo: string; readonly cgroups: string },
): PodCgroup | undefined {
  const mount = findCgroup2Mount(proc.mountinfo);
  const own = findOwnCgroup(proc.cgroups);
  if (mount === undefined || own === undefined || own.includes("/../")) return undefined;
  const path = join(own, scopeName(uuid));
  return { directory: join(mount, path), subcgroup: path.slice(1) };
}

/**
 * Makes the pod's cgroup and returns it; undefined when the hierarchy is absent or not ours to write, in which case
 * `explain` gets the reason. `note` gets `subcgroup` before anything is made: the caller writes it into the pod
 * directory, so that gc finds the cgroup whatever happens. stage1 removes it when the pod has ended.
 */
export function makePodCgroup(
  uuid: string,
  {
    explain,
    note,
  }: {
    readonly explain: (reason: string) => void;
    readonly note: (subcgroup: string) => void;
  },
): PodCgroup | undefined {
  const cgroup = podCgroup(uuid, {
    mountinfo: readFileSync("/proc/self/mountinfo", "utf8"),
    cgroups: readFileSync("/proc/self/cgroup", "utf8"),
  });
  if (cgroup === undefined) {
    explain("there is no cgroup2 hierarchy: the pod runs without a cgroup of its own");
    return undefined;
  }
  note(cgroup.subcgroup);
  try {
    mkdirSync(cgroup.directory, { mode: 0o755 });
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error)) throw error;
    if (!isErrno(error, "EEXIST")) {
      explain(`cannot make the pod's cgroup: ${error.message}: the pod runs without one`);
      return undefined;
    }
  }
  return cgroup;
}

/**
 * Removes a pod's cgroup that stage1 left (it was killed). `subcgroup` is the content of the pod's file. True when
 * nothing is left; false when it is not empty.
 */
export function removePodCgroup(subcgroup: string): boolean {
  // The file is the pod's: only a name that makePodCgroup could have made is touched.
  const safe = /^(?:[^/\0]+\/)*machine-rkt\\x2d[0-9a-f\\x]+\.scope$/.test(subcgroup);
  if (!safe || subcgroup.split("/").includes("..")) return true;
  const mount = findCgroup2Mount(readFileSync("/proc/self/mountinfo", "utf8"));
  if (mount === undefined) return true;
  try {
    rmdirSync(join(mount, subcgroup));
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return true;
    if (isErrno(error, "EBUSY", "ENOTEMPTY")) return false;
    throw error;
  }
}
