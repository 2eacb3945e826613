// SPDX-License-Identifier: Apache-2.0
// Removing a pod (rkt-runtime §15): nothing of it is deleted while anything is mounted inside, because
// a volume of the host may be what is mounted.
import { readFileSync, realpathSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { type Lock, tryLockDirectory } from "../sys/lock.ts";
import { mountPointsBelow, unmount } from "../sys/mounts.ts";
import type { PodRef } from "./directory.ts";
import { PodError } from "./errors.ts";
import { POD_FILES } from "./read.ts";

/**
 * Deletes a pod that lies in a garbage folder. Throws POD_BUSY when another process deletes it or keeps
 * something mounted; absence is success.
 */
export function deletePod(pod: PodRef): void {
  if (pod.directory !== "garbage" && pod.directory !== "exited-garbage") {
    throw new PodError("POD_STATE", `pod "${pod.uuid}" cannot be deleted while it is ${pod.state}`);
  }
  let lock: Lock | undefined;
  try {
    lock = tryLockDirectory(pod.path, "exclusive");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    throw error;
  }
  if (lock === undefined) {
    throw new PodError("POD_BUSY", `pod "${pod.uuid}" is currently being deleted`);
  }
  try {
    removeCgroup(pod);
    for (const mountPoint of mountPointsBelow(realpathSync(pod.path))) unmount(mountPoint);
    // The writable layers first: if one cannot go, the manifest stays, so that the pod can be looked at.
    rmSync(join(pod.path, "stage1"), { recursive: true, force: true });
    rmSync(join(pod.path, "overlay"), { recursive: true, force: true });
    rmSync(pod.path, { recursive: true, force: true });
  } catch (error) {
    throw new PodError("POD_IO", `cannot delete pod "${pod.uuid}"`, { cause: error });
  } finally {
    lock[Symbol.dispose]();
  }
}

/** Removes the pod's cgroup, which stage1 removes itself unless it was killed. */
function removeCgroup(pod: PodRef): void {
  let path: string;
  try {
    path = readFileSync(join(pod.path, POD_FILES.subcgroup), "utf8").trim();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    throw error;
  }
  for (const root of ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]) {
    // Only our own naming is ever removed, whatever the file says.
    if (!/machine-rkt[^/]*\.scope$/.test(path) || path.includes("..")) return;
    try {
      rmdirSync(join(root, path));
    } catch (error) {
      if (!isErrno(error, "ENOENT", "EROFS", "ENOTDIR", "EBUSY", "EPERM", "EACCES")) throw error;
    }
  }
}
