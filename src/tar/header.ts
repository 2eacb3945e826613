// SPDX-License-Identifier: Apache-2.0
// One 512-byte tar header block: POSIX ustar, GNU and v7 (pax(1), "ustar Interchange Format"; tar(5) of
// GNU tar). Numbers and strings only: what they mean together is read.ts's business.
import { decodeName } from "../lib/byte-name.ts";
import { BLOCK } from "./entry.ts";
import { ArchiveError } from "./errors.ts";

export interface RawHeader {
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  /** The type flag's byte; NUL is given as "0". */
  readonly type: string;
  readonly linkName: string;
  readonly uname: string;
  readonly gname: string;
  readonly devMajor: number;
  readonly devMinor: number;
}

export function isZeroBlock(buffer: Buffer, at: number): boolean {
  for (let i = at; i < at + BLOCK; i++) {
    if (buffer[i] !== 0) return false;
  }
  return true;
}

/** Parses the header at `at`; `position` is its place in the archive, for the error. */
export function parseHeader(buffer: Buffer, at: number, position: number): RawHeader {
  const damaged = (what: string): ArchiveError =>
    new ArchiveError("ARCHIVE_CORRUPT", `bad ${what} in tar header at byte ${position}`, {
      details: { position },
    });
  const number = (offset: number, length: number, what: string): number => {
    const value = parseNumber(buffer, at + offset, length);
    if (value === undefined) throw damaged(what);
    return value;
  };
  const natural = (offset: number, length: number, what: string): number => {
    const value = number(offset, length, what);
    if (value < 0) throw damaged(what);
    return value;
  };

  const expected = parseNumber(buffer, at + 148, 8);
  // Some old writers summed signed bytes; no attacker gains by it, both are trivial to forge.
  let unsigned = 8 * 32;
  let signed = 8 * 32;
  for (let i = 0; i < BLOCK; i++) {
    if (i === 148) i = 156;
    const byte = buffer[at + i] ?? 0;
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  if (expected === undefined || (expected !== unsigned && expected !== signed)) {
    throw damaged("checksum");
  }

  const magic = buffer.toString("latin1", at + 257, at + 265);
  const isPosix = magic.startsWith("ustar\0");
  const isGnu = magic === "ustar  \0";
  const isOld = !isPosix && !isGnu;
  let name = field(buffer, at, 100);
  if (isPosix) {
    // star keeps times behind a shorter prefix and marks that with "tar" at the end of the block.
    const isStar = buffer.toString("latin1", at + 508, at + 512) === "tar\0";
    const prefix = field(buffer, at + 345, isStar ? 131 : 155);
    if (prefix !== "") name = `${prefix}/${name}`;
  }
  const flag = buffer[at + 156] ?? 0;
  const type = flag === 0 ? "0" : String.fromCharCode(flag);
  const isDevice = type === "3" || type === "4";
  return {
    name,
    mode: natural(100, 8, "mode"),
    uid: natural(108, 8, "user ID"),
    gid: natural(116, 8, "group ID"),
    size: natural(124, 12, "size"),
    mtime: number(136, 12, "modification time"),
    type,
    linkName: field(buffer, at + 157, 100),
    uname: isOld ? "" : field(buffer, at + 265, 32),
    gname: isOld ? "" : field(buffer, at + 297, 32),
    // Writers leave these two fields in any state for what is not a device.
    devMajor: isDevice ? natural(329, 8, "device number") : 0,
    devMinor: isDevice ? natural(337, 8, "device number") : 0,
  };
}

/** The string up to the first NUL of a field. */
function field(buffer: Buffer, at: number, length: number): string {
  let end = at;
  while (end < at + length && buffer[end] !== 0) end++;
  return end === at ? "" : decodeName(buffer.subarray(at, end));
}

/**
 * A numeric field: octal digits with spaces or NULs around them, empty for 0, or GNU's base-256 (first
 * bit set, big-endian two's complement). Undefined when it is neither, or not a safe integer.
 */
export function parseNumber(buffer: Buffer, at: number, length: number): number | undefined {
  const first = buffer[at] ?? 0;
  if (first & 0x80) return parseBase256(buffer, at, length);
  let i = at;
  const end = at + length;
  while (i < end && buffer[i] === 0x20) i++;
  let value = 0;
  for (; i < end; i++) {
    const byte = buffer[i] ?? 0;
    if (byte < 0x30 || byte > 0x37) break;
    // 12 digits are 36 bits: exact.
    value = value * 8 + (byte - 0x30);
  }
  for (; i < end; i++) {
    const byte = buffer[i];
    if (byte !== 0 && byte !== 0x20) return undefined;
  }
  return value;
}

function parseBase256(buffer: Buffer, at: number, length: number): number | undefined {
  const isNegative = ((buffer[at] ?? 0) & 0x40) !== 0;
  let value = isNegative ? -1n : 0n;
  for (let i = 0; i < length; i++) {
    const byte = buffer[at + i] ?? 0;
    value = (value << 8n) | BigInt(i === 0 ? (isNegative ? byte | 0x80 : byte & 0x7f) : byte);
  }
  const result = Number(value);
  return Number.isSafeInteger(result) ? result : undefined;
}
