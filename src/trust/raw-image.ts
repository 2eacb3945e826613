// SPDX-License-Identifier: Apache-2.0
// An image file as it was downloaded or named: bytes on disk that nobody has vouched for yet. Only its
// size and its hashes may be used before it becomes a VerifiedImage.
import type { Hash } from "node:crypto";

/**
 * The hash algorithms that a signature may use (OpenPGP's names for them: SHA256 …), spelt as
 * `crypto.createHash` takes them. MD5, SHA-1 and RIPEMD-160 are missing because they are refused.
 */
export type HashName = "sha224" | "sha256" | "sha384" | "sha512" | "sha3-256" | "sha3-512";

/** A raw image: the file as it came, still compressed if it came so. The owner closes `fd`. */
export interface RawImage {
  /** Where the file is, for messages only: it is read through `fd`. */
  readonly path: string;
  /** Open for reading; must refer to the very file that was hashed and that will be imported. */
  readonly fd: number;
  readonly size: number;
  /**
   * A hash of this kind over the whole raw file, not finalised: take a `copy()` before `digest()`. It
   * may have been kept up during the download or be computed now by reading `fd`.
   */
  hash(algorithm: HashName): Promise<Hash>;
}
