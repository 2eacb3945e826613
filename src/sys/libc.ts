// SPDX-License-Identifier: Apache-2.0
// The libc entry points that Rocket calls, and errno. Everything in sys/ that needs the kernel beyond
// node:fs goes through here. Each wrapper elsewhere says why its arguments are safe.
import { CString, dlopen, FFIType, type Pointer, ptr, read } from "bun:ffi";
import { once } from "../lib/once.ts";

const { i32, u32, i64, u64, ptr: p } = FFIType;

const LIBC = "libc.so.6";

/** What every start of a pod calls. */
export const libc = dlopen(LIBC, {
  __errno_location: { args: [], returns: p },
  strerror: { args: [i32], returns: p },
  openat: { args: [i32, p, i32, u32], returns: i32 },
  close: { args: [i32], returns: i32 },
  fcntl: { args: [i32, i32, i64], returns: i32 },
  flock: { args: [i32, i32], returns: i32 },
  statfs: { args: [p, p], returns: i32 },
  memfd_create: { args: [p, u32], returns: i32 },
  execve: { args: [p, p, p], returns: i32 },
  syscall: { args: [i64, i64, i64, i64, i64, i64, i64], returns: i64 },
}).symbols;

/** The calls for trees and mounts, linked when first asked for: each one linked costs a start 5 µs. */
export const libcFiles = once(
  () =>
    dlopen(LIBC, {
      syncfs: { args: [i32], returns: i32 },
      fchownat: { args: [i32, p, u32, u32, i32], returns: i32 },
      mkdirat: { args: [i32, p, u32], returns: i32 },
      mknodat: { args: [i32, p, u32, u64], returns: i32 },
      symlinkat: { args: [p, i32, p], returns: i32 },
      linkat: { args: [i32, p, i32, p, i32], returns: i32 },
      unlinkat: { args: [i32, p, i32], returns: i32 },
      renameat2: { args: [i32, p, i32, p, u32], returns: i32 },
      utimensat: { args: [i32, p, p, i32], returns: i32 },
      fsetxattr: { args: [i32, p, p, u64, i32], returns: i32 },
      fgetxattr: { args: [i32, p, p, u64], returns: i64 },
      flistxattr: { args: [i32, p, u64], returns: i64 },
      copy_file_range: { args: [i32, p, i32, p, u64, u32], returns: i64 },
      mount: { args: [p, p, p, u64, p], returns: i32 },
      umount2: { args: [p, i32], returns: i32 },
      unshare: { args: [i32], returns: i32 },
    }).symbols,
);

/** The calls for networks. */
export const libcNetwork = once(
  () =>
    dlopen(LIBC, {
      socket: { args: [i32, i32, i32], returns: i32 },
      bind: { args: [i32, p, u32], returns: i32 },
      listen: { args: [i32, i32], returns: i32 },
      setsockopt: { args: [i32, i32, i32, p, u32], returns: i32 },
      send: { args: [i32, p, u64, i32], returns: i64 },
      recv: { args: [i32, p, u64, i32], returns: i64 },
      getsockname: { args: [i32, p, p], returns: i32 },
      getsockopt: { args: [i32, i32, i32, p, p], returns: i32 },
      setns: { args: [i32, i32], returns: i32 },
    }).symbols,
);

/** The calls for a service that gives up its power. */
export const libcPrivileges = once(
  () =>
    dlopen(LIBC, {
      prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
      capset: { args: [p, p], returns: i32 },
    }).symbols,
);

const errnoAt = libc.__errno_location() as Pointer;

/** The errno of the call just made. Read it before anything else runs. */
export function errno(): number {
  return read.i32(errnoAt, 0);
}

/** A NUL-terminated copy of `text` for a `char *` argument. Refuses an embedded NUL (truncation). */
export function cstr(text: string): Uint8Array {
  if (text.includes("\0")) throw new SysError("EINVAL", 22, "string with a NUL byte", text);
  return Buffer.from(`${text}\0`, "utf8");
}

export type { Pointer };
export { ptr };

const ERRNO: Readonly<Record<number, string>> = {
  // biome-ignore format: a table
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  7: "E2BIG",
  8: "ENOEXEC",
  9: "EBADF",
  10: "ECHILD",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  15: "ENOTBLK",
  16: "EBUSY",
  17: "EEXIST",
  18: "EXDEV",
  19: "ENODEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  23: "ENFILE",
  24: "EMFILE",
  25: "ENOTTY",
  26: "ETXTBSY",
  27: "EFBIG",
  28: "ENOSPC",
  29: "ESPIPE",
  30: "EROFS",
  31: "EMLINK",
  32: "EPIPE",
  34: "ERANGE",
  36: "ENAMETOOLONG",
  38: "ENOSYS",
  39: "ENOTEMPTY",
  40: "ELOOP",
  61: "ENODATA",
  75: "EOVERFLOW",
  95: "EOPNOTSUPP",
  116: "ESTALE",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
  122: "EDQUOT",
};

/** A failed system call: `code` is the errno name, so `isErrno` works on it as on node's errors. */
export class SysError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly path: string | undefined;

  constructor(code: string, number: number, syscall: string, path?: string) {
    const text = libc.strerror(number);
    super(
      `${syscall}: ${text === null ? code : new CString(text as Pointer).toString().toLowerCase()}`,
    );
    this.name = "SysError";
    this.code = code;
    this.errno = number;
    this.syscall = syscall;
    this.path = path;
  }

  /** Of an error number that came otherwise than by `errno`. */
  static of(number: number, syscall: string, path?: string): SysError {
    return new SysError(ERRNO[number] ?? `E${number}`, number, syscall, path);
  }
}

/** Throws the SysError of `errno()` when a libc call returned a negative number, else returns it. */
export function check(result: number | bigint, syscall: string, path?: string): number {
  if (result < 0) {
    throw SysError.of(errno(), syscall, path);
  }
  return Number(result);
}
