// SPDX-License-Identifier: Apache-2.0
// The image store: blobs, index and rendered trees below one data directory (rkt-runtime §6). All state
// is files and locks, so any number of processes may have the same store open.
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import {
  type ACIdentifier,
  type ImageID,
  type ImageKey,
  type ImageManifest,
  type Labels,
  matchLabels,
  parseAppString,
  parseImageManifest,
  serializeImageManifest,
} from "../appc/index.ts";
import { isErrno, RktError } from "../lib/errors.ts";
import { forOutput } from "../lib/for-output.ts";
import { quote } from "../lib/text.ts";
import { RENAME_NOREPLACE, renameAt2 } from "../sys/at.ts";
import { AT_FDCWD } from "../sys/constants.ts";
import { fsyncDir } from "../sys/durable.ts";
import { type Lock, type LockKind, lockFile } from "../sys/lock.ts";
import { removeFile } from "../sys/remove-file.ts";
import type { VerifiedImage, VerifiedManifest } from "../trust/verified-image.ts";
import { type BlobIdentity, blobIdentity, checkDigest, hashFile, openBlobFile } from "./blob.ts";
import { StoreError } from "./errors.ts";
import { removeStale, removeUnusedTrees } from "./gc.ts";
import { ImageIndex, type RemoteRecord } from "./image-index.ts";
import { type ImageVerification, readRecord, type StoredRecord } from "./image-record.ts";
import { acceptRows, type ImageRow, toImageRow } from "./image-row.ts";
import { lockKey, tryLockKey } from "./key-lock.ts";
import { keyedPath, listKeys, resolveKeyPrefix } from "./keys.ts";
import {
  ensureLayout,
  explainAccess,
  explainSystem,
  type StorePaths,
  storePaths,
} from "./layout.ts";
import { askByName } from "./name-cache.ts";
import { removeStaleOci } from "./oci-gc.ts";
import type { StoredOci } from "./oci-record.ts";
import { isOciTree, ociTreeID, renderedOciTree } from "./oci-trees.ts";
import { type Ordered, renderOrder } from "./render-order.ts";
import {
  checkTree,
  listTrees,
  makeTree,
  type RenderedTree,
  removeTree,
  renderedTree,
  type TreeListing,
  type TreeStoreID,
  treeImage,
  treeSize,
  treeStoreID,
} from "./tree-store.ts";

/** An image as the store knows it. */
export type ImageRecord = ImageRow;

export interface RenderOptions {
  /** Added to every owner in the image. */
  readonly uidShift?: number;
  readonly gidShift?: number;
}

export interface CollectImages {
  /** Images of running pods. */
  readonly inUse: ReadonlySet<ImageKey>;
  readonly gracePeriodMs: number;
  readonly now: Date;
}

/** Bounded so that a damaged store cannot take all memory; the parser has its own, tighter bound. */
const MAX_MANIFEST = 16 * 1024 * 1024;

/**
 * Opens the store in `dataDir`, making what is missing. Costs one stat(2) when nothing is; the index is
 * opened when it is first needed.
 */
export function openStore(dataDir: string): Store {
  const paths = storePaths(resolve(dataDir));
  ensureLayout(paths);
  return new Store(paths);
}

export class Store implements Disposable {
  readonly paths: StorePaths;
  /** For downloads on the same file system as the blobs. */
  readonly tmpDir: string;
  #index: ImageIndex | undefined;
  readonly #manifests = new Map<ImageKey, ImageManifest>();
  readonly #texts = new Map<ImageKey, string>();
  /** Blobs that this process hashed itself: as long as stat(2) finds them unchanged, once is enough. */
  readonly #hashed = new Map<ImageKey, BlobIdentity>();

  constructor(paths: StorePaths) {
    this.paths = paths;
    this.tmpDir = paths.casTmp;
  }

  [Symbol.dispose](): void {
    this.#index?.[Symbol.dispose]();
    this.#index = undefined;
  }

  get #db(): ImageIndex {
    this.#index ??= this.#guard(() => new ImageIndex(this.paths, () => this.#scan()));
    return this.#index;
  }

  /** locks/prepareLock: shared while a pod is prepared, exclusive while trees are collected. */
  lockPrepare(kind: LockKind): Lock {
    return this.#guard(() => lockFile(this.paths.prepareLock, kind));
  }

  // Images

  /**
   * Takes a verified image in. Idempotent: the same image twice, also by two processes at once, is one.
   * The file at `raw.path` must be below `tmpDir`; it is gone when this returns.
   */
  async importImage(
    image: VerifiedImage,
    options: {
      readonly latest: boolean;
      /** Refuses the image by throwing, once its manifest is known and before it is in the store. */
      readonly accept?: (manifest: ImageManifest) => VerifiedImage | Promise<VerifiedImage>;
    },
  ): Promise<ImageRecord> {
    const { importImage } = await import("./import-image.ts");
    const now = new Date();
    let row: ImageRecord | undefined;
    try {
      await importImage(this.paths, image, {
        latest: options.latest,
        now,
        accept: options.accept ?? (() => image),
        onStored: ({ key, manifest, record, blob }) => {
          this.#manifests.set(key, manifest);
          row = {
            key,
            id: record.id,
            name: manifest.name,
            importTime: now,
            lastUsed: now,
            latest: record.latest,
            size: record.size,
            treeSize: this.#treeSize(key),
            verification: record.verification,
          };
          this.#db.put(row);
          this.#hashed.set(key, blob);
        },
      });
    } catch (error) {
      throw explainSystem(
        explainAccess(error, this.paths),
        "IMAGE_IMPORT",
        "cannot store the image",
      );
    }
    if (row === undefined) throw new Error("import without a result");
    return this.#db.get(row.key) ?? row;
  }

  /** Takes an OCI image in whose config and layers are there. Idempotent, like `importImage`. */
  async importOci(
    image: VerifiedManifest,
    about: { readonly manifest: ImageManifest; readonly oci: StoredOci; readonly latest: boolean },
  ): Promise<ImageKey> {
    const { importOci } = await import("./oci-import.ts");
    const { key } = importOci(this.paths, {
      ...about,
      image,
      now: new Date(),
      onStored: ({ key, manifest, record }) => {
        this.#db.put({
          key,
          id: record.id,
          name: manifest.name,
          importTime: record.importTime,
          lastUsed: record.importTime,
          latest: record.latest,
          size: record.size,
          treeSize: 0,
          verification: record.verification,
        });
        // What `rkt image list` shows besides the manifest: the layers as they came.
        this.#db.setTreeSize(
          key,
          about.oci.layers.reduce((sum, { size }) => sum + size, 0),
        );
        this.#manifests.set(key, manifest);
      },
    });
    return key;
  }

  /** The blobs of an OCI image; undefined for an App Container Image. */
  ociImage(key: ImageKey): StoredOci | undefined {
    return this.#guard(() => readRecord(this.paths.records, key))?.oci;
  }

  /** The one image whose key starts with `prefix`, or the reference's error (rkt-cli §2). */
  resolveKey(prefix: string): ImageKey {
    return this.#guard(() => resolveKeyPrefix(this.paths.blobs, prefix));
  }

  /**
   * The best image of exactly this name that has all these labels: without a version among them, images
   * marked latest come first; then the most recent import (rkt-cli §2.1). Images whose verification is
   * unknown or whose blob a power failure cut off are not found: they have to be fetched again. With
   * `preferVerified`, one that nobody verified never stands before one that somebody did.
   */
  findByName(
    name: ACIdentifier,
    labels: Labels,
    { preferVerified = false }: { readonly preferVerified?: boolean } = {},
  ): ImageKey | undefined {
    const hasVersion = labels.some((label) => label.name === "version");
    const rows = askByName(this.paths, name, {
      accept: acceptRows,
      ask: () => this.#db.byName(name),
    });
    const found = rows
      .map(toImageRow)
      .filter(
        ({ key, size, verification }) =>
          verification.kind !== "unknown" &&
          this.#hasBlob(key, size) &&
          this.#hasLabels(key, labels),
      );
    const verified = found.filter(
      ({ verification }) => verification.kind === "openpgp" || verification.kind === "sigstore",
    );
    const matches = preferVerified && verified.length > 0 ? verified : found;
    const latest = hasVersion ? undefined : matches.find((row) => row.latest);
    return (latest ?? matches[0])?.key;
  }

  /** IMAGE of `rkt image`: a prefix of an image ID, or NAME[:VERSION][,LABELS], which means what `findByName` finds. */
  resolveImage(text: string, options: { readonly preferVerified?: boolean } = {}): ImageKey {
    if (isHash(text)) {
      try {
        return this.resolveKey(text);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        throw new StoreError(error.code, "cannot resolve image ID", {
          cause: error,
          details: error.details,
        });
      }
    }
    const { name, labels } = parseAppString(text);
    const key = this.findByName(name, labels, options);
    if (key !== undefined) return key;
    throw new StoreError("IMAGE_NOT_FOUND", "cannot find image", {
      cause: new StoreError("IMAGE_NOT_FOUND", `no image ${quote(text)} in the store`),
      remedy: "rkt image list shows what there is",
      details: { image: text },
    });
  }

  manifest(key: ImageKey): ImageManifest {
    return this.#manifests.get(key) ?? this.#readManifest(key).manifest;
  }

  /** The manifest as it is in the store: the specification's order of keys, compact. */
  manifestText(key: ImageKey): string {
    return this.#texts.get(key) ?? this.#readManifest(key).text;
  }

  #readManifest(key: ImageKey): { readonly manifest: ImageManifest; readonly text: string } {
    const path = keyedPath(this.paths.manifests, key);
    let text: string;
    try {
      if (statSync(path).size > MAX_MANIFEST) throw this.#damaged(key, "its manifest is too large");
      text = readFileSync(path, "utf8");
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw explainAccess(error, this.paths);
      if (exists(keyedPath(this.paths.blobs, key))) throw this.#damaged(key, "it has no manifest");
      throw new StoreError("IMAGE_NOT_FOUND", `image "${key}" is not in the store`);
    }
    const manifest = parseImageManifest(text);
    this.#manifests.set(key, manifest);
    this.#texts.set(key, text);
    return { manifest, text };
  }

  record(key: ImageKey): ImageRecord {
    const row = this.#db.get(key) ?? this.#guard(() => this.#rowOf(key));
    if (row === undefined || !exists(keyedPath(this.paths.blobs, key))) {
      throw new StoreError("IMAGE_NOT_FOUND", `image "${key}" is not in the store`);
    }
    return this.#withUse(row);
  }

  /** Who vouched for an image; reads no index. */
  verification(key: ImageKey): ImageVerification {
    return (
      this.#guard(() => readRecord(this.paths.records, key))?.verification ?? { kind: "unknown" }
    );
  }

  /** All images in the order of import. */
  listImages(): readonly ImageRecord[] {
    return this.#db
      .all()
      .filter(({ key }) => exists(keyedPath(this.paths.blobs, key)))
      .map((row) => this.#withUse(row));
  }

  /**
   * Notes that a pod uses the image. The time is that of the record's file, not a row: a start must not wait
   * for the index.
   */
  markUsed(key: ImageKey): void {
    const now = new Date();
    this.#guard(() => utimesSync(keyedPath(this.paths.records, key), now, now));
  }

  #withUse(row: ImageRecord): ImageRecord {
    const file = statSync(keyedPath(this.paths.records, row.key), { throwIfNoEntry: false });
    return file !== undefined && file.mtime > row.lastUsed ? { ...row, lastUsed: file.mtime } : row;
  }

  /** Removes an image and what is known of its URLs; trees that were rendered from it stay. */
  removeImage(key: ImageKey): void {
    this.#guard(() => {
      using lock = lockKey(this.paths.imageLocks, key, "exclusive");
      const blob = keyedPath(this.paths.blobs, key);
      if (!exists(blob)) {
        throw new StoreError("IMAGE_NOT_FOUND", `image "${key}" is not in the store`);
      }
      const isOci = this.ociImage(key) !== undefined;
      // Without its blob an image does not exist: from here on only gc needs to know of the rest.
      unlinkSync(blob);
      fsyncDir(dirname(blob));
      this.#forget(key);
      this.#db.remove(key);
      const failures: unknown[] = [];
      for (const root of [this.paths.manifests, this.paths.records]) {
        try {
          removeFile(keyedPath(root, key));
        } catch (error) {
          failures.push(error);
        }
      }
      lock.removeFile();
      if (isOci) removeStaleOci(this.paths, { layers: false });
      if (failures.length > 0) {
        throw new StoreError("IMAGE_REMOVE", `some files of image "${key}" cannot be removed`, {
          cause: failures[0],
          remedy: "rkt image gc",
        });
      }
    });
  }

  /** Opens the image's tar for reading and marks the image as used now. The caller closes it. */
  openBlob(key: ImageKey): number {
    const fd = this.#guard(() => openBlobFile(this.paths.blobs, key));
    try {
      this.#db.setLastUsed(key, new Date());
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /**
   * Copies the image's tar to a file (0644), checking its hash on the way: a file at `path` is the whole
   * image or not there. Without `overwrite` an existing file is an error.
   */
  async exportBlob(
    key: ImageKey,
    path: string,
    options: { readonly overwrite: boolean },
  ): Promise<void> {
    const exists_ = (): StoreError =>
      new StoreError("EXPORT_EXISTS", "output ACI file exists (try --overwrite)", {
        details: { path },
      });
    if (!options.overwrite && exists(path)) throw exists_();
    const image = this.ociImage(key);
    const archive = image === undefined ? undefined : await import("./oci-export.ts");
    const from = this.openBlob(key);
    const temporary = `${path}.${process.pid}.tmp`;
    try {
      const to = openSync(temporary, "wx", 0o644);
      try {
        fchmodSync(to, 0o644);
        if (image !== undefined && archive !== undefined) {
          archive.writeOciArchive(this.paths, { image, manifest: from, key }, to);
        } else {
          const digest = hashFile(from, (chunk) => {
            for (let at = 0; at < chunk.length; ) at += writeSync(to, chunk, at);
          });
          checkDigest(digest, key);
        }
        fsyncSync(to);
      } finally {
        closeSync(to);
      }
      renameAt2(
        { dirFd: AT_FDCWD, name: temporary },
        { dirFd: AT_FDCWD, name: path },
        options.overwrite ? 0 : RENAME_NOREPLACE,
      );
    } catch (error) {
      removeFile(temporary);
      if (isErrno(error, "EEXIST")) throw exists_();
      if (error instanceof StoreError) throw error;
      throw new StoreError("EXPORT_FAILED", `cannot export the image to ${quote(path)}`, {
        cause: forOutput(error, temporary, path),
      });
    } finally {
      closeSync(from);
    }
  }

  // URLs

  /** What is known of this URL, if the image that it led to is still there and whole. */
  remote(url: string): RemoteRecord | undefined {
    const record = this.#db.remote(url);
    const row = record === undefined ? undefined : this.#db.get(record.key);
    return row !== undefined && this.#hasBlob(row.key, row.size) ? record : undefined;
  }

  putRemote(record: RemoteRecord): void {
    this.#db.putRemote(record);
  }

  // Trees

  /** The image and its dependencies as they are in the store now, in the order of rendering. */
  flatten(key: ImageKey): readonly ImageKey[] {
    return this.#order(key).map(({ image }) => image);
  }

  /** The ID of the image's tree with its dependencies as they are in the store now. */
  treeID(key: ImageKey): TreeStoreID {
    if (this.ociImage(key) !== undefined) return ociTreeID(key);
    return treeStoreID(this.flatten(key));
  }

  /**
   * The image's tree if it is rendered and ready: cheap, and needs no index for an image without
   * dependencies. Undefined also for a tree that has to be checked after a reboot: `renderTree` does that.
   */
  renderedTree(key: ImageKey): RenderedTree | undefined {
    const images = this.flatten(key);
    for (const image of images) {
      if (this.#requireVerified(image)?.oci === undefined) continue;
      if (images.length > 1) throw this.#mixed(image);
      return this.#guard(() => renderedOciTree(this.paths, key));
    }
    return this.#guard(() => renderedTree(this.paths, treeStoreID(images)));
  }

  /**
   * The image's tree, rendered now unless it is there. Refuses images whose verification is unknown.
   * `rebuild` makes it again although it is there. Needs root for the right owners.
   */
  async renderTree(
    key: ImageKey,
    options: { readonly rebuild?: boolean } = {},
  ): Promise<RenderedTree> {
    const existing = options.rebuild === true ? undefined : this.renderedTree(key);
    if (existing !== undefined) return existing;
    const image = this.ociImage(key);
    if (image !== undefined) return await this.#renderOci(key, image, options.rebuild === true);
    const { hashAhead, ownerPolicy, renderImages } = await import("./render-images.ts");
    const sources = this.#sources(key);
    return this.#guardRender(key, () =>
      makeTree(this.paths, {
        id: this.treeID(key),
        key,
        manifest: this.manifest(key),
        rebuild: options.rebuild === true,
        fill: (rootfs) => renderImages(sources, rootfs, ownerPolicy({ uid: 0, gid: 0 })),
        hashAhead: () => hashAhead(sources),
        onMade: (size) => this.#db.setTreeSize(key, size),
      }),
    );
  }

  /**
   * Renders the image and its dependencies into `directory`, which must exist: `rootfs` (which must not)
   * and `manifest`. For pods without overlay and for `rkt image render`.
   */
  async renderInto(key: ImageKey, directory: string, options: RenderOptions = {}): Promise<void> {
    if (this.ociImage(key) !== undefined) {
      const { copyOci } = await import("./oci-render.ts");
      const tree = await this.renderTree(key);
      this.#guardRender(key, () => copyOci(this.paths, tree.id, directory, options));
      return;
    }
    const { ownerPolicy, renderImages } = await import("./render-images.ts");
    const sources = this.#sources(key);
    const rootfs = join(directory, "rootfs");
    const owner = ownerPolicy({ uid: options.uidShift ?? 0, gid: options.gidShift ?? 0 });
    this.#guardRender(key, () => {
      mkdirSync(rootfs, { mode: 0o755 });
      // mkdir(2) takes the setgid bit from its parent; an image may not say what rootfs is to be.
      chmodSync(rootfs, 0o755);
      renderImages(sources, rootfs, owner);
      writeFileSync(join(directory, "manifest"), serializeImageManifest(this.manifest(key)), {
        mode: 0o644,
      });
    });
  }

  /** Extracts the image as it is, manifest and rootfs, without dependencies, into `directory`. */
  async extractInto(key: ImageKey, directory: string): Promise<void> {
    if (this.ociImage(key) !== undefined) return await this.renderInto(key, directory);
    const { extractTree } = await import("../tar/extract.ts");
    const { readTar } = await import("../tar/read.ts");
    const { ownerPolicy } = await import("./render-images.ts");
    const fd = this.#openVerified(key);
    try {
      const rootFd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        const owner = ownerPolicy({ uid: 0, gid: 0 });
        extractTree(fd, readTar(fd), { rootFd, strip: "", owner });
      } finally {
        closeSync(rootFd);
      }
    } finally {
      closeSync(fd);
    }
  }

  /** Hashes the image's tree again; undefined when it is not rendered, TREE_CORRUPT when it changed. */
  async checkTree(id: TreeStoreID): Promise<string | undefined> {
    if (isOciTree(id)) {
      const { checkOciTree } = await import("./oci-render.ts");
      const image = treeImage(this.paths, id);
      const oci = image === undefined ? undefined : this.ociImage(image);
      return this.#guard(() => checkOciTree(this.paths, id, oci));
    }
    return this.#guard(() => checkTree(this.paths, id));
  }

  listTrees(): readonly TreeListing[] {
    return this.#guard(() => listTrees(this.paths));
  }

  removeTree(id: TreeStoreID): void {
    const image = treeImage(this.paths, id);
    this.#guard(() => removeTree(this.paths, id));
    if (image !== undefined) this.#db.setTreeSize(image, 0);
  }

  // Garbage

  /**
   * Removes the trees that are not in `inUse` and that nobody is at work on. The caller holds
   * `lockPrepare("exclusive")`, so that no pod is about to use one.
   */
  collectTrees(inUse: ReadonlySet<string>): readonly TreeStoreID[] {
    const removed: TreeStoreID[] = [];
    this.#guard(() =>
      removeUnusedTrees(this.paths, inUse, (id, image) => {
        removed.push(id);
        if (image !== undefined) this.#db.setTreeSize(image, 0);
      }),
    );
    return removed;
  }

  /** Removes images that were not used for longer than the grace period, the oldest first. */
  collectImages(options: CollectImages): readonly ImageKey[] {
    this.reconcile();
    const limit = options.now.getTime() - options.gracePeriodMs;
    const rows = this.#db
      .all()
      .map((row) => this.#withUse(row))
      .sort((a, b) => a.lastUsed.getTime() - b.lastUsed.getTime());
    const removed: ImageKey[] = [];
    for (const { key, lastUsed } of rows) {
      if (lastUsed.getTime() > limit) break;
      if (options.inUse.has(key)) continue;
      try {
        this.removeImage(key);
      } catch (error) {
        // Another process was faster.
        if (error instanceof StoreError && error.code === "IMAGE_NOT_FOUND") continue;
        throw error;
      }
      removed.push(key);
    }
    return removed;
  }

  /**
   * Removes what dead processes left: temporary files, half-made trees, parts of images. Returns the
   * paths. Downloads that can be resumed are kept for the grace period.
   */
  removeStale(options: { readonly now: Date; readonly gracePeriodMs: number }): readonly string[] {
    return this.#guard(() => removeStale(this.paths, options));
  }

  /** Makes the index agree with the files: a process may have died between the two. */
  reconcile(): void {
    const indexed = new Set(this.#db.all().map(({ key }) => key));
    for (const key of listKeys(this.paths.blobs)) {
      if (indexed.delete(key)) continue;
      using lock = tryLockKey(this.paths.imageLocks, key, "exclusive");
      // A lock that is held is an import which is about to write the row itself.
      const row = lock === undefined ? undefined : this.#rowOf(key);
      if (row !== undefined && this.#db.get(key) === undefined) this.#db.put(row);
    }
    for (const key of indexed) {
      using lock = tryLockKey(this.paths.imageLocks, key, "exclusive");
      if (lock === undefined || exists(keyedPath(this.paths.blobs, key))) continue;
      this.#db.remove(key);
      lock.removeFile();
    }
  }

  // Inside

  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw explainAccess(error, this.paths);
    }
  }

  #guardRender<T>(key: ImageKey, work: () => T): T {
    try {
      return this.#guard(work);
    } catch (error) {
      throw explainSystem(error, "TREE_FAILED", `cannot render image "${key}"`);
    }
  }

  /** False also for a blob of another size than it had: after a power failure it may be cut off. */
  #hasBlob(key: ImageKey, size: number): boolean {
    return statSync(keyedPath(this.paths.blobs, key), { throwIfNoEntry: false })?.size === size;
  }

  #hasLabels(key: ImageKey, labels: Labels): boolean {
    try {
      return matchLabels(labels, this.manifest(key).labels);
    } catch (error) {
      if (error instanceof RktError) return false;
      throw error;
    }
  }

  #forget(key: ImageKey): void {
    this.#manifests.delete(key);
    this.#hashed.delete(key);
  }

  #damaged(key: ImageKey, why: string): StoreError {
    return new StoreError("IMAGE_CORRUPT", `cannot use image "${key}": ${why}`, {
      remedy: `rkt image rm ${key}, then fetch it again`,
    });
  }

  /** The rows that the files account for, to make the index again. */
  *#scan(): Iterable<ImageRow> {
    for (const key of listKeys(this.paths.blobs)) {
      const row = this.#rowOf(key);
      if (row !== undefined) yield row;
    }
  }

  /**
   * An image's row out of its files. Without a record its verification is unknown, and it stays so until
   * it is fetched again; use counts from when the blob came. Undefined when there is no blob.
   */
  #rowOf(key: ImageKey): ImageRow | undefined {
    const blob = statSync(keyedPath(this.paths.blobs, key), { throwIfNoEntry: false });
    if (blob === undefined) return undefined;
    const record = readRecord(this.paths.records, key);
    const time = record?.importTime ?? blob.mtime;
    return {
      key,
      id: record?.id ?? (key as string as ImageID),
      name: this.#nameOf(key),
      importTime: time,
      lastUsed: time,
      latest: record?.latest ?? false,
      size: record?.size ?? blob.size,
      treeSize: this.#treeSize(key),
      verification: record?.verification ?? { kind: "unknown" },
    };
  }

  /**
   * Of the tree that is there already: the image was removed and has come back, or the index is made anew. Not of an
   * image with dependencies: to find those takes the index, which is being written.
   */
  #treeSize(key: ImageKey): number {
    try {
      if (this.manifest(key).dependencies.length > 0) return 0;
      return treeSize(this.paths, treeStoreID([key]));
    } catch (error) {
      // A manifest that cannot be read: then there is no tree to find. The trees are root's alone.
      if (error instanceof RktError || isErrno(error, "EACCES")) return 0;
      throw error;
    }
  }

  /** "" for an image whose manifest is lost: it can be listed and removed, not found by name. */
  #nameOf(key: ImageKey): string {
    try {
      return this.manifest(key).name;
    } catch (error) {
      if (error instanceof RktError) return "";
      throw error;
    }
  }

  #order(key: ImageKey): readonly Ordered<ImageKey>[] {
    return renderOrder(key, (image) => this.#dependencies(image));
  }

  #dependencies(key: ImageKey): readonly ImageKey[] {
    const { name, dependencies } = this.manifest(key);
    return dependencies.map(({ imageName, imageID, labels }) => {
      try {
        const found =
          imageID === undefined ? this.findByName(imageName, labels) : this.resolveKey(imageID);
        if (found !== undefined) return found;
      } catch (error) {
        if (!(error instanceof StoreError) || error.code !== "IMAGE_NOT_FOUND") throw error;
      }
      throw new StoreError(
        "DEPENDENCY_MISSING",
        `dependency ${quote(imageID ?? imageName)} of image ${quote(name)} is not in the store`,
        { remedy: `rkt fetch ${name}`, details: { image: key, dependency: imageName } },
      );
    });
  }

  #sources(key: ImageKey) {
    return this.#order(key).map(({ image, level }) => ({
      level,
      image: {
        manifest: this.manifest(image),
        open: () => {
          if (this.#requireVerified(image)?.oci !== undefined) throw this.#mixed(image);
          return this.#openVerified(image);
        },
      },
    }));
  }

  async #renderOci(key: ImageKey, image: StoredOci, rebuild: boolean): Promise<RenderedTree> {
    const { renderOci } = await import("./oci-render.ts");
    this.#requireVerified(key);
    try {
      return await renderOci(this.paths, { key, image, manifest: this.manifest(key), rebuild });
    } catch (error) {
      throw explainSystem(
        explainAccess(error, this.paths),
        "TREE_FAILED",
        `cannot render image "${key}"`,
      );
    }
  }

  #mixed(key: ImageKey): StoreError {
    return new StoreError(
      "DEPENDENCY_MISSING",
      `image ${quote(this.#nameOf(key))} is an OCI image: App Container Images cannot depend on it`,
    );
  }

  /** Nothing of an image is used when nobody can say any more who let it in. */
  #requireVerified(key: ImageKey): StoredRecord | undefined {
    const record = this.#guard(() => readRecord(this.paths.records, key));
    if (record !== undefined) return record;
    const name = this.#nameOf(key);
    throw new StoreError(
      "IMAGE_UNVERIFIED",
      `cannot use image "${key}": the store has no record of who verified it`,
      { remedy: `fetch it again: rkt fetch ${name === "" ? "IMAGE" : name}`, details: { key } },
    );
  }

  /** Opens a blob whose bytes were hashed by this process, now if not before. */
  #openVerified(key: ImageKey): number {
    const fd = this.openBlob(key);
    try {
      const known = this.#hashed.get(key);
      const identity = blobIdentity(fd);
      if (known === undefined || !isSame(known, identity)) {
        checkDigest(hashFile(fd), key);
        this.#hashed.set(key, identity);
      }
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }
}

function isSame(a: BlobIdentity, b: BlobIdentity): boolean {
  return (
    a.dev === b.dev &&
    a.ino === b.ino &&
    a.size === b.size &&
    a.mtimeMs === b.mtimeMs &&
    a.ctimeMs === b.ctimeMs
  );
}

/** What the reference takes for a hash: an algorithm it knows, one dash, something. */
function isHash(text: string): boolean {
  return /^sha512-[^-]+$/.test(text);
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
