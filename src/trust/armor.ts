// SPDX-License-Identifier: Apache-2.0
// ASCII armor (RFC 9580 §6.2), read strictly: the library's reader takes broken lines and ignores the
// checksum, and an armored file should either say what was written or be refused.

/** The longest armored or binary file that is looked at: a signature or a handful of keys. */
export const MAX_FILE_SIZE = 1 << 20;

export interface ArmorBlock {
  /** What stands after BEGIN: `PGP SIGNATURE`, `PGP PUBLIC KEY BLOCK` … */
  readonly label: string;
  readonly data: Uint8Array;
}

/** Why the armor is broken; the caller knows what file it is and makes the sentence. */
export class ArmorError extends Error {}

const BEGIN = /^-----BEGIN (PGP [A-Z ]{1,40})-----$/;
const HEADER = /^[A-Za-z][A-Za-z0-9-]{0,40}: ?[\x20-\x7e\x80-\xff]*$/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const CHECKSUM = /^=[A-Za-z0-9+/]{4}$/;

/** A key file may hold several blocks; more than this is not a key file. */
const MAX_BLOCKS = 64;

/** True when the bytes look like armor; binary packets always start with the high bit set. */
export function isArmored(bytes: Uint8Array): boolean {
  if (((bytes[0] ?? 0) & 0x80) !== 0) return false;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes("-----BEGIN PGP ");
}

/**
 * All armored blocks of a file. `outside` says whether text before, between and after the blocks is
 * ignored (key files often start with a description) or refused.
 */
export function readArmor(bytes: Uint8Array, outside: "ignore" | "refuse"): ArmorBlock[] {
  const blocks: ArmorBlock[] = [];
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString("latin1")
    .split("\n")
    .map((line) => line.replace(/[ \t\r]{1,20}$/, ""));
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? "";
    const label = BEGIN.exec(line)?.[1];
    if (label === undefined) {
      if (line !== "" && outside === "refuse") {
        throw new ArmorError(`line ${at + 1} stands outside of the armor`);
      }
      continue;
    }
    if (blocks.length === MAX_BLOCKS)
      throw new ArmorError(`there are more than ${MAX_BLOCKS} blocks`);
    const end = lines.indexOf(`-----END ${label}-----`, at + 1);
    if (end < 0) throw new ArmorError(`the line "-----END ${label}-----" is missing`);
    blocks.push({ label, data: readBlock(lines.slice(at + 1, end), at + 2) });
    at = end;
  }
  if (blocks.length === 0) throw new ArmorError("there is no complete armor header line");
  return blocks;
}

function readBlock(lines: readonly string[], firstLine: number): Uint8Array {
  const blank = lines.indexOf("");
  if (blank < 0) throw new ArmorError("the empty line after the armor headers is missing");
  for (const [i, line] of lines.slice(0, blank).entries()) {
    if (!HEADER.test(line)) throw new ArmorError(`line ${firstLine + i} is not an armor header`);
  }
  const body = lines.slice(blank + 1);
  while (body.at(-1) === "") body.pop();
  const last = body.at(-1);
  const checksum = last !== undefined && CHECKSUM.test(last) ? body.pop() : undefined;
  for (const [i, line] of body.entries()) {
    const padded = line.endsWith("=");
    if (!BASE64.test(line) || (padded && i !== body.length - 1)) {
      throw new ArmorError(`line ${firstLine + blank + 1 + i} is not base64`);
    }
  }
  const text = body.join("");
  const data = Buffer.from(text, "base64");
  // The decoder is lenient; encoding again finds missing padding and stray bits.
  if (data.toString("base64") !== text) throw new ArmorError("the base64 text is not complete");
  if (
    checksum !== undefined &&
    Buffer.from(checksum.slice(1), "base64").readUIntBE(0, 3) !== crc24(data)
  ) {
    throw new ArmorError("the checksum does not match");
  }
  return new Uint8Array(data);
}

/** RFC 9580 §6.1.1. */
function crc24(data: Uint8Array): number {
  let crc = 0xb704ce;
  for (const byte of data) {
    crc ^= byte << 16;
    for (let bit = 0; bit < 8; bit++) {
      crc <<= 1;
      if (crc & 0x1000000) crc ^= 0x1864cfb;
    }
  }
  return crc & 0xffffff;
}
