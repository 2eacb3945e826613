// SPDX-License-Identifier: Apache-2.0
// flock(2) on files and directories. The kernel drops a lock when the last descriptor of its open file
// goes away, so a dead process never leaves one. Descriptors are O_CLOEXEC; `keepAcrossExec` clears that.
import { closeSync, fchmodSync, fstatSync, statSync } from "node:fs";
import { isErrno } from "../lib/errors.ts";
import {
  AT_FDCWD,
  F_SETFD,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
} from "./constants.ts";
import { check, cstr, errno, libc, ptr } from "./libc.ts";

const EWOULDBLOCK = 11;
const EINTR = 4;

export type LockKind = "shared" | "exclusive";

/** A held lock; disposing it releases it. */
export interface Lock extends Disposable {
  readonly fd: number;
}

function held(fd: number): Lock {
  let open = true;
  return {
    fd,
    [Symbol.dispose]() {
      if (open) {
        open = false;
        closeSync(fd);
      }
    },
  };
}

function openForLock(path: string, create: number | undefined): number {
  if (create === undefined) return open(path, O_RDONLY | O_DIRECTORY, 0);
  try {
    return open(path, O_RDWR | O_NOFOLLOW, 0);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  const fd = open(path, O_RDWR | O_NOFOLLOW | O_CREAT, create);
  // Whatever the umask, so that root and members of the group lock the same file. Somebody else may have made
  // it just now: then its mode is theirs to set.
  if (fstatSync(fd).uid === process.geteuid?.()) fchmodSync(fd, create);
  return fd;
}

function open(path: string, flags: number, mode: number): number {
  return check(libc.openat(AT_FDCWD, ptr(cstr(path)), flags | O_CLOEXEC, mode), "open", path);
}

function flock(fd: number, operation: number): boolean {
  for (;;) {
    if (libc.flock(fd, operation) === 0) return true;
    const e = errno();
    if (e === EINTR) continue;
    if (e === EWOULDBLOCK) return false;
    check(-1, "flock");
  }
}

/** Locks an open descriptor without waiting; false when somebody else holds it. */
export function tryLockFd(fd: number, kind: LockKind): boolean {
  return flock(fd, (kind === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB);
}

/** Locks an open descriptor, waiting as long as it takes (blocks the process). */
export function lockFd(fd: number, kind: LockKind): void {
  flock(fd, kind === "shared" ? LOCK_SH : LOCK_EX);
}

/** Locks a directory; waits. ENOENT and ENOTDIR are thrown. */
export function lockDirectory(path: string, kind: LockKind): Lock {
  return lockPath(path, kind, undefined);
}

/** Locks a directory without waiting; undefined when somebody else holds it. */
export function tryLockDirectory(path: string, kind: LockKind): Lock | undefined {
  return tryLockPath(path, kind, undefined);
}

/** Locks a regular file, made with `mode` when absent; waits. */
export function lockFile(path: string, kind: LockKind, mode = 0o660): Lock {
  return lockPath(path, kind, mode);
}

/** As `lockFile`, without waiting; undefined when somebody else holds it. */
export function tryLockFile(path: string, kind: LockKind, mode: number): Lock | undefined {
  return tryLockPath(path, kind, mode);
}

function lockPath(path: string, kind: LockKind, create: number | undefined): Lock {
  const fd = openForLock(path, create);
  try {
    lockFd(fd, kind);
    return held(fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function tryLockPath(path: string, kind: LockKind, create: number | undefined): Lock | undefined {
  const fd = openForLock(path, create);
  try {
    if (tryLockFd(fd, kind)) return held(fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  closeSync(fd);
  return undefined;
}

/** Whether the open file is (still) the one at `path`: a lock on a file that was replaced protects nothing. */
export function isStillAt(fd: number, path: string): boolean {
  const opened = fstatSync(fd);
  const there = statSync(path, { throwIfNoEntry: false });
  return there !== undefined && there.ino === opened.ino && there.dev === opened.dev;
}

/** Clears close-on-exec, so that the descriptor (and the lock on it) survives `execve`. */
export function keepAcrossExec(fd: number): void {
  check(libc.fcntl(fd, F_SETFD, 0), "fcntl");
}
