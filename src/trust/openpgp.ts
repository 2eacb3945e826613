// SPDX-License-Identifier: Apache-2.0
// The way to the OpenPGP library: loaded only when there is a key or a signature to read (it costs some
// 26 ms), always called with the same settings, never able to stall.
import type * as OpenPGP from "openpgp";
import type { Config, PublicKey, SignaturePacket, Subkey } from "openpgp";

export type { PublicKey, SignaturePacket, Subkey };
export type Library = typeof OpenPGP;

let library: Promise<Library> | undefined;

export function loadLibrary(): Promise<Library> {
  library ??= import("openpgp");
  return library;
}

/**
 * The library's defaults, named here so that an update cannot loosen them unseen: no RSA below 2047
 * bits, no DSA or Elgamal, no MD5 or RIPEMD-160 anywhere, no SHA-1 over documents.
 */
export function settings(pgp: Library): Config {
  const { hash, publicKey } = pgp.enums;
  return {
    ...pgp.config,
    minRSABits: 2047,
    rejectPublicKeyAlgorithms: new Set([publicKey.elgamal, publicKey.dsa]),
    rejectHashAlgorithms: new Set([hash.md5, hash.ripemd]),
    rejectMessageHashAlgorithms: new Set([hash.md5, hash.ripemd, hash.sha1]),
    enableParsingV5Entities: false,
    allowMissingKeyFlags: false,
    allowInsecureVerificationWithReformattedKeys: false,
  };
}

/** A bug, not a verdict. */
export class StallError extends Error {}

/**
 * `work`, or an error when it does not settle: a promise of the library that never settles would let the
 * event loop run dry and end the process without a word.
 */
export async function settled<T>(work: Promise<T>): Promise<T> {
  const limit = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => limit.reject(new StallError("the OpenPGP library stalled")),
    60_000,
  );
  try {
    return await Promise.race([work, limit.promise]);
  } finally {
    clearTimeout(timer);
  }
}
