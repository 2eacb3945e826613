// SPDX-License-Identifier: Apache-2.0
// The digest that a document signature signs (RFC 9580 §5.2.4), computed by the system's crypto library:
// OpenPGP.js would hash a large image in JavaScript, and the download has often hashed it already.
import { createHash, type Hash } from "node:crypto";
import { read } from "node:fs";
import { promisify } from "node:util";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { TrustError } from "./errors.ts";
import type { HashName, RawImage } from "./raw-image.ts";

const readAt = promisify(read);
const CHUNK = 1 << 20;

/** The part of a signature that is hashed after the document. */
export interface SignedPart {
  readonly version: number;
  /** From the version octet to the end of the hashed subpackets. */
  readonly signatureData: Uint8Array;
  /** Hashed before the document; version 6 only. */
  readonly salt: Uint8Array | undefined;
}

export async function documentDigest(
  raw: RawImage,
  algorithm: HashName,
  signed: SignedPart,
): Promise<Uint8Array> {
  // A salt goes first, so a hash of the bare file cannot be continued.
  const hash =
    signed.salt === undefined
      ? (await raw.hash(algorithm)).copy()
      : await hashFile(raw, createHash(algorithm).update(signed.salt));
  hash.update(signed.signatureData);
  const trailer = Buffer.alloc(6);
  trailer[0] = signed.version;
  trailer[1] = 0xff;
  trailer.writeUInt32BE(signed.signatureData.length, 2);
  return new Uint8Array(hash.update(trailer).digest());
}

/**
 * Adds the whole file to `hash`; for RawImages that have no hash from their download. Reads by position,
 * so that the descriptor's own is left alone.
 */
export async function hashFile(
  file: { readonly path: string; readonly fd: number; readonly size: number },
  hash: Hash,
): Promise<Hash> {
  const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(CHUNK, file.size)));
  let at = 0;
  while (at < file.size) {
    const wanted = Math.min(buffer.length, file.size - at);
    let got: number;
    try {
      got = (await readAt(file.fd, buffer, 0, wanted, at)).bytesRead;
    } catch (error) {
      if (!isErrno(error, "EIO", "EISDIR", "EBADF", "EINVAL", "ENXIO", "ESTALE")) throw error;
      throw unreadable(file.path, error);
    }
    if (got === 0) throw unreadable(file.path, new Error("the file became shorter"));
    hash.update(buffer.subarray(0, got));
    at += got;
  }
  return hash;
}

function unreadable(path: string, cause: unknown): TrustError {
  return new TrustError("IMAGE_UNREADABLE", `cannot read the image ${quote(path)}`, { cause });
}
