// SPDX-License-Identifier: Apache-2.0
// Pod UUIDs. (appc.md section 1.6)

import { ManifestError } from "./errors.ts";
import { hex } from "./image-id.ts";
import type { PodUUID } from "./types.ts";

/** Accepts the canonical and the dash-less form, in either case. */
export function parseUUID(text: string): PodUUID {
  const digits = text.replaceAll("-", "").toLowerCase();
  if (digits.length !== 32) throw new ManifestError("UUID_INVALID", "bad UUID length != 32");
  if (!/^[0-9a-f]*$/.test(digits)) {
    throw new ManifestError("UUID_INVALID", "bad UUID: not hexadecimal digits");
  }
  return format(digits);
}

/** The UUID of 16 bytes as they are: version and variant bits are the caller's. */
export function uuidFromBytes(bytes: Uint8Array): PodUUID {
  if (bytes.length !== 16) throw new Error(`a UUID has 16 bytes, not ${bytes.length}`);
  return format(hex(bytes));
}

function format(digits: string): PodUUID {
  if (/^0*$/.test(digits)) throw new ManifestError("UUID_INVALID", "UUID cannot be empty");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5") as PodUUID;
}
