// SPDX-License-Identifier: Apache-2.0
// Which cgroup hierarchies there are and where this process is in each, from two files of /proc. Pure.
// Sources: cgroups(7), proc_pid_mountinfo(5).
import { join, relative } from "node:path";

/** One mounted hierarchy. */
export interface Hierarchy {
  /** Absolute. */
  readonly mountPoint: string;
  /** The directory of this process's cgroup, absolute, at or below the mount point. */
  readonly own: string;
}

export interface Hierarchies {
  /** cgroup v2. */
  readonly unified: Hierarchy | undefined;
  /** cgroup v1, by controller; several may share one hierarchy. */
  readonly v1: ReadonlyMap<string, Hierarchy>;
}

/** The texts of /proc/self/mountinfo and /proc/self/cgroup. */
export interface CgroupProc {
  readonly mountinfo: string;
  readonly cgroups: string;
}

function unescapePath(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** Controllers (v1) or "" (v2) → this process's path, as seen from its cgroup namespace. */
export function ownPaths(cgroups: string): Map<string, string> {
  const paths = new Map<string, string>();
  for (const line of cgroups.split("\n")) {
    const [, id, controllers, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path === undefined) continue;
    if (id === "0") paths.set("", path);
    else for (const controller of controllers?.split(",") ?? []) paths.set(controller, path);
  }
  return paths;
}

/** A mount may show only a part of its hierarchy, `root`; undefined when `path` is not in that part. */
function place(mountPoint: string, root: string, path: string | undefined): Hierarchy | undefined {
  if (path === undefined) return undefined;
  const inside = relative(root, path);
  if (inside.split("/").includes("..") || path.split("/").includes("..")) return undefined;
  return { mountPoint, own: inside === "" ? mountPoint : join(mountPoint, inside) };
}

export function parseHierarchies({ mountinfo, cgroups }: CgroupProc): Hierarchies {
  const paths = ownPaths(cgroups);
  const v1 = new Map<string, Hierarchy>();
  let unified: Hierarchy | undefined;
  for (const line of mountinfo.split("\n")) {
    const [mount = "", source = ""] = line.split(" - ");
    const [type, , options = ""] = source.split(" ");
    if (type !== "cgroup" && type !== "cgroup2") continue;
    const [, , , root = "", point = ""] = mount.split(" ");
    const at = (path: string | undefined) => place(unescapePath(point), unescapePath(root), path);
    if (type === "cgroup2") {
      unified ??= at(paths.get(""));
      continue;
    }
    for (const controller of options.split(",")) {
      const hierarchy = v1.has(controller) ? undefined : at(paths.get(controller));
      if (hierarchy !== undefined) v1.set(controller, hierarchy);
    }
  }
  return { unified, v1 };
}
