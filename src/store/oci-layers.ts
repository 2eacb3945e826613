// SPDX-License-Identifier: Apache-2.0
// The layers of OCI images, each unpacked once: cas/oci/layer/ALG/HEX/{diff,hash,rendered}, with the rules of rendered
// trees (tree-store.ts). HEX is the diffID; of a layer that cannot be unpacked by itself, because it has a hard link
// into a lower one or files in a directory that only a lower one describes, it is the ID of the layer and all below it.
import { createHash } from "node:crypto";
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import type { Digest } from "../oci/types.ts";
import { bootID } from "../sys/boot-id.ts";
import { syncFileSystem, writeFileDurable } from "../sys/durable.ts";
import { type DetachedMount, mountDetachedOverlay } from "../sys/overlay-mount.ts";
import { removeFile } from "../sys/remove-file.ts";
import { detectCompression, SNIFF_LENGTH } from "../tar/compression.ts";
import type { ConfinedArchive } from "../tar/confined.ts";
import type { LowerLayers } from "../tar/extract-layer.ts";
import { StoreError } from "./errors.ts";
import { hashLayer } from "./layer-hash.ts";
import type { StorePaths } from "./layout.ts";
import {
  blobPath,
  ensureOciLayout,
  type LayerName,
  layerFiles,
  layerName,
  lockName,
  makeBlobDirectory,
  type OciPaths,
  ociPaths,
  waitForLock,
} from "./oci-layout.ts";
import type { StoredLayer } from "./oci-record.ts";
import { createTemporary, type TemporaryFile } from "./temporary.ts";
import {
  makeRootDirectory,
  markSynced,
  readSmall,
  SYNCED,
  treeState,
  wipeTree,
} from "./tree-store.ts";

/** Whether the blob is there with this size; its bytes are hashed whenever they are used. */
export function hasBlob(paths: StorePaths, digest: Digest, size: number): boolean {
  const file = blobPath(ensureOciLayout(paths), digest);
  return statSync(file, { throwIfNoEntry: false })?.size === size;
}

/** Puts a file of cas/tmp, whose bytes the caller has hashed to `digest`, in its place. */
export function placeBlob(paths: StorePaths, file: TemporaryFile, digest: Digest): void {
  const target = makeBlobDirectory(ensureOciLayout(paths), digest);
  fchmodSync(file.fd, 0o660);
  renameSync(file.path, target);
  hashed.set(digest, identityOf(file.fd));
}

/** Blobs that this process hashed while it wrote them, as the kernel tells a file that nobody wrote to since. */
const hashed = new Map<Digest, string>();

function identityOf(fd: number): string {
  const { dev, ino, size, mtimeNs, ctimeNs } = fstatSync(fd, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
}

/** As `placeBlob`, of bytes in memory, which are on disk when this returns. */
export function writeBlob(paths: StorePaths, bytes: Uint8Array, digest: Digest): void {
  using file = createTemporary(paths.casTmp);
  for (let at = 0; at < bytes.length; ) at += writeSync(file.fd, bytes, at);
  fsyncSync(file.fd);
  placeBlob(paths, file, digest);
}

/** A small blob, hashed on the way. */
export function readBlob(paths: StorePaths, digest: Digest, limit: number): Uint8Array {
  const path = blobPath(ensureOciLayout(paths), digest);
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (isErrno(error, "ENOENT")) throw missingBlob(digest);
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    if (size > limit) throw damagedBlob(paths, digest);
    const bytes = Buffer.alloc(size);
    for (let at = 0; at < size; ) {
      const n = readSync(fd, bytes, at, size - at, at);
      if (n === 0) throw damagedBlob(paths, digest);
      at += n;
    }
    if (digestOf(bytes, digest) !== digest) throw damagedBlob(paths, digest);
    return bytes;
  } finally {
    closeSync(fd);
  }
}

/** The digest of bytes by the algorithm of another one. */
export function digestOf(bytes: Uint8Array, like: Digest): Digest {
  const algorithm = algorithmOf(like);
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
}

export const algorithmOf = (digest: Digest): "sha256" | "sha512" =>
  digest.startsWith("sha256:") ? "sha256" : "sha512";

function missingBlob(digest: Digest): StoreError {
  return new StoreError("LAYER_MISSING", `blob ${digest} is not in the store`, {
    remedy: "fetch the image again, with --pull-policy=update",
  });
}

/** Removes the blob: the next fetch brings it again. */
function damagedBlob(paths: StorePaths, digest: Digest): StoreError {
  removeFile(blobPath(ociPaths(paths), digest));
  return new StoreError("IMAGE_CORRUPT", `blob ${digest} in the store was damaged`, {
    remedy: "fetch the image again, with --pull-policy=update",
  });
}

export interface LayerJob {
  readonly layer: StoredLayer;
  /** Of the layer and all below it (`stackIDs`). */
  readonly stackID: Digest;
  /** The lower layers, lowest first, once they are there; asked for only when this one needs them. */
  readonly lower: (() => Promise<readonly LayerName[]>) | undefined;
  /** Make it again if its files are not what they were. */
  readonly check: boolean;
}

/** The layer unpacked: found, waited for, or made now from its blob. Needs root. */
export async function ensureLayer(paths: StorePaths, job: LayerJob): Promise<LayerName> {
  const oci = ensureOciLayout(paths);
  const own = layerName(job.layer.diffID);
  const chained = layerName(job.stackID);
  if (!job.check) {
    for (const name of [own, chained]) if (stateOf(oci, name) === "ready") return name;
  }
  // The lowest one too: what it is by itself, it has to be for images in which it lies on others.
  const alone = await attempt(paths, job, "unknown");
  if (alone !== undefined) return alone;
  if (job.lower === undefined) {
    const lowest = await attempt(paths, job, "none");
    if (lowest === undefined) throw new Error("the lowest layer needs lower layers");
    return lowest;
  }
  // Not under the lock: the lower layers have locks of their own, and somebody may hold one and wait for this.
  using below = mountLayers(oci, [...(await job.lower())].reverse());
  const made = await attempt(paths, job, { fd: below.fd });
  if (made === undefined) throw new Error("a layer needs lower layers that it has");
  return made;
}

/** Undefined when the layer cannot be unpacked without the lower ones. */
async function attempt(
  paths: StorePaths,
  job: LayerJob,
  lower: LowerLayers,
): Promise<LayerName | undefined> {
  const oci = ociPaths(paths);
  const own = layerName(job.layer.diffID);
  const chained = layerName(job.stackID);
  using _lock = await waitForLock(oci.locks, lockName(job.layer.diffID), "exclusive");
  for (const name of [own, chained]) if (isUsable(oci, name, job.check)) return name;
  const { inTurn } = await import("../tar/confined.ts");
  return await inTurn(async () => {
    using archive = await openLayer(paths, job.layer);
    return await makeLayer(oci, lower === "unknown" ? own : chained, archive, lower);
  });
}

/** The union of layers, topmost first, attached nowhere. */
export function mountLayers(oci: OciPaths, layers: readonly LayerName[]): DetachedMount {
  // One directory is no overlay for overlayfs, and its whiteouts would be seen.
  const directories = layers.map((name) => layerFiles(oci, name));
  return mountDetachedOverlay([...directories, oci.empty]);
}

function stateOf(oci: OciPaths, name: LayerName) {
  return treeState(join(oci.layers, name));
}

/** Under the layer's lock: settles what an earlier boot left. */
function isUsable(oci: OciPaths, name: LayerName, check: boolean): boolean {
  const state = stateOf(oci, name);
  if (state === "missing" || (state === "ready" && !check)) return state === "ready";
  const directory = join(oci.layers, name);
  if (hashLayer(directory) !== readSmall(join(directory, "hash"))) return false;
  if (state === "unsure") markSynced(directory);
  return true;
}

/** The tar archive in a layer's blob, decompressed in another process as it is read. */
interface LayerArchive extends Disposable {
  readonly archive: ConfinedArchive;
  /** Throws unless all of the archive was what the diffID says. */
  check(): Promise<void>;
}

/**
 * The archive of a blob whose own digest was checked. The content may be somebody else's work: its size is bounded by
 * what it was compressed to.
 */
async function openLayer(paths: StorePaths, layer: StoredLayer): Promise<LayerArchive> {
  let blob: number;
  try {
    blob = openSync(blobPath(ociPaths(paths), layer.digest), "r");
  } catch (error) {
    if (isErrno(error, "ENOENT")) throw missingBlob(layer.digest);
    throw error;
  }
  try {
    await checkBlob(paths, blob, layer);
    const head = Buffer.alloc(SNIFF_LENGTH);
    const kind = detectCompression(head.subarray(0, readSync(blob, head, 0, head.length, 0)));
    if (kind === "text" || (kind === "unknown" && !isEmptyTar(head))) {
      throw new StoreError("LAYER_INVALID", `layer ${layer.digest} is not a tar archive`);
    }
    const algorithm = algorithmOf(layer.diffID);
    const { openArchive } = await import("../tar/confined.ts");
    const archive = openArchive({
      fd: blob,
      kind: kind === "unknown" ? "tar" : kind,
      algorithm,
      maxBytes: Math.max(MIN_UNPACKED, layer.size * MAX_RATIO),
    });
    return {
      archive,
      async check() {
        const actual = `${algorithm}:${await archive.digest()}`;
        if (actual === layer.diffID) return;
        throw new StoreError(
          "LAYER_INVALID",
          `layer ${layer.digest} does not hold what the image config says: ${actual}, expected ${layer.diffID}`,
        );
      },
      [Symbol.dispose]() {
        archive[Symbol.dispose]();
        closeSync(blob);
      },
    };
  } catch (error) {
    closeSync(blob);
    throw error;
  }
}

/** As for App Container Images (import-image.ts). */
const MAX_RATIO = 200;
const MIN_UNPACKED = 2 ** 30;

/** An archive of nothing but its end, which has no magic. */
const isEmptyTar = (head: Buffer): boolean => head.every((byte) => byte === 0);

async function checkBlob(
  paths: StorePaths,
  fd: number,
  { digest, size }: StoredLayer,
): Promise<void> {
  if (fstatSync(fd).size !== size) throw damagedBlob(paths, digest);
  if (hashed.get(digest) === identityOf(fd)) return;
  const hash = createHash(algorithmOf(digest));
  const buffer = Buffer.allocUnsafe(1 << 20);
  for (let at = 0; ; ) {
    const n = readSync(fd, buffer, 0, buffer.length, at);
    if (n === 0) break;
    hash.update(buffer.subarray(0, n));
    at += n;
    // Other layers are on their way.
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (`${algorithmOf(digest)}:${hash.digest("hex")}` !== digest) throw damagedBlob(paths, digest);
}

/** Undefined when it cannot be made without the lower ones, which are unknown. */
async function makeLayer(
  oci: OciPaths,
  name: LayerName,
  archive: LayerArchive,
  lower: LowerLayers,
): Promise<LayerName | undefined> {
  const directory = join(oci.layers, name);
  makeAlgorithmDirectory(dirname(directory));
  wipeTree(directory);
  try {
    makeRootDirectory(directory);
    const diff = join(directory, "diff");
    makeRootDirectory(diff);
    const { extractConfined } = await import("../tar/confined.ts");
    const large = await extractConfined({ ...archive, directory: diff, lower });
    if (large === undefined) {
      wipeTree(directory);
      return undefined;
    }
    writeFileSync(join(directory, "hash"), hashLayer(directory, large), { mode: 0o644 });
    const boot = bootID();
    if (boot === undefined) syncFileSystem(directory);
    // Durable, because an empty file, which a power failure could leave otherwise, has a meaning.
    writeFileDurable(join(directory, "rendered"), boot ?? SYNCED, 0o644);
    return name;
  } catch (error) {
    wipeTree(directory);
    throw error;
  }
}

function makeAlgorithmDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}
