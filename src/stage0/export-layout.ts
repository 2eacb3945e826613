// SPDX-License-Identifier: Apache-2.0
// P/tmp/export-*: where `rkt export` mounts an app's layers, in a mount namespace of its own. Whoever works there
// holds a lock on the directory; one without is what a dead process left, and `rkt gc` removes it. Never
// recursively: a mount that is still there must not be emptied.
import { mkdirSync, mkdtempSync, readdirSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { type Lock, tryLockDirectory } from "../sys/lock.ts";
import { removeFile } from "../sys/remove-file.ts";

const PREFIX = "export-";

export interface ExportLayout extends Disposable {
  readonly path: string;
  /** An empty directory, to mount at. */
  readonly rootfs: string;
}

/** Each attempt can only be lost to a `gc` that looks between mkdir and lock. */
const ATTEMPTS = 10;

export function createExportLayout(dataDir: string): ExportLayout {
  for (let attempt = 1; ; attempt++) {
    const path = mkdtempSync(join(dataDir, "tmp", PREFIX));
    try {
      const lock = tryLock(path);
      if (lock !== undefined && isThere(path)) {
        const rootfs = join(path, "rootfs");
        mkdirSync(rootfs, { mode: 0o755 });
        return {
          path,
          rootfs,
          [Symbol.dispose]() {
            removeLayout(path);
            lock[Symbol.dispose]();
          },
        };
      }
      lock?.[Symbol.dispose]();
    } catch (error) {
      removeLayout(path);
      throw error;
    }
    if (attempt === ATTEMPTS) throw new Error(`cannot keep a directory in ${join(dataDir, "tmp")}`);
  }
}

/** Removes what exports that died have left. */
export function removeDeadExports(dataDir: string): void {
  const tmp = join(dataDir, "tmp");
  if (!isThere(tmp)) return;
  for (const name of readdirSync(tmp)) {
    if (!name.startsWith(PREFIX)) continue;
    using lock = tryLock(join(tmp, name));
    if (lock !== undefined) removeLayout(join(tmp, name));
  }
}

/** Undefined when somebody else has it, or it is gone. */
function tryLock(path: string): Lock | undefined {
  try {
    return tryLockDirectory(path, "exclusive");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

function removeLayout(path: string): void {
  removeFile(join(path, "manifest"));
  for (const directory of [join(path, "rootfs"), path]) {
    try {
      rmdirSync(directory);
    } catch (error) {
      // Still mounted: the mount goes with our namespace, and the directory with the next gc.
      if (!isErrno(error, "ENOENT", "EBUSY", "ENOTEMPTY")) throw error;
    }
  }
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
