// SPDX-License-Identifier: Apache-2.0
// The key by which the service signs for pods. It is made once and kept, so that a signature outlives a restart.
import { closeSync, constants, fstatSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../lib/errors.ts";
import { writeFileDurable } from "../../sys/durable.ts";
import { MetadataError } from "./errors.ts";

export const KEY_BYTES = 64;

/** The caller is the only one who may make it: it holds the service's lock. */
export function loadKey(dataDir: string): Uint8Array {
  const folder = join(dataDir, "metadata-service");
  const path = join(folder, "hmac.key");
  const known = readKey(path);
  if (known !== undefined) return known;
  makePrivate(folder);
  const key = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  writeFileDurable(path, key, 0o600);
  return key;
}

function makePrivate(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

/** Undefined when there is none; one that somebody else could have read or written is refused. */
function readKey(path: string): Uint8Array | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  try {
    const { uid, mode } = fstatSync(fd);
    const key = readFileSync(fd);
    if (uid === process.geteuid?.() && (mode & 0o077) === 0 && key.length === KEY_BYTES) return key;
  } finally {
    closeSync(fd);
  }
  throw new MetadataError(
    "METADATA_KEY",
    `cannot use ${path}: it is not a key that only root may read`,
    {
      remedy:
        "remove the file: a new key is made, and signatures by the old one are no longer valid",
    },
  );
}
