// SPDX-License-Identifier: Apache-2.0
// From a verified file in cas/tmp to an image of the store (rkt-runtime §6.2). Everything that can be
// wrong with the bytes is found before the first rename; the rename of the blob is what makes the image
// exist, and it comes last. Manifest and record are on disk by then. The blob may not be: waiting for a
// gigabyte would double the time of a fetch, and what a power failure takes of it is noticed by its size
// and hash before it is used, and fetched again.
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  readSync,
  renameSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import {
  type ImageID,
  type ImageKey,
  type ImageManifest,
  parseImageManifest,
  serializeImageManifest,
} from "../appc/index.ts";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { removeFile } from "../sys/remove-file.ts";
import { validateArchive } from "../tar/aci.ts";
import { detectCompression, SNIFF_LENGTH } from "../tar/compression.ts";
import type { Compression } from "../tar/stream.ts";
import {
  assertVerified,
  type RawImage,
  type Verification,
  type VerifiedImage,
} from "../trust/verified-image.ts";
import { type BlobIdentity, blobIdentity } from "./blob.ts";
import { StoreError } from "./errors.ts";
import { readRecord, type StoredRecord, serializeRecord, strongest } from "./image-record.ts";
import { lockKey } from "./key-lock.ts";
import { keyedPath, keyOfDigest } from "./keys.ts";
import { createSharedFile, makeSharedDirectory, type StorePaths } from "./layout.ts";
import { createTemporary } from "./temporary.ts";

export interface ImportedImage {
  readonly key: ImageKey;
  readonly manifest: ImageManifest;
  readonly record: StoredRecord;
  /** The blob as it stands in the store: whoever finds it unchanged need not hash it again. */
  readonly blob: BlobIdentity;
}

export interface ImportOptions {
  readonly latest: boolean;
  readonly now: Date;
  /**
   * Asked when the manifest is known and nothing is in the store yet: throws to refuse the image, or returns
   * it, perhaps verified again for the name that it turned out to have.
   */
  readonly accept: (manifest: ImageManifest) => VerifiedImage | Promise<VerifiedImage>;
  /** Writes the index row; called under the image's lock, after the blob is in place. */
  readonly onStored: (image: ImportedImage) => void;
}

/**
 * Imports an image. When it returns, nothing is left at `raw.path`; when it throws, the raw file is still
 * the caller's. The caller closes `raw.fd` either way.
 */
export async function importImage(
  paths: StorePaths,
  image: VerifiedImage,
  options: ImportOptions,
): Promise<ImportedImage> {
  assertVerified(image);
  const { raw } = image;
  const compression = detectCompression(head(raw.fd));
  if (compression === "text" || compression === "unknown") {
    throw new StoreError("IMAGE_INVALID", "error: unknown image filetype", {
      details: { path: raw.path },
      remedy: "an image is a tar archive, plain or compressed with gzip, bzip2, xz or zstd",
    });
  }
  if (compression === "tar") {
    const digest = (await raw.hash("sha512")).copy().digest("hex");
    const file = { fd: raw.fd, path: ownPath(raw) };
    const checked = await checkCandidate(image, file.fd, options);
    return store(paths, { file, ...keyOfDigest(digest), ...checked }, options);
  }
  using temporary = createTemporary(paths.casTmp);
  const digest = await unpack(raw, compression, temporary.fd);
  const checked = await checkCandidate(image, temporary.fd, options);
  const imported = store(paths, { file: temporary, ...keyOfDigest(digest), ...checked }, options);
  removeFile(ownPath(raw));
  return imported;
}

/** Gives the digest of what was compressed. */
async function unpack(raw: RawImage, kind: Compression, to: number): Promise<string> {
  const { openArchive, writeArchive } = await import("../tar/confined.ts");
  const maxBytes = Math.max(MIN_UNPACKED, raw.size * MAX_RATIO);
  using archive = openArchive({ fd: raw.fd, kind, algorithm: "sha512", maxBytes });
  return await writeArchive(archive, to);
}

/**
 * A file system image full of zeros compresses a thousandfold, real images less than thirtyfold: a small
 * file may not fill the disk.
 */
const MAX_RATIO = 200;
const MIN_UNPACKED = 2 ** 30;

function head(fd: number): Uint8Array {
  const buffer = Buffer.alloc(SNIFF_LENGTH);
  let length = 0;
  for (;;) {
    const n = readSync(fd, buffer, length, buffer.length - length, length);
    if (n === 0) return buffer.subarray(0, length);
    length += n;
    if (length === buffer.length) return buffer;
  }
}

/** The raw file's path, after making sure that it is the file that was verified. */
function ownPath(raw: RawImage): string {
  const opened = fstatSync(raw.fd);
  const there = lstatSync(raw.path, { throwIfNoEntry: false });
  if (there === undefined || there.ino !== opened.ino || there.dev !== opened.dev) {
    throw new StoreError(
      "IMAGE_INVALID",
      `cannot import ${quote(raw.path)}: the file was replaced after it had been verified`,
    );
  }
  return raw.path;
}

/** Whether the archive, its manifest and the caller agree to these bytes becoming an image. */
async function checkCandidate(
  image: VerifiedImage,
  fd: number,
  { accept }: ImportOptions,
): Promise<Pick<Candidate, "manifest" | "verification">> {
  const manifest = checkArchive(fd);
  const accepted = await accept(manifest);
  assertVerified(accepted);
  if (accepted.raw !== image.raw)
    throw new Error("another image than the one imported was accepted");
  return { manifest, verification: accepted.verification };
}

interface Candidate {
  readonly manifest: ImageManifest;
  readonly file: { readonly fd: number; readonly path: string };
  readonly key: ImageKey;
  readonly id: ImageID;
  readonly verification: Verification;
}

/** Synchronous from the lock on: see lockKey. */
function store(paths: StorePaths, candidate: Candidate, options: ImportOptions): ImportedImage {
  const { file, key, id, manifest } = candidate;
  fchmodSync(file.fd, 0o660);
  const targets = {
    blob: keyedPath(paths.blobs, key),
    manifest: keyedPath(paths.manifests, key),
    record: keyedPath(paths.records, key),
  };
  for (const path of Object.values(targets)) makeSharedDirectory(dirname(path));
  using _lock = lockKey(paths.imageLocks, key, "exclusive");
  const record = {
    id,
    size: fstatSync(file.fd).size,
    importTime: options.now,
    latest: options.latest,
    verification: strongest(
      readRecord(paths.records, candidate.key)?.verification,
      candidate.verification,
    ),
  };
  try {
    writeShared(targets.manifest, serializeImageManifest(manifest));
    writeShared(targets.record, serializeRecord(record));
    // An older copy is replaced: if it was damaged, that is the repair.
    renameSync(file.path, targets.blob);
  } catch (error) {
    // Parts of a new image are of no use to anybody; those of one that was there before are still good.
    if (lstatSync(targets.blob, { throwIfNoEntry: false }) === undefined) {
      removeFile(targets.record);
      removeFile(targets.manifest);
    }
    throw error;
  }
  const blob = blobIdentity(file.fd);
  const imported = { key, manifest, record, blob };
  options.onStored(imported);
  return imported;
}

function checkArchive(fd: number): ImageManifest {
  let manifest: ImageManifest | undefined;
  let invalid: unknown;
  try {
    validateArchive(fd, (json) => {
      try {
        manifest = parseImageManifest(json);
      } catch (error) {
        invalid = error;
        throw error;
      }
    });
  } catch (error) {
    if (invalid === undefined) throw error;
    throw new StoreError("IMAGE_INVALID", "error extracting image manifest", { cause: invalid });
  }
  if (manifest === undefined) throw new Error("archive validated without its manifest");
  return manifest;
}

/** Writes a whole file 0660, synced, in place of what is there. Only under the key's lock. */
export function writeShared(path: string, text: string): void {
  const temporary = `${path}.tmp`;
  let fd: number;
  try {
    fd = createSharedFile(temporary);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    // Left by a writer that died: the lock is ours.
    removeFile(temporary);
    fd = createSharedFile(temporary);
  }
  try {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
    renameSync(temporary, path);
  } catch (error) {
    removeFile(temporary);
    throw error;
  } finally {
    closeSync(fd);
  }
}
