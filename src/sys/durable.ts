// SPDX-License-Identifier: Apache-2.0
// Files that are either whole or absent after a crash: write to a temporary name, fsync, rename, fsync
// the directory.
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  openSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { check, libcFiles } from "./libc.ts";
import { randomName } from "./random-name.ts";

export function fsyncDir(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** rename(2), then fsync of the destination's parent. */
export function renameDurable(from: string, to: string): void {
  renameSync(from, to);
  fsyncDir(dirname(to));
}

/** syncfs(2) of the file system that holds `path`. */
export function syncFileSystem(path: string): void {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    check(libcFiles().syncfs(fd), "syncfs", path);
  } finally {
    closeSync(fd);
  }
}

/** Writes a whole file; after a crash the old content or the new is there, never a part. */
export function writeFileDurable(path: string, data: string | Uint8Array, mode: number): void {
  const temporary = `${path}.${randomName(6)}.tmp`;
  const fd = openSync(temporary, "wx", mode);
  try {
    try {
      fchmodSync(fd, mode);
      const bytes = typeof data === "string" ? Buffer.from(data) : data;
      let at = 0;
      while (at < bytes.length) at += writeSync(fd, bytes, at);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameDurable(temporary, path);
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch {
      // The rename may have happened; the first error is the one to report.
    }
    throw error;
  }
}
