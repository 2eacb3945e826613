// SPDX-License-Identifier: Apache-2.0
// What a dead process left behind, and what nobody needs any more (rkt-cli §5.14 image gc). Everything
// here decides by locks: what somebody holds is left alone.
import { closeSync, constants, lstatSync, openSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import type { ImageKey } from "../appc/index.ts";
import { isErrno } from "../lib/errors.ts";
import { isStillAt, tryLockFd } from "../sys/lock.ts";
import { removeFile } from "../sys/remove-file.ts";
import { removeTree as rmTree } from "../sys/remove-tree.ts";
import { tryLockKey } from "./key-lock.ts";
import { asKey, keyedPath, listKeyedFiles, readNames } from "./keys.ts";
import type { StorePaths } from "./layout.ts";
import { removeStaleOci } from "./oci-gc.ts";
import { IMPORT_PREFIX } from "./temporary.ts";
import { listTrees, settleTrees, type TreeStoreID, tryRemoveTree } from "./tree-store.ts";

export interface StaleOptions {
  readonly now: Date;
  /** Downloads that were broken off are kept this long, to be resumed. */
  readonly gracePeriodMs: number;
}

/**
 * Removes temporary files, half-made trees, half-removed images and lock files of things that are gone.
 * Returns the paths that it removed.
 */
export function removeStale(paths: StorePaths, options: StaleOptions): readonly string[] {
  return [
    ...staleTemporaries(paths, options),
    ...staleImageFiles(paths),
    ...staleTrees(paths),
    ...removeStaleOci(paths, { layers: isReadable(paths.trees) }),
    ...staleLocks(paths),
  ];
}

function* staleTemporaries(paths: StorePaths, options: StaleOptions): Iterable<string> {
  for (const name of readNames(paths.casTmp)) {
    const path = join(paths.casTmp, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    const age = options.now.getTime() - stat.mtimeMs;
    if (!name.startsWith(IMPORT_PREFIX) && age < options.gracePeriodMs) continue;
    if (stat.isFile()) {
      if (removeUnlocked(path)) yield path;
    } else {
      // Nothing of ours: a link or a FIFO must not be opened.
      rmTree(path);
      yield path;
    }
  }
}

/** Removes a file that nobody holds a lock on. */
function removeUnlocked(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
  try {
    // The file that was opened may have become a blob since, and another download have begun at its path.
    if (!tryLockFd(fd, "exclusive") || !isStillAt(fd, path)) return false;
    removeFile(path);
    return true;
  } finally {
    closeSync(fd);
  }
}

/** Manifests and records without a blob, and files that were about to become one of the two. */
function* staleImageFiles(paths: StorePaths): Iterable<string> {
  for (const root of [paths.manifests, paths.records]) {
    for (const { name, path } of listKeyedFiles(root)) {
      const key = asKey(basename(name, ".tmp"));
      if (key === undefined) continue;
      const isTemporary = name.endsWith(".tmp");
      if (!isTemporary && exists(keyedPath(paths.blobs, key))) continue;
      using lock = tryLockKey(paths.imageLocks, key, "exclusive");
      // An import may have come to its end since; then the blob is there now.
      if (lock === undefined || (!isTemporary && exists(keyedPath(paths.blobs, key)))) continue;
      removeFile(path);
      yield path;
    }
  }
}

function* staleTrees(paths: StorePaths): Iterable<string> {
  if (!isReadable(paths.trees)) return;
  settleTrees(paths);
  for (const { id, rendered } of listTrees(paths)) {
    if (!rendered && tryRemoveTree(paths, id)) yield join(paths.trees, id);
  }
}

function* staleLocks(paths: StorePaths): Iterable<string> {
  for (const name of readNames(paths.imageLocks)) {
    const key = asKey(name);
    const isUsed = key !== undefined && exists(keyedPath(paths.blobs, key));
    if (!isUsed && removeLock(paths.imageLocks, name)) yield join(paths.imageLocks, name);
  }
  if (!isReadable(paths.treeLocks)) return;
  for (const name of readNames(paths.treeLocks)) {
    const isUsed = exists(join(paths.trees, name));
    if (!isUsed && removeLock(paths.treeLocks, name)) yield join(paths.treeLocks, name);
  }
}

function removeLock(directory: string, name: string): boolean {
  using lock = tryLockKey(directory, name, "exclusive");
  lock?.removeFile();
  return lock !== undefined;
}

/** Removes the trees that are in nobody's use. The caller holds prepareLock exclusively. */
export function removeUnusedTrees(
  paths: StorePaths,
  inUse: ReadonlySet<string>,
  onRemoved: (id: TreeStoreID, image: ImageKey | undefined) => void,
): void {
  if (!isReadable(paths.trees)) return;
  for (const { id, image } of listTrees(paths)) {
    if (!inUse.has(id) && tryRemoveTree(paths, id)) onRemoved(id, image);
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** False where only root may look (cas/tree): a member of the group collects the rest. */
function isReadable(directory: string): boolean {
  try {
    readNames(directory);
    return true;
  } catch (error) {
    if (isErrno(error, "EACCES")) return false;
    throw error;
  }
}
