// SPDX-License-Identifier: Apache-2.0
// Store keys and the places named by them. A key is checked before it becomes part of a path; nothing
// else in the store builds a path out of text from outside.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { ImageID, ImageKey } from "../appc/index.ts";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { StoreError } from "./errors.ts";

const PREFIX = "sha512-";
/** `sha512-` and half of the digest (rkt-runtime §6.1). */
const KEY_LENGTH = PREFIX.length + 64;
const MIN_LENGTH = PREFIX.length + 2;
const KEY = /^sha512-[0-9a-f]{64}$/;
const KEY_PREFIX = /^sha512-[0-9a-f]+$/;

/** A file name of the store as a key; undefined when it is something else. */
export function asKey(name: string): ImageKey | undefined {
  return KEY.test(name) ? (name as ImageKey) : undefined;
}

/** Key and image ID of a tar with this sha512 digest in lower-case hex. */
export function keyOfDigest(hex: string): { readonly key: ImageKey; readonly id: ImageID } {
  if (!/^[0-9a-f]{128}$/.test(hex)) throw new Error("not a sha512 digest");
  return {
    key: `${PREFIX}${hex.slice(0, 64)}` as ImageKey,
    id: `${PREFIX}${hex}` as ImageID,
  };
}

/** ROOT/sha512/AB/KEY, AB being the first two digits. */
export function keyedPath(root: string, key: ImageKey): string {
  return join(root, "sha512", key.slice(PREFIX.length, MIN_LENGTH), key);
}

/** All keys below ROOT/sha512, in order. Other names are left out. */
export function* listKeys(root: string): IterableIterator<ImageKey> {
  for (const { name } of listKeyedFiles(root)) {
    const key = asKey(name);
    if (key !== undefined) yield key;
  }
}

/** All entries of the two-digit directories below ROOT/sha512. */
export function* listKeyedFiles(
  root: string,
): IterableIterator<{ readonly name: string; readonly path: string }> {
  const top = join(root, "sha512");
  for (const prefix of readNames(top)) {
    if (!/^[0-9a-f]{2}$/.test(prefix)) continue;
    const directory = join(top, prefix);
    for (const name of readNames(directory)) yield { name, path: join(directory, name) };
  }
}

/** The sorted names in a directory; none when it does not exist. */
export function readNames(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/**
 * The one key in the store that starts with `prefix` (rkt-cli §2): at least two digits, a full image ID
 * is cut to the key's length. Needs no index: the directory of the blobs is the truth.
 */
export function resolveKeyPrefix(blobs: string, prefix: string): ImageKey {
  const text = prefix.slice(0, KEY_LENGTH);
  if (text.length < MIN_LENGTH) {
    throw new StoreError("IMAGE_ID_INVALID", "image ID too short", {
      remedy: `${PREFIX} and at least ${MIN_LENGTH - PREFIX.length} digits of the ID; got ${quote(prefix)}`,
      details: { image: prefix },
    });
  }
  const matches = KEY_PREFIX.test(text)
    ? readNames(join(blobs, "sha512", text.slice(PREFIX.length, MIN_LENGTH))).filter((name) =>
        name.startsWith(text),
      )
    : [];
  const keys = matches.map(asKey).filter((key) => key !== undefined);
  const [key] = keys;
  if (key === undefined) {
    throw new StoreError("IMAGE_NOT_FOUND", "no image IDs found", {
      remedy: `look for ${quote(prefix)} in the list of: rkt image list --full`,
      details: { image: prefix },
    });
  }
  if (keys.length > 1) {
    throw new StoreError("IMAGE_AMBIGUOUS", `ambiguous image ID: ${quote(prefix)}`, {
      details: { image: prefix, matches: keys },
    });
  }
  return key;
}
