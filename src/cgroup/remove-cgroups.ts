// SPDX-License-Identifier: Apache-2.0
// Removes the cgroups that were made for a pod's limits, those of a killed pod among them.
import { readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { scopeName } from "./pod-cgroup.ts";

/** True when all are gone. Parents first, as they were made. */
export function removeDirectories(directories: readonly string[]): boolean {
  let gone = true;
  for (const directory of [...directories].reverse()) {
    try {
      rmdirSync(directory);
    } catch (error) {
      if (isErrno(error, "ENOENT")) continue;
      if (!isErrno(error, "EBUSY", "ENOTEMPTY")) throw error;
      gone = false;
    }
  }
  return gone;
}

/**
 * Removes what is left of the noted directories of a pod; false when one still holds processes. The note is in the
 * pod's directory: only what `applyLayout` could have made for this pod, in a mounted hierarchy, is touched.
 */
export function removeCgroups(uuid: string, directories: readonly string[]): boolean {
  const ours = ownDirectories(uuid, directories);
  if (removeDirectories(ours)) return true;
  // What was killed needs the CPU to die: a group that reclaimed memory may owe its bandwidth for minutes.
  for (const directory of ours) {
    lift(join(directory, "cpu.cfs_quota_us"), "-1");
    lift(join(directory, "cpu.max"), "max");
  }
  return false;
}

function lift(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: "r+" });
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENODEV", "EACCES")) throw error;
  }
}

function ownDirectories(uuid: string, directories: readonly string[]): string[] {
  const scope = scopeName(uuid);
  const mounts = cgroupMounts(readFileSync("/proc/self/mountinfo", "utf8"));
  return directories.filter((directory) => {
    const parts = directory.split("/");
    const at = parts.indexOf(scope);
    if (at < 0 || at < parts.length - 2 || parts.includes("..")) return false;
    return mounts.some((mount) => directory.startsWith(`${mount}/`));
  });
}

function cgroupMounts(mountinfo: string): string[] {
  return mountinfo.split("\n").flatMap((line) => {
    const point = line.split(" ", 5)[4];
    return point !== undefined && / - cgroup2? /.test(line) ? [point] : [];
  });
}
