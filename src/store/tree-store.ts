// SPDX-License-Identifier: Apache-2.0
// Rendered trees: cas/tree/ID/{rootfs,manifest,hash,image,rendered} (rkt-runtime §6.3). A tree counts only
// when `rendered` is there; it is made last and removed first, and what has none may be wiped at any time
// by whoever holds the tree's lock.
//
// Waiting for the disk would cost as much as all the rest of rendering, for data that can be made again.
// So `rendered` holds the ID of the boot that wrote the tree: in the same boot the kernel knows every byte,
// whether it is on disk or not. In a later one the tree is hashed before it is used, once, and made again
// if a power failure took a part of it. `settleTrees` and a good hash replace the ID by "synced"; rkt 1.x,
// which waited for the disk, left the file empty.
import { chmodSync, chownSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ImageKey, type ImageManifest, serializeImageManifest } from "../appc/index.ts";
import type { Brand } from "../lib/brand.ts";
import { isErrno } from "../lib/errors.ts";
import { bootID } from "../sys/boot-id.ts";
import { fsyncDir, syncFileSystem, writeFileDurable } from "../sys/durable.ts";
import { removeFile } from "../sys/remove-file.ts";
import { removeTree as rmTree } from "../sys/remove-tree.ts";
import { StoreError } from "./errors.ts";
import { lockKey, tryLockKey } from "./key-lock.ts";
import { asKey, readNames } from "./keys.ts";
import type { StorePaths } from "./layout.ts";
import { hashTree, type TreeHash } from "./tree-hash.ts";

/** `deps-sha512-` or, for an OCI image, `oci-sha512-`, and 64 hexadecimal digits: safe as a file name. */
export type TreeStoreID = Brand<string, "TreeStoreID">;

export interface RenderedTree {
  readonly id: TreeStoreID;
  /** The root file system, or of several layers the topmost; read-only for everybody. */
  readonly rootfs: string;
}

export interface TreeListing {
  readonly id: TreeStoreID;
  /** False for a tree that is being made, or that a dead process left half made. */
  readonly rendered: boolean;
  /** The image that it was rendered for, where that is known. */
  readonly image: ImageKey | undefined;
}

/** The ID of the tree made of these images in this order: a pure function of their keys. */
export function treeStoreID(keys: readonly ImageKey[]): TreeStoreID {
  // Not node:crypto, whose first hash costs 0.1 ms more: this is on the way of every `rkt run`.
  const digest = new Bun.CryptoHasher("sha512").update(keys.join(",")).digest("hex");
  return `deps-sha512-${digest.slice(0, 64)}` as TreeStoreID;
}

export function parseTreeStoreID(text: string): TreeStoreID | undefined {
  return /^(?:deps|oci)-sha512-[0-9a-f]{64}$/.test(text) ? (text as TreeStoreID) : undefined;
}

export const SYNCED = "synced";

export type TreeState =
  /** Not there, or not complete. */
  | "missing"
  | "ready"
  /** Complete when it was written, in an earlier boot; who knows what reached the disk. */
  | "unsure";

export function treeState(directory: string): TreeState {
  const text = readSmall(join(directory, "rendered"));
  if (text === undefined) return "missing";
  return text === "" || text === SYNCED || text === bootID() ? "ready" : "unsure";
}

/** The tree when it can be used as it is: two small files read. */
export function renderedTree(paths: StorePaths, id: TreeStoreID): RenderedTree | undefined {
  const directory = join(paths.trees, id);
  if (treeState(directory) !== "ready") return undefined;
  return { id, rootfs: join(directory, "rootfs") };
}

export interface TreeJob {
  readonly id: TreeStoreID;
  readonly key: ImageKey;
  readonly manifest: ImageManifest;
  /** Make it again although it is there. */
  readonly rebuild: boolean;
  /** Fills the empty directory `rootfs`; synchronous, because the tree's lock is held. */
  readonly fill: (rootfs: string) => void;
  /** Starts computing the tree hash while the tree is filled, where that pays off. */
  readonly hashAhead: () => HashAhead | undefined;
  /** Called with the size of a tree that was made. */
  readonly onMade: (size: number) => void;
}

/** A tree hash that is computed elsewhere. `finish` gives it if it turns out to be that of `directory`. */
export interface HashAhead extends Disposable {
  finish(directory: string): TreeHash | undefined;
}

/** Makes a tree, or waits until another process has made it. */
export function makeTree(paths: StorePaths, job: TreeJob): RenderedTree {
  using _lock = lockKey(paths.treeLocks, job.id, "exclusive");
  const directory = join(paths.trees, job.id);
  const tree = { id: job.id, rootfs: join(directory, "rootfs") };
  if (!job.rebuild && isUsable(directory, job)) return tree;
  wipeTree(directory);
  try {
    const size = fillTree(directory, job);
    job.onMade(size);
  } catch (error) {
    wipeTree(directory);
    throw error;
  }
  return tree;
}

/** Under the tree's lock: settles what an earlier boot left. */
function isUsable(directory: string, job: TreeJob): boolean {
  const state = treeState(directory);
  if (state !== "unsure") return state === "ready";
  // What is read now comes from the disk: if it is all there, it stays there.
  if (hashTree(directory).hash !== readSmall(join(directory, "hash"))) return false;
  writeAbout(directory, job);
  markSynced(directory);
  return true;
}

/** The files beside rootfs that the hash does not cover. */
function writeAbout(directory: string, job: TreeJob): void {
  writeFileSync(join(directory, "manifest"), serializeImageManifest(job.manifest), { mode: 0o644 });
  writeFileSync(join(directory, "image"), job.key, { mode: 0o644 });
}

/** Only under the tree's lock. */
export function markSynced(directory: string): void {
  // Whoever died here has left a temporary file, and the tree to be marked again.
  for (const name of readNames(directory)) {
    if (name.startsWith("rendered.")) removeFile(join(directory, name));
  }
  writeFileDurable(join(directory, "rendered"), SYNCED, 0o644);
}

/**
 * Makes sure that the trees of this boot are on disk, so that they need no check after the next one. One
 * syncfs(2) if there are any: for gc, when nobody waits. A tree that is in use elsewhere is left for the
 * next time.
 */
export function settleTrees(paths: StorePaths): void {
  using locks = new DisposableStack();
  const fresh = listTrees(paths).filter(({ id }) => {
    if (readSmall(join(paths.trees, id, "rendered")) !== bootID()) return false;
    // Held over the sync: a tree that is made again meanwhile would not be on disk.
    const lock = tryLockKey(paths.treeLocks, id, "exclusive");
    if (lock !== undefined) locks.use(lock);
    return lock !== undefined && readSmall(join(paths.trees, id, "rendered")) === bootID();
  });
  if (fresh.length === 0) return;
  syncFileSystem(paths.trees);
  for (const { id } of fresh) markSynced(join(paths.trees, id));
}

function fillTree(directory: string, job: TreeJob): number {
  makeRootDirectory(directory);
  const rootfs = join(directory, "rootfs");
  makeRootDirectory(rootfs);
  using ahead = job.hashAhead();
  job.fill(rootfs);
  writeAbout(directory, job);
  const { hash, size } = ahead?.finish(directory) ?? hashTree(directory);
  writeFileSync(join(directory, "hash"), hash, { mode: 0o644 });
  writeFileSync(join(directory, "size"), String(size), { mode: 0o644 });
  const boot = bootID();
  if (boot === undefined) syncFileSystem(directory);
  // Durable, because an empty file, which a power failure could leave otherwise, has a meaning.
  writeFileDurable(join(directory, "rendered"), boot ?? SYNCED, 0o644);
  return size;
}

/** 0755, and neither the setgid bit nor the group of the store: an image's files are the image's. */
export function makeRootDirectory(path: string): void {
  mkdirSync(path, { mode: 0o755 });
  if (process.geteuid?.() === 0) chownSync(path, 0, 0);
  chmodSync(path, 0o755);
}

/** Removes a tree's files, `rendered` durably before the others. Only under the tree's lock. */
export function wipeTree(directory: string): void {
  try {
    unlinkSync(join(directory, "rendered"));
    fsyncDir(directory);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  rmTree(directory);
}

/**
 * Computes the hash of a rendered tree again. Returns it, or throws TREE_CORRUPT; undefined when the tree
 * is not rendered.
 */
export function checkTree(paths: StorePaths, id: TreeStoreID): string | undefined {
  using _lock = lockKey(paths.treeLocks, id, "shared");
  const directory = join(paths.trees, id);
  if (treeState(directory) === "missing") return undefined;
  return checkHash(id, directory, hashTree(directory).hash);
}

/** Compares with the hash that was written with the files. */
export function checkHash(id: string, directory: string, hash: string): string {
  const expected = readSmall(join(directory, "hash"));
  if (hash === expected) return hash;
  throw new StoreError(
    "TREE_CORRUPT",
    `wrong tree hash: ${hash}, expected: ${expected ?? "none"}`,
    {
      details: { tree: id, hash, expected },
    },
  );
}

export function listTrees(paths: StorePaths): readonly TreeListing[] {
  const result: TreeListing[] = [];
  for (const name of readNames(paths.trees)) {
    const id = parseTreeStoreID(name);
    if (id === undefined) continue;
    const image = readSmall(join(paths.trees, id, "image"));
    result.push({
      id,
      rendered: treeState(join(paths.trees, id)) !== "missing",
      image: image === undefined ? undefined : asKey(image),
    });
  }
  return result;
}

/** The image that a tree was rendered for. */
export function treeImage(paths: StorePaths, id: TreeStoreID): ImageKey | undefined {
  const text = readSmall(join(paths.trees, id, "image"));
  return text === undefined ? undefined : asKey(text);
}

/** Bytes of the files of a tree that is ready; 0 when there is none, or nobody wrote it down. */
export function treeSize(paths: StorePaths, id: TreeStoreID): number {
  if (treeState(join(paths.trees, id)) === "missing") return 0;
  const size = Number(readSmall(join(paths.trees, id, "size")) ?? 0);
  return Number.isSafeInteger(size) && size > 0 ? size : 0;
}

/** Removes a tree; waits for whoever renders or checks it. No pod may use it. */
export function removeTree(paths: StorePaths, id: TreeStoreID): void {
  using lock = lockKey(paths.treeLocks, id, "exclusive");
  wipeTree(join(paths.trees, id));
  lock.removeFile();
}

/** Removes a tree unless somebody is at work on it; says whether it did. */
export function tryRemoveTree(paths: StorePaths, id: TreeStoreID): boolean {
  using lock = tryLockKey(paths.treeLocks, id, "exclusive");
  if (lock === undefined) return false;
  wipeTree(join(paths.trees, id));
  lock.removeFile();
  return true;
}

export function readSmall(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").slice(0, 200).trim();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
