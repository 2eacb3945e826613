// SPDX-License-Identifier: Apache-2.0
// One lock file per key (rkt-runtime §6.5). Whoever holds the lock exclusively may remove the file, so a
// lock counts only if the file that was locked is still the one at that path.
import { closeSync, constants, fchmodSync, fstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { isStillAt, type LockKind, lockFd, tryLockFd } from "../sys/lock.ts";
import { removeFile } from "../sys/remove-file.ts";

/** A held lock on a key; disposing it releases it. */
export interface KeyLock extends Disposable {
  /** Removes the lock's file: for whoever removed what it protects. Only under an exclusive lock. */
  removeFile(): void;
}

/** Waits for the lock. Never await while holding it: another call in this process would block for ever. */
export function lockKey(directory: string, name: string, kind: LockKind): KeyLock {
  for (;;) {
    const lock = attempt(join(directory, name), (fd) => {
      lockFd(fd, kind);
      return true;
    });
    if (typeof lock === "object") return lock;
  }
}

/** The lock, or undefined when somebody else has it. */
export function tryLockKey(directory: string, name: string, kind: LockKind): KeyLock | undefined {
  for (;;) {
    const lock = attempt(join(directory, name), (fd) => tryLockFd(fd, kind));
    if (lock === "busy") return undefined;
    if (lock !== "replaced") return lock;
  }
}

function attempt(path: string, lock: (fd: number) => boolean): KeyLock | "busy" | "replaced" {
  const fd = openLockFile(path);
  let result: KeyLock | "busy" | "replaced" | undefined;
  try {
    result = !lock(fd) ? "busy" : isStillAt(fd, path) ? held(fd, path) : "replaced";
    return result;
  } finally {
    if (typeof result !== "object") closeSync(fd);
  }
}

/** 0660 whatever the umask: root and members of the group lock the same files. */
function openLockFile(path: string): number {
  // Members of the group write here: a link must not lead root to create a file elsewhere.
  const flags = constants.O_RDWR | constants.O_NOFOLLOW;
  try {
    return openSync(path, flags);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  const fd = openSync(path, flags | constants.O_CREAT, 0o660);
  // Another process may have made it just now: then its mode is not ours to set.
  if (fstatSync(fd).uid === process.geteuid?.()) fchmodSync(fd, 0o660);
  return fd;
}

function held(fd: number, path: string): KeyLock {
  let open = true;
  return {
    removeFile: () => removeFile(path),
    [Symbol.dispose]() {
      if (open) {
        open = false;
        closeSync(fd);
      }
    },
  };
}
