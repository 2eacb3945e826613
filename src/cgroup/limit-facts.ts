// SPDX-License-Identifier: Apache-2.0
// What this machine offers for limits: hierarchies, cgroup v2 parents, disks. Read only when a limit is asked for.
import { accessSync, constants, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { parseHierarchies } from "./hierarchies.ts";
import type { LimitFacts, UnifiedParent } from "./layout.ts";

function words(path: string): string[] {
  try {
    return readFileSync(path, "utf8")
      .split(/\s+/)
      .filter((word) => word !== "");
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES", "EOPNOTSUPP")) return [];
    throw error;
  }
}

function writable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    accessSync(join(directory, "cgroup.subtree_control"), constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function readParent(directory: string, root: boolean): UnifiedParent {
  return {
    directory,
    root,
    controllers: words(join(directory, "cgroup.controllers")),
    enabled: words(join(directory, "cgroup.subtree_control")),
    populated: words(join(directory, "cgroup.procs")).length > 0,
    writable: writable(directory),
  };
}

/** Whole disks that have a size: partitions are not throttled. */
function readDisks(): string[] {
  return readNames("/sys/block")
    .filter((name) => words(join("/sys/block", name, "size"))[0] !== "0")
    .flatMap((name) => words(join("/sys/block", name, "dev")));
}

function readNames(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES")) return [];
    throw error;
  }
}

export function readLimitFacts(): LimitFacts {
  const hierarchies = parseHierarchies({
    mountinfo: readFileSync("/proc/self/mountinfo", "utf8"),
    cgroups: readFileSync("/proc/self/cgroup", "utf8"),
  });
  const parents: UnifiedParent[] = [];
  const { unified } = hierarchies;
  if (unified !== undefined) {
    for (let at = unified.own; ; at = dirname(at)) {
      // Only the real root of the hierarchy has no cgroup.type; that of a cgroup namespace or of a container does.
      const root = at === unified.mountPoint && words(join(at, "cgroup.type")).length === 0;
      parents.push(readParent(at, root));
      if (at === unified.mountPoint) break;
    }
  }
  return { hierarchies, parents, devices: readDisks() };
}
