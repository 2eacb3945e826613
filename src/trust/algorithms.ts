// SPDX-License-Identifier: Apache-2.0
// OpenPGP's algorithm numbers (RFC 9580 §9.1, §9.5): which we take, and what the refused ones are called.
import type { HashName } from "./raw-image.ts";

const HASHES: ReadonlyMap<number, HashName> = new Map([
  [8, "sha256"],
  [9, "sha384"],
  [10, "sha512"],
  [11, "sha224"],
  [12, "sha3-256"],
  [14, "sha3-512"],
]);

const WEAK_HASHES: ReadonlyMap<number, string> = new Map([
  [1, "MD5"],
  [2, "SHA-1"],
  [3, "RIPEMD-160"],
]);

const WEAK_KEYS: ReadonlyMap<number, string> = new Map([
  [16, "Elgamal"],
  [17, "DSA"],
  [20, "Elgamal"],
]);

export type HashChoice =
  | { readonly kind: "usable"; readonly name: HashName }
  | { readonly kind: "weak"; readonly label: string }
  | { readonly kind: "unknown"; readonly number: number };

export function hashChoice(number: number): HashChoice {
  const name = HASHES.get(number);
  if (name !== undefined) return { kind: "usable", name };
  const label = WEAK_HASHES.get(number);
  return label === undefined ? { kind: "unknown", number } : { kind: "weak", label };
}

/** The name of a public-key algorithm that is no longer accepted. */
export function weakKeyAlgorithm(number: number): string | undefined {
  return WEAK_KEYS.get(number);
}

/** The least RSA modulus. GnuPG makes keys of "2048" bits whose top bit is clear. */
export const MIN_RSA_BITS = 2047;
