// SPDX-License-Identifier: Apache-2.0
// rm -rf of a tree that a pod's app may have made as deep as it liked. The runtime's rmSync takes time quadratic
// in the depth (hours for what a shell loop makes in a second); this goes by descriptor, one level at a time,
// follows no link and keeps two descriptors open, however deep it is.
import { closeSync, fstatSync, readdirSync } from "node:fs";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
} from "./constants.ts";
import { check, errno, libc, libcFiles, ptr } from "./libc.ts";

const ENOENT = 2;
const EEXIST = 17;
const EISDIR = 21;
const ENOTEMPTY = 39;

interface Level {
  readonly dev: bigint;
  readonly ino: bigint;
  /** Directories that are not empty, still to be removed; the last one is being emptied. */
  readonly left: Uint8Array[];
}

/** Removes a file, link or directory with all that is below it. Absence is success. */
export function removeTree(path: string): void {
  const root = bytes(Buffer.from(path));
  if (removeEntry(AT_FDCWD, root, path)) return;
  let fd = openDirectory(AT_FDCWD, root, path);
  try {
    const levels = [enter(fd, path)];
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const name = level.left.at(-1);
      const next = name === undefined ? up(fd, levels, path) : openDirectory(fd, name, path);
      if (next === undefined) break;
      closeSync(fd);
      fd = next;
      if (name !== undefined) levels.push(enter(fd, path));
    }
  } finally {
    closeSync(fd);
  }
  check(libcFiles().unlinkat(AT_FDCWD, ptr(root), AT_REMOVEDIR), "rmdir", path);
}

/** Leaves an empty directory and removes it; undefined at the top. */
function up(fd: number, levels: Level[], path: string): number | undefined {
  levels.pop();
  const level = levels.at(-1);
  const name = level?.left.pop();
  if (level === undefined || name === undefined) return undefined;
  const parent = openDirectory(fd, bytes(Buffer.from("..")), path);
  try {
    const { dev, ino } = fstatSync(parent, { bigint: true });
    if (dev !== level.dev || ino !== level.ino)
      throw new Error(`${path} changed while it was removed`);
    check(libcFiles().unlinkat(parent, ptr(name), AT_REMOVEDIR), "rmdir", path);
    return parent;
  } catch (error) {
    closeSync(parent);
    throw error;
  }
}

/** Removes what can be removed in one call. */
function enter(fd: number, path: string): Level {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  const left: Uint8Array[] = [];
  for (const entry of readdirSync(`/proc/self/fd/${fd}`, { encoding: "buffer" })) {
    const name = bytes(entry);
    if (!removeEntry(fd, name, path)) left.push(name);
  }
  return { dev, ino, left };
}

/** False for a directory that is not empty. */
function removeEntry(dirFd: number, name: Uint8Array, path: string): boolean {
  // By errno and without exceptions, which cost ten times what the calls do: half of a pod is directories.
  const { unlinkat } = libcFiles();
  if (unlinkat(dirFd, ptr(name), 0) === 0) return true;
  switch (errno()) {
    case ENOENT:
      return true;
    case EISDIR:
      break;
    default:
      check(-1, "unlink", path);
  }
  if (unlinkat(dirFd, ptr(name), AT_REMOVEDIR) === 0) return true;
  const reason = errno();
  if (reason !== ENOTEMPTY && reason !== EEXIST) check(-1, "rmdir", path);
  return false;
}

function openDirectory(dirFd: number, name: Uint8Array, path: string): number {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  return check(libc.openat(dirFd, ptr(name), flags, 0), "open", path);
}

/** Names are bytes: a file of an image need not be called anything in UTF-8. */
function bytes(name: Uint8Array): Uint8Array {
  const terminated = new Uint8Array(name.length + 1);
  terminated.set(name);
  return terminated;
}
