// SPDX-License-Identifier: Apache-2.0

/** `bytes` random bytes as hex, for names. Not by node:crypto: importing that takes 2 ms of every start. */
export function randomName(bytes: number): string {
  return crypto.getRandomValues(new Uint8Array(bytes)).toHex();
}
