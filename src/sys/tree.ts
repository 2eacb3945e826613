// SPDX-License-Identifier: Apache-2.0
// The *at calls for trees whose names are any bytes (lib/byte-name.ts) and that are written and read by
// the ten thousand: names go through two static buffers instead of a fresh one per call. `name` is one
// component; no call follows a symbolic link. Descriptors are O_CLOEXEC and the caller's to close.
import { readSync, writeSync } from "node:fs";
import { encodeName } from "../lib/byte-name.ts";
import { isErrno } from "../lib/errors.ts";
import { copyRange, makeDev } from "./at.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  SYS_OPENAT2,
} from "./constants.ts";
import { check, libc, libcFiles, ptr, SysError } from "./libc.ts";

const PATH_MAX = 4096;
const first = Buffer.alloc(PATH_MAX);
const second = Buffer.alloc(PATH_MAX);
// The two buffers live as long as the module, so these pointers stay good.
const firstAt = ptr(first);
const secondAt = ptr(second);
const times = new BigInt64Array(4);
const timesAt = ptr(times);
const how = new BigUint64Array(3);
const howAt = ptr(how);

/** Puts a name and its NUL into a buffer of PATH_MAX bytes; refuses what would be cut. */
function put(buffer: Buffer, name: string): void {
  if (name.includes("\0")) throw new SysError("EINVAL", 22, "name with a NUL byte", name);
  // A UTF-16 unit is at most three bytes: only a very long name needs to be measured.
  const fits = name.length * 3 < PATH_MAX && name.isWellFormed();
  if (fits) {
    buffer[buffer.write(name, 0, "utf8")] = 0;
    return;
  }
  const bytes = encodeName(name);
  if (bytes.length >= PATH_MAX) throw new SysError("ENAMETOOLONG", 36, "name", name);
  bytes.copy(buffer);
  buffer[bytes.length] = 0;
}

/** Creates a regular file that must not exist and opens it for writing. */
export function createFileAt(dirFd: number, name: string): number {
  put(first, name);
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  return check(libc.openat(dirFd, firstAt, flags, 0o600), "openat", name);
}

/**
 * openat2(2) of a directory below `rootFd`, no symbolic link anywhere on the way ("." is the root).
 * `pathOnly` gives an O_PATH descriptor: a place to create in, without need of the read permission.
 */
export function openDirectoryBelow(rootFd: number, path: string, pathOnly: boolean): number {
  put(first, path);
  how[0] = BigInt(O_DIRECTORY | O_CLOEXEC | (pathOnly ? O_PATH : O_RDONLY));
  how[1] = 0n;
  how[2] = BigInt(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  // struct open_how is three u64 (openat2(2)); size 24. EAGAIN would be a concurrent rename.
  return check(
    libc.syscall(SYS_OPENAT2, rootFd, Number(firstAt), Number(howAt), 24, 0, 0),
    "openat2",
    path,
  );
}

/** mkdirat(2); false when something of that name is there already. */
export function makeDirectoryAt(dirFd: number, name: string, mode: number): boolean {
  put(first, name);
  const result = libcFiles().mkdirat(dirFd, firstAt, mode);
  if (result === 0) return true;
  try {
    check(result, "mkdirat", name);
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
  return false;
}

export function makeSymlinkAt(target: string, dirFd: number, name: string): void {
  put(first, name);
  put(second, target);
  check(libcFiles().symlinkat(secondAt, dirFd, firstAt), "symlinkat", name);
}

/** linkat(2) without AT_SYMLINK_FOLLOW: a hard link to a symbolic link links the link. */
export function makeLinkAt(fromFd: number, from: string, toFd: number, to: string): void {
  put(first, from);
  put(second, to);
  check(libcFiles().linkat(fromFd, firstAt, toFd, secondAt, 0), "linkat", to);
}

const NODE_TYPES = { char: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO };

export function makeNodeAt(
  dirFd: number,
  name: string,
  node: {
    readonly kind: "char" | "block" | "fifo";
    readonly mode: number;
    readonly major: number;
    readonly minor: number;
  },
): void {
  put(first, name);
  const type = NODE_TYPES[node.kind] | node.mode;
  check(
    libcFiles().mknodat(dirFd, firstAt, type, makeDev(node.major, node.minor)),
    "mknodat",
    name,
  );
}

export function changeOwnerAt(dirFd: number, name: string, uid: number, gid: number): void {
  put(first, name);
  const flags = AT_SYMLINK_NOFOLLOW | (name === "" ? AT_EMPTY_PATH : 0);
  check(libcFiles().fchownat(dirFd, firstAt, uid, gid, flags), "fchownat", name);
}

/** chmod of a child that is not a symbolic link; the mode may have setuid, setgid and sticky. */
export function changeModeAt(dirFd: number, name: string, mode: number): void {
  // fchmodat(2) would follow a link, and its AT_SYMLINK_NOFOLLOW needs Linux 6.6: go by an O_PATH
  // descriptor and its /proc entry, which is the same inode whatever happens to the name.
  put(first, name);
  const fd = check(libc.openat(dirFd, firstAt, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0), "openat", name);
  try {
    put(first, `/proc/self/fd/${fd}`);
    check(libc.syscall(SYS_FCHMODAT, AT_FDCWD, Number(firstAt), mode, 0, 0, 0), "fchmodat", name);
  } finally {
    libc.close(fd);
  }
}

const SYS_FCHMODAT = process.arch === "arm64" ? 53 : 268;
const AT_FDCWD = -100;

interface Time {
  readonly seconds: number;
  readonly nanoseconds: number;
}

function putTimes(time: Time): void {
  const seconds = BigInt(Math.trunc(time.seconds));
  const nanoseconds = BigInt(time.nanoseconds);
  times[0] = times[2] = seconds;
  times[1] = times[3] = nanoseconds;
}

/** Sets atime and mtime of a child, of a symbolic link itself. */
export function changeTimesAt(dirFd: number, name: string, time: Time): void {
  put(first, name);
  putTimes(time);
  check(libcFiles().utimensat(dirFd, firstAt, timesAt, AT_SYMLINK_NOFOLLOW), "utimensat", name);
}

const SYS_UTIMENSAT = process.arch === "arm64" ? 88 : 280;

/** As `changeTimesAt`, of an open file: the system call with no path, which glibc's wrapper refuses. */
export function changeTimes(fd: number, time: Time): void {
  putTimes(time);
  check(libc.syscall(SYS_UTIMENSAT, fd, 0, Number(timesAt), 0, 0, 0), "utimensat");
}

export function setXattr(fd: number, name: string, value: Uint8Array): void {
  put(first, name);
  const bytes = value.length === 0 ? new Uint8Array(1) : value;
  check(libcFiles().fsetxattr(fd, firstAt, ptr(bytes), value.length, 0), "fsetxattr", name);
}

const xattrBuffer = Buffer.alloc(65536);

/** The extended attributes of an open file, sorted by name. Empty where the file system has none. */
export function readXattrs(fd: number): ReadonlyMap<string, Uint8Array> {
  const result = new Map<string, Uint8Array>();
  let size: number;
  try {
    size = check(libcFiles().flistxattr(fd, ptr(xattrBuffer), xattrBuffer.length), "flistxattr");
  } catch (error) {
    if (isErrno(error, "EOPNOTSUPP")) return result;
    throw error;
  }
  const names = xattrBuffer.toString("utf8", 0, size).split("\0").slice(0, -1).sort();
  for (const name of names) {
    put(first, name);
    const n = check(
      libcFiles().fgetxattr(fd, firstAt, ptr(xattrBuffer), xattrBuffer.length),
      "fgetxattr",
      name,
    );
    result.set(name, new Uint8Array(xattrBuffer.subarray(0, n)));
  }
  return result;
}

/**
 * Copies `length` bytes of `from` at `offset` to the start of the empty file `to`: inside the kernel where
 * the two file systems allow it, else by reading and writing. Throws on a short source.
 */
export function copyContent(
  from: { readonly fd: number; readonly offset: number },
  to: number,
  length: number,
): void {
  try {
    copyRange(from, { fd: to, offset: 0 }, length);
    return;
  } catch (error) {
    // Different file systems, or one without the operation (copy_file_range(2), ERRORS).
    if (!isErrno(error, "EXDEV", "EINVAL", "EOPNOTSUPP", "ENOSYS")) throw error;
  }
  const buffer = Buffer.allocUnsafe(Math.min(length, 1 << 20));
  for (let done = 0; done < length; ) {
    const wanted = Math.min(buffer.length, length - done);
    const n = readSync(from.fd, buffer, 0, wanted, from.offset + done);
    if (n === 0) throw new Error("read: unexpected end of file");
    for (let at = 0; at < n; ) at += writeSync(to, buffer, at, n - at, done + at);
    done += n;
  }
}
