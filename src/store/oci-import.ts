// SPDX-License-Identifier: Apache-2.0
// An OCI image comes into the store: its record and the appc view of it, and at last its manifest as the blob, whose
// sha512 is the image ID. Config and layers are there by then.
import { createHash } from "node:crypto";
import { fchmodSync, fsyncSync, lstatSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { type ImageManifest, parseImageManifest, serializeImageManifest } from "../appc/index.ts";
import { isErrno, RktError } from "../lib/errors.ts";
import { removeFile } from "../sys/remove-file.ts";
import {
  assertVerifiedManifest,
  type Verification,
  type VerifiedManifest,
} from "../trust/verified-image.ts";
import { blobIdentity } from "./blob.ts";
import { readRecord, type StoredRecord, serializeRecord, strongest } from "./image-record.ts";
import { type ImportedImage, writeShared } from "./import-image.ts";
import { lockKey } from "./key-lock.ts";
import { keyedPath, keyOfDigest } from "./keys.ts";
import { makeSharedDirectory, type StorePaths } from "./layout.ts";
import { writeBlob } from "./oci-layers.ts";
import type { StoredOci } from "./oci-record.ts";
import { createTemporary } from "./temporary.ts";

export interface OciImport {
  readonly image: VerifiedManifest;
  /** The appc view. */
  readonly manifest: ImageManifest;
  readonly oci: StoredOci;
  readonly latest: boolean;
  readonly now: Date;
  /** Writes the index row; called under the image's lock. */
  readonly onStored: (image: ImportedImage) => void;
}

/** Synchronous from the lock on: see lockKey. */
export function importOci(paths: StorePaths, job: OciImport): ImportedImage {
  assertVerifiedManifest(job.image);
  const { bytes } = job.image;
  const { key, id } = keyOfDigest(createHash("sha512").update(bytes).digest("hex"));
  writeBlob(paths, bytes, job.oci.digest);
  using file = createTemporary(paths.casTmp);
  for (let at = 0; at < bytes.length; ) at += writeSync(file.fd, bytes, at);
  fsyncSync(file.fd);
  fchmodSync(file.fd, 0o660);
  const targets = {
    blob: keyedPath(paths.blobs, key),
    manifest: keyedPath(paths.manifests, key),
    record: keyedPath(paths.records, key),
  };
  for (const path of Object.values(targets)) makeSharedDirectory(dirname(path));
  using _lock = lockKey(paths.imageLocks, key, "exclusive");
  const before = readRecord(paths.records, key);
  const { manifest, oci, latest, verification } = named(job, before, targets.manifest);
  const record = {
    id,
    size: bytes.length,
    importTime: job.now,
    latest,
    verification,
    oci,
  };
  try {
    writeShared(targets.manifest, serializeImageManifest(manifest));
    writeShared(targets.record, serializeRecord(record));
    renameSync(file.path, targets.blob);
  } catch (error) {
    if (lstatSync(targets.blob, { throwIfNoEntry: false }) === undefined) {
      removeFile(targets.record);
      removeFile(targets.manifest);
    }
    throw error;
  }
  const imported = { key, manifest, record, blob: blobIdentity(file.fd) };
  job.onStored(imported);
  return imported;
}

interface Named extends Pick<OciImport, "manifest" | "oci" | "latest"> {
  readonly verification: Verification;
}

/**
 * An image keeps the name that it has from a registry when the same bytes come from a file, which may say any name, and
 * with no better word for them. With a name goes who vouched for the image under that name: another name's policy may
 * ask for somebody else.
 */
function named(job: OciImport, before: StoredRecord | undefined, manifestPath: string): Named {
  const now = job.image.verification;
  const mine = { manifest: job.manifest, oci: job.oci, latest: job.latest, verification: now };
  if (before?.oci === undefined) return mine;
  if (!isFromRegistry(before.oci) || isFromRegistry(job.oci)) {
    // What was checked once stays true of these bytes when they come again without a signature.
    return isCovered(job.oci.reference, before.oci.reference)
      ? { ...mine, verification: strongest(before.verification, now) }
      : mine;
  }
  if (strongest(now, before.verification) !== before.verification) return mine;
  try {
    const manifest = parseImageManifest(readFileSync(manifestPath, "utf8"));
    const { oci, latest, verification } = before;
    return { manifest, oci, latest, verification };
  } catch (error) {
    // Damaged, or half removed: then this import repairs it.
    if (error instanceof RktError || isErrno(error, "ENOENT")) return mine;
    throw error;
  }
}

const isFromRegistry = (oci: StoredOci): boolean => oci.reference.startsWith("docker://");

/** The same name, or the same without its tag: a digest does not matter, the bytes are the same. */
function isCovered(reference: string, before: string): boolean {
  const [now, then] = [reference, before].map((each) => each.split("@", 1)[0] ?? "");
  return now === then || then?.startsWith(`${now}:`) === true;
}
