// SPDX-License-Identifier: Apache-2.0
// A RawImage in a file of ours, with the hashes that were computed while it was written.
import { createHash, type Hash } from "node:crypto";
import { fstatSync } from "node:fs";
import type { HashName, RawImage } from "../trust/index.ts";
import { type Hashes, hashExisting } from "./hash-writer.ts";

/**
 * `fd` stays the caller's. The file is a private one in cas/tmp: nobody else writes to it, and an import may
 * move it away.
 */
export function rawFile(
  file: { readonly fd: number; readonly path: string },
  known: Hashes,
): RawImage {
  const { size } = fstatSync(file.fd);
  const hashes = new Map<HashName, Hash>(known);
  return {
    path: file.path,
    fd: file.fd,
    size,
    async hash(algorithm) {
      let hash = hashes.get(algorithm);
      if (hash === undefined) {
        hash = createHash(algorithm);
        hashExisting(file.fd, size, new Map([[algorithm, hash]]));
        hashes.set(algorithm, hash);
      }
      return hash;
    },
  };
}

/** The magic numbers of appc.md §2.2, and zstd's (RFC 8878). */
const COMPRESSED = ["1f8b", "425a68", "fd377a585a00", "28b52ffd"];

/**
 * The hashes worth keeping up for an image that starts so: the signature's, and for an uncompressed one
 * sha512, which is its image ID.
 */
export function hashesFor(first: Uint8Array, wanted: readonly HashName[]): readonly HashName[] {
  const start = Buffer.from(first.subarray(0, 6)).toString("hex");
  return COMPRESSED.some((magic) => start.startsWith(magic)) ? wanted : [...wanted, "sha512"];
}
