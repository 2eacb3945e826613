// SPDX-License-Identifier: Apache-2.0
// Removing a pod (rkt-runtime §15): nothing of it is deleted while anything is mounted inside, because
// a volume of the host may be what is mounted.
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { removePodCgroup } from "../cgroup/pod-cgroup.ts";
import { removeCgroups } from "../cgroup/remove-cgroups.ts";
import { isErrno } from "../lib/errors.ts";
import type { PodRef } from "../pod/directory.ts";
import { PodError } from "../pod/errors.ts";
import { readLimitCgroups, readSubcgroup } from "../pod/read.ts";
import { type Lock, tryLockDirectory } from "../sys/lock.ts";
import { mountPointsBelow, unmount } from "../sys/mounts.ts";
import { removeTree } from "../sys/remove-tree.ts";

/**
 * Deletes a pod that lies in a garbage folder. Throws POD_BUSY when another process deletes it or keeps
 * something mounted; absence is success.
 */
export function deletePod(pod: PodRef): void {
  if (pod.directory !== "garbage" && pod.directory !== "exited-garbage") {
    throw new PodError("POD_STATE", `pod "${pod.uuid}" cannot be deleted while it is ${pod.state}`);
  }
  const lock = lockToDelete(pod);
  if (lock === undefined) return;
  try {
    removeCgroup(pod);
    for (const mountPoint of mountPointsBelow(realpathSync(pod.path))) unmount(mountPoint);
    // The writable layers first: if one cannot go, the manifest stays, so that the pod can be looked at.
    removeTree(join(pod.path, "stage1"));
    removeTree(join(pod.path, "overlay"));
    removeTree(pod.path);
  } catch (error) {
    throw new PodError("POD_IO", `cannot delete pod "${pod.uuid}"`, { cause: error });
  } finally {
    lock[Symbol.dispose]();
  }
}

/** How long somebody may look at a pod (`rkt list` locks each for a moment) before it counts as being deleted. */
const LOOKING_MS = 500;

/** Undefined when the pod is gone already. */
function lockToDelete(pod: PodRef): Lock | undefined {
  const end = performance.now() + LOOKING_MS;
  try {
    for (;;) {
      const lock = tryLockDirectory(pod.path, "exclusive");
      if (lock !== undefined) return lock;
      if (performance.now() > end) break;
      Bun.sleepSync(5);
    }
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  throw new PodError("POD_BUSY", `pod "${pod.uuid}" is currently being deleted`);
}

/** How long the processes of a pod that was killed may take to be gone. */
const DYING_MS = 5000;

/** Removes the pod's cgroups, which stage1 removes itself unless it was killed. */
function removeCgroup(pod: PodRef): void {
  const subcgroup = readSubcgroup(pod);
  const limits = readLimitCgroups(pod);
  if (subcgroup === undefined && limits.length === 0) return;
  const remove = () =>
    (limits.length === 0 || removeCgroups(pod.uuid, limits)) &&
    (subcgroup === undefined || removePodCgroup(subcgroup));
  // The lock goes with the supervisor; the kernel ends the processes of its PID namespace a moment later.
  const end = performance.now() + DYING_MS;
  while (!remove()) {
    if (performance.now() > end) {
      throw new PodError("POD_BUSY", `pod "${pod.uuid}" still has processes in its cgroup`);
    }
    Bun.sleepSync(5);
  }
}
