// SPDX-License-Identifier: Apache-2.0
// Looking things up in an app's root, which is hostile: every path is resolved below the root, symbolic links as
// after a chroot; nothing but a regular file is read, and never more than a cap.
import { closeSync, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { isErrno } from "../lib/errors.ts";
import { openBelow } from "../sys/at.ts";
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from "../sys/constants.ts";

const O_NONBLOCK = 0o4000;
/** /etc/passwd of a big site is under 1 MiB. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Calls `use` with a descriptor of the root directory. */
export function withImageRoot<T>(rootfs: string, use: (rootFd: number) => T): T {
  const fd = openSync(rootfs, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/** True for what a missing or unreachable file gives: the caller goes on without it. */
const isMissing = (error: unknown): boolean =>
  isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EXDEV", "EACCES", "ENAMETOOLONG");

/** lstat or stat of a path in the root; undefined when it is not there. */
export function statInRoot(rootFd: number, path: string, follow: boolean): Stats | undefined {
  let fd: number;
  try {
    fd = openBelow(rootFd, path, O_PATH | (follow ? 0 : O_NOFOLLOW), { resolve: "in-root" });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    return fstatSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The text of a regular file in the root; undefined when it is missing, of another kind or too large. */
export function readInRoot(rootFd: number, path: string): string | undefined {
  // A FIFO must not block and a device must not be opened: look before, and again at what was opened.
  if (statInRoot(rootFd, path, true)?.isFile() !== true) return undefined;
  let fd: number;
  try {
    fd = openBelow(rootFd, path, O_RDONLY | O_NONBLOCK, { resolve: "in-root" });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile() || stats.size > MAX_BYTES) return undefined;
    const buffer = Buffer.alloc(stats.size);
    let at = 0;
    while (at < buffer.length) {
      const n = readSync(fd, buffer, at, buffer.length - at, null);
      if (n === 0) break;
      at += n;
    }
    return buffer.toString("utf8", 0, at);
  } finally {
    closeSync(fd);
  }
}
