// SPDX-License-Identifier: Apache-2.0
// Calls on paths that node:fs lacks and that hostile trees need. Descriptors returned are O_CLOEXEC; the
// caller closes them.
import {
  O_CLOEXEC,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  SYS_OPENAT2,
} from "./constants.ts";
import { check, cstr, libc, libcFiles, ptr } from "./libc.ts";

/** How a path below a root treats symbolic links. */
export type Resolution =
  /** Absolute and `..` links are taken as inside the root, as after a chroot. */
  | "in-root"
  /** Any escape is EXDEV; links that stay below are followed. */
  | "beneath"
  /** Any symbolic link in the path is ELOOP. */
  | "no-symlinks";

const RESOLVE: Readonly<Record<Resolution, number>> = {
  "in-root": RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  beneath: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
  "no-symlinks": RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
};

const how = new BigUint64Array(3);

/**
 * openat2(2): opens `path` below the directory `rootFd`, whatever links the tree contains. Magic links
 * (/proc/self/fd/N) are never followed. Errors: ELOOP, EXDEV, ENOENT …; EAGAIN (a rename raced) is
 * retried.
 */
export function openBelow(
  rootFd: number,
  path: string,
  flags: number,
  options: { readonly resolve: Resolution; readonly mode?: number },
): number {
  const name = cstr(path);
  for (let attempt = 0; ; attempt++) {
    how[0] = BigInt(flags | O_CLOEXEC);
    how[1] = BigInt(options.mode ?? 0);
    how[2] = BigInt(RESOLVE[options.resolve]);
    // struct open_how is three u64 (openat2(2)); size 24.
    const fd = libc.syscall(SYS_OPENAT2, rootFd, ptr(name), ptr(how), 24, 0, 0);
    try {
      return check(fd, "openat2", path);
    } catch (error) {
      if (attempt < 100 && (error as { code?: string }).code === "EAGAIN") continue;
      throw error;
    }
  }
}

/** The kernel's device number (sysmacros.h: gnu_dev_makedev). */
export function makeDev(major: number, minor: number): bigint {
  const ma = BigInt(major);
  const mi = BigInt(minor);
  return (
    ((ma & 0xfffff000n) << 32n) | ((ma & 0xfffn) << 8n) | ((mi & 0xffffff00n) << 12n) | (mi & 0xffn)
  );
}

export const RENAME_NOREPLACE = 1;

export function renameAt2(
  from: { readonly dirFd: number; readonly name: string },
  to: { readonly dirFd: number; readonly name: string },
  flags = 0,
): void {
  check(
    libcFiles().renameat2(from.dirFd, ptr(cstr(from.name)), to.dirFd, ptr(cstr(to.name)), flags),
    "rename",
    to.name,
  );
}

/**
 * Copies `length` bytes between files inside the kernel (reflink where the file system can). Offsets are
 * explicit; neither file position moves. Throws on a short source.
 */
export function copyRange(
  from: { readonly fd: number; readonly offset: number },
  to: { readonly fd: number; readonly offset: number },
  length: number,
): void {
  const offsets = new BigInt64Array([BigInt(from.offset), BigInt(to.offset)]);
  const inAt = ptr(offsets);
  const outAt = ptr(offsets, 8);
  let left = length;
  while (left > 0) {
    const n = check(
      libcFiles().copy_file_range(from.fd, inAt, to.fd, outAt, Math.min(left, 1 << 30), 0),
      "copy_file_range",
    );
    if (n === 0) throw new Error("copy_file_range: unexpected end of file");
    left -= n;
  }
}
