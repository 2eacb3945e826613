// SPDX-License-Identifier: Apache-2.0
// Image IDs and the forms that are derived from them. (appc.md section 1.5)

import { quote, stripControl } from "../lib/text.ts";
import { ManifestError } from "./errors.ts";
import type { ImageID, ImageKey } from "./types.ts";

const SHORT_LENGTH = "sha512-".length + 32;
const KEY_LENGTH = "sha512-".length + 64;

/** Checks the form `sha512-VALUE` only: like the reference, neither length nor digits of VALUE. */
export function parseImageID(text: string): ImageID {
  const [type, value, ...rest] = text.split("-");
  const fail = (message: string): never => {
    throw new ManifestError("IMAGE_ID_INVALID", message);
  };
  if (value === undefined || rest.length > 0) fail("badly formatted hash string");
  if (type === "") fail("unexpected empty hash type");
  if (type !== "sha512") fail(`unrecognized hash type: ${stripControl(type ?? "").slice(0, 64)}`);
  if (value === "") fail("unexpected empty hash value");
  return text as ImageID;
}

/** The image ID of a tar whose SHA-512 is `digest` (64 bytes). */
export function imageIDFromDigest(digest: Uint8Array): ImageID {
  if (digest.length !== 64) throw new Error(`a SHA-512 digest has 64 bytes, not ${digest.length}`);
  return `sha512-${hex(digest)}` as ImageID;
}

/**
 * The store's key of an image: half of its digest, as in rkt. Refuses an ID that does not have it in
 * hexadecimal, so that a key is always safe as a file name.
 */
export function imageKey(id: string): ImageKey {
  const key = id.slice(0, KEY_LENGTH);
  if (!/^sha512-[0-9a-f]{64}$/.test(key)) {
    throw new ManifestError(
      "IMAGE_ID_INVALID",
      `image ID ${quote(id)} does not have 64 hexadecimal digits after "sha512-"`,
    );
  }
  return key as ImageKey;
}

/** The first `length` characters: for people, never for look-ups. */
export function shortID(id: string, length = SHORT_LENGTH): string {
  return id.slice(0, length);
}

export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}
