// SPDX-License-Identifier: Apache-2.0
// Reading a blob: never without knowing that its bytes are the image that its name says.
import { fstatSync, openSync, readSync } from "node:fs";
import type { ImageKey } from "../appc/index.ts";
import { isErrno } from "../lib/errors.ts";
import { StoreError } from "./errors.ts";
import { keyedPath } from "./keys.ts";

/** A file and its content as far as stat(2) can tell. */
export interface BlobIdentity {
  readonly dev: number;
  readonly ino: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
}

export function blobIdentity(fd: number): BlobIdentity {
  const { dev, ino, size, mtimeMs, ctimeMs } = fstatSync(fd);
  return { dev, ino, size, mtimeMs, ctimeMs };
}

/** Opens a blob for reading; the caller closes it. */
export function openBlobFile(blobs: string, key: ImageKey): number {
  try {
    return openSync(keyedPath(blobs, key), "r");
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    throw new StoreError("IMAGE_NOT_FOUND", `image "${key}" is not in the store`);
  }
}

/** The hash of a file from its start, in one piece or, for a copy on the way, chunk by chunk. */
export function hashFile(
  fd: number,
  onChunk?: (chunk: Uint8Array) => void,
  algorithm: "sha256" | "sha512" = "sha512",
): string {
  const hash = new Bun.CryptoHasher(algorithm);
  const buffer = Buffer.allocUnsafe(1 << 20);
  for (let at = 0; ; ) {
    const n = readSync(fd, buffer, 0, buffer.length, at);
    if (n === 0) return hash.digest("hex");
    const chunk = n === buffer.length ? buffer : buffer.subarray(0, n);
    hash.update(chunk);
    onChunk?.(chunk);
    at += n;
  }
}

/** Throws IMAGE_CORRUPT unless a digest in hex is that of the image `key`. */
export function checkDigest(hex: string, key: ImageKey): void {
  const actual = `sha512-${hex}`.slice(0, key.length);
  if (actual === key) return;
  throw new StoreError(
    "IMAGE_CORRUPT",
    `image hash does not match expected (${actual} != ${key})`,
    { remedy: `rkt image rm ${key}, then fetch it again`, details: { key, actual } },
  );
}
