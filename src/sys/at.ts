// SPDX-License-Identifier: Apache-2.0
// Files by directory descriptor: the calls that node:fs lacks and that hostile trees need. No call here
// follows a symbolic link of its last component unless its name says so. Descriptors returned are
// O_CLOEXEC; the caller closes them (`closeFd`, or `using fd = ownFd(...)`).
import { closeSync } from "node:fs";
import {
  AT_EMPTY_PATH,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_NOFOLLOW,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  SYS_OPENAT2,
} from "./constants.ts";
import { check, cstr, libc, ptr } from "./libc.ts";

export function closeFd(fd: number): void {
  closeSync(fd);
}

/** A descriptor that closes itself at the end of its scope. */
export interface OwnedFd extends Disposable {
  readonly fd: number;
}

export function ownFd(fd: number): OwnedFd {
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

/** openat(2) with O_CLOEXEC|O_NOFOLLOW added. `name` should be one component. */
export function openAt(dirFd: number, name: string, flags: number, mode = 0): number {
  return check(
    libc.openat(dirFd, ptr(cstr(name)), flags | O_CLOEXEC | O_NOFOLLOW, mode),
    "openat",
    name,
  );
}

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

export function mkdirAt(dirFd: number, name: string, mode: number): void {
  check(libc.mkdirat(dirFd, ptr(cstr(name)), mode), "mkdirat", name);
}

/** `type` is an S_IF* constant; `major`/`minor` count for devices only. */
export function mknodAt(
  dirFd: number,
  name: string,
  node: {
    readonly type: number;
    readonly mode: number;
    readonly major: number;
    readonly minor: number;
  },
): void {
  check(
    libc.mknodat(dirFd, ptr(cstr(name)), node.type | node.mode, makeDev(node.major, node.minor)),
    "mknodat",
    name,
  );
}

/** The kernel's device number (sysmacros.h: gnu_dev_makedev). */
export function makeDev(major: number, minor: number): bigint {
  const ma = BigInt(major);
  const mi = BigInt(minor);
  return (
    ((ma & 0xfffff000n) << 32n) | ((ma & 0xfffn) << 8n) | ((mi & 0xffffff00n) << 12n) | (mi & 0xffn)
  );
}

export function symlinkAt(target: string, dirFd: number, name: string): void {
  check(libc.symlinkat(ptr(cstr(target)), dirFd, ptr(cstr(name))), "symlinkat", name);
}

/** linkat(2) without following: a hard link to a symbolic link links the link. */
export function linkAt(fromFd: number, from: string, toFd: number, to: string): void {
  check(libc.linkat(fromFd, ptr(cstr(from)), toFd, ptr(cstr(to)), 0), "linkat", to);
}

export function unlinkAt(dirFd: number, name: string): void {
  check(libc.unlinkat(dirFd, ptr(cstr(name)), 0), "unlinkat", name);
}

export function rmdirAt(dirFd: number, name: string): void {
  check(libc.unlinkat(dirFd, ptr(cstr(name)), AT_REMOVEDIR), "rmdir", name);
}

export const RENAME_NOREPLACE = 1;

export function renameAt2(
  from: { readonly dirFd: number; readonly name: string },
  to: { readonly dirFd: number; readonly name: string },
  flags = 0,
): void {
  check(
    libc.renameat2(from.dirFd, ptr(cstr(from.name)), to.dirFd, ptr(cstr(to.name)), flags),
    "rename",
    to.name,
  );
}

export function chownFd(fd: number, uid: number, gid: number): void {
  check(libc.fchown(fd, uid, gid), "fchown");
}

/** lchown of a child; `name` "" changes the descriptor itself, O_PATH ones too. */
export function chownAt(dirFd: number, name: string, uid: number, gid: number): void {
  check(
    libc.fchownat(
      dirFd,
      ptr(cstr(name)),
      uid,
      gid,
      AT_SYMLINK_NOFOLLOW | (name === "" ? AT_EMPTY_PATH : 0),
    ),
    "fchownat",
    name,
  );
}

export function chmodFd(fd: number, mode: number): void {
  check(libc.fchmod(fd, mode), "fchmod");
}

/** Sets atime and mtime (seconds and nanoseconds) of a child without following a link. */
export function utimesAt(
  dirFd: number,
  name: string,
  time: { readonly seconds: number; readonly nanoseconds: number },
): void {
  const s = BigInt(Math.trunc(time.seconds));
  const n = BigInt(time.nanoseconds);
  const spec = new BigInt64Array([s, n, s, n]);
  check(libc.utimensat(dirFd, ptr(cstr(name)), ptr(spec), AT_SYMLINK_NOFOLLOW), "utimensat", name);
}

export function setXattrFd(fd: number, name: string, value: Uint8Array): void {
  const bytes = value.length === 0 ? new Uint8Array(1) : value;
  check(libc.fsetxattr(fd, ptr(cstr(name)), ptr(bytes), value.length, 0), "fsetxattr", name);
}

/** The extended attributes of a path, the last link not followed: name → value. */
export function getXattrs(path: string): ReadonlyMap<string, Uint8Array> {
  const result = new Map<string, Uint8Array>();
  const cpath = cstr(path);
  const list = Buffer.alloc(65536);
  const size = Number(libc.llistxattr(ptr(cpath), ptr(list), list.length));
  if (size <= 0) return result;
  const value = Buffer.alloc(65536);
  for (const name of list.subarray(0, size).toString("utf8").split("\0")) {
    if (name === "") continue;
    const n = check(
      libc.lgetxattr(ptr(cpath), ptr(cstr(name)), ptr(value), value.length),
      "lgetxattr",
      path,
    );
    result.set(name, new Uint8Array(value.subarray(0, n)));
  }
  return result;
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
      libc.copy_file_range(from.fd, inAt, to.fd, outAt, Math.min(left, 1 << 30), 0),
      "copy_file_range",
    );
    if (n === 0) throw new Error("copy_file_range: unexpected end of file");
    left -= n;
  }
}
