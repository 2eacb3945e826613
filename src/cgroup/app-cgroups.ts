// SPDX-License-Identifier: Apache-2.0
// Which cgroups of its pod a process is in: what `rkt enter` joins. Read from the process and not from what was
// planned, so that a program that is entered is where the app is. Pure but for the reading at the end.
import { readFileSync } from "node:fs";
import { type CgroupProc, parseHierarchies } from "./hierarchies.ts";
import { scopeName } from "./pod-cgroup.ts";

export interface AppCgroups {
  /** cgroup v2. */
  readonly unified: string | undefined;
  /** One directory for each hierarchy of cgroup v1 that the pod has a part of. */
  readonly v1: readonly string[];
}

/** `cgroups` is the process's, `mountinfo` ours. Cgroups that are not the pod's own are left out. */
export function cgroupsOfPod(uuid: string, proc: CgroupProc): AppCgroups {
  const scope = scopeName(uuid);
  const ofPod = (directory: string) => directory.split("/").includes(scope);
  const { unified, v1 } = parseHierarchies(proc);
  return {
    unified: unified !== undefined && ofPod(unified.own) ? unified.own : undefined,
    v1: [...new Set([...v1.values()].map(({ own }) => own))].filter(ofPod),
  };
}

export function readCgroupsOfPod(uuid: string, pid: number): AppCgroups {
  return cgroupsOfPod(uuid, {
    mountinfo: readFileSync("/proc/self/mountinfo", "utf8"),
    cgroups: readFileSync(`/proc/${pid}/cgroup`, "utf8"),
  });
}
