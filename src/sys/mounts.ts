// SPDX-License-Identifier: Apache-2.0
// The mount table of this process, and unmounting. Source: proc_pid_mountinfo(5), umount2(2).
import { readFileSync } from "node:fs";
import { isErrno } from "../lib/errors.ts";
import { MNT_DETACH, UMOUNT_NOFOLLOW } from "./constants.ts";
import { check, cstr, libcFiles, ptr } from "./libc.ts";

/** Undoes the kernel's octal escapes (space, tab, newline, backslash) of a path in mountinfo. */
function unescapeOctal(path: string): string {
  return path.includes("\\")
    ? path.replace(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      )
    : path;
}

/** Mount points at or below `directory` (a real path), the deepest and latest first. */
export function mountPointsBelow(directory: string): string[] {
  const found: string[] = [];
  // latin1 keeps bytes that are not UTF-8 as they are.
  for (const line of readFileSync("/proc/self/mountinfo", "latin1").split("\n")) {
    const field = line.split(" ", 5)[4];
    if (field === undefined) continue;
    const path = Buffer.from(unescapeOctal(field), "latin1").toString("utf8");
    if (path === directory || path.startsWith(`${directory}/`)) found.push(path);
  }
  return found.reverse();
}

/** Unmounts without following a link; a busy one is detached. */
export function unmount(path: string): void {
  const name = cstr(path);
  try {
    check(libcFiles().umount2(ptr(name), UMOUNT_NOFOLLOW), "umount", path);
  } catch (error) {
    if (isErrno(error, "EINVAL", "ENOENT")) return;
    if (!isErrno(error, "EBUSY")) throw error;
    check(libcFiles().umount2(ptr(name), UMOUNT_NOFOLLOW | MNT_DETACH), "umount", path);
  }
}
