// SPDX-License-Identifier: Apache-2.0
// Digests of bytes, in OCI's form.
import { createHash } from "node:crypto";
import type { Digest } from "../oci/index.ts";

export const algorithmOf = (digest: Digest): "sha256" | "sha512" =>
  digest.startsWith("sha512:") ? "sha512" : "sha256";

export function digestOfBytes(
  bytes: Uint8Array,
  algorithm: "sha256" | "sha512" = "sha256",
): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
}
