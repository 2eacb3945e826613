// SPDX-License-Identifier: Apache-2.0
// Writes POSIX tar: plain ustar headers, and an extended header (pax(1)) only for what those cannot say.
// The same calls give the same bytes: no clock, no user database.
import { readSync } from "node:fs";
import { encodeName } from "../lib/byte-name.ts";
import { quote } from "../lib/text.ts";
import { BLOCK, type TarEntry, type TarKind } from "./entry.ts";
import { ArchiveError } from "./errors.ts";
import { formatRecord, formatTime } from "./pax.ts";

/** What can be said of an entry; `name`, `kind` and `mode` must be. */
export type TarHeader = Pick<TarEntry, "name" | "kind" | "mode"> &
  Partial<Omit<TarEntry, "name" | "kind" | "mode" | "size" | "dataOffset">>;

/** A part of a file that is the content of an entry. */
export interface FilePart {
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
}

const TYPES: Readonly<Record<TarKind, string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

const MAX_OCTAL_7 = 0o7777777;
const MAX_OCTAL_11 = 0o77777777777;
const COPY = 1 << 20;

export class TarWriter {
  readonly #sink: (chunk: Uint8Array) => void;
  #buffer: Buffer | undefined;

  /** A chunk is good only during the call of `sink`: its memory is used again. */
  constructor(sink: (chunk: Uint8Array) => void) {
    this.#sink = sink;
  }

  /** Only a "file" may have content. Names are written as they are given. */
  entry(header: TarHeader, data: Uint8Array | FilePart = NO_DATA): void {
    const size = data.length;
    if (size > 0 && header.kind !== "file") throw new Error(`${header.kind} with content`);
    const name = encodeName(header.name);
    const link = encodeName(header.linkName ?? "");
    const records = extendedRecords(header, { name, link, size });
    if (records.length > 0) {
      const body = Buffer.concat(records);
      const last = header.name.slice(header.name.lastIndexOf("/", header.name.length - 2) + 1);
      const extended = encodeName(`PaxHeaders.0/${last}`).subarray(0, 100);
      this.#sink(ustar({ name: extended, type: "x", mode: 0o644, size: body.length }));
      this.#sink(body);
      this.#pad(body.length);
    }
    const { uid = 0, gid = 0, mtime = { seconds: 0 } } = header;
    const { uname = "", gname = "", devMajor = 0, devMinor = 0 } = header;
    const type = TYPES[header.kind];
    const fields = { name, type, mode: header.mode, size, uid, gid, link };
    this.#sink(ustar({ ...fields, mtime: mtime.seconds, uname, gname, devMajor, devMinor }));
    if (data instanceof Uint8Array) {
      if (size > 0) this.#sink(data);
    } else {
      this.#copy(data, header.name);
    }
    this.#pad(size);
  }

  /** The end-of-archive marker: two zero blocks. */
  finish(): void {
    this.#sink(Buffer.alloc(2 * BLOCK));
  }

  #copy(part: FilePart, name: string): void {
    this.#buffer ??= Buffer.allocUnsafe(COPY);
    for (let done = 0; done < part.length; ) {
      const wanted = Math.min(COPY, part.length - done);
      const n = readSync(part.fd, this.#buffer, 0, wanted, part.offset + done);
      if (n === 0) {
        throw new ArchiveError("ARCHIVE_IO", `${quote(name)} became shorter while it was archived`);
      }
      this.#sink(this.#buffer.subarray(0, n));
      done += n;
    }
  }

  #pad(size: number): void {
    const rest = size % BLOCK;
    if (rest > 0) this.#sink(Buffer.alloc(BLOCK - rest));
  }
}

const NO_DATA = new Uint8Array(0);

function extendedRecords(
  header: TarHeader,
  parts: { readonly name: Buffer; readonly link: Buffer; readonly size: number },
): Buffer[] {
  const records: Buffer[] = [];
  const add = (key: string, value: Uint8Array | string): void => {
    const bytes = typeof value === "string" ? Buffer.from(value) : value;
    records.push(formatRecord(encodeName(key), bytes));
  };
  const { uid = 0, gid = 0, mtime } = header;
  if (!isAscii(parts.name) || splitName(parts.name) === undefined) add("path", parts.name);
  if (!isAscii(parts.link) || parts.link.length > 100) add("linkpath", parts.link);
  if (parts.size > MAX_OCTAL_11) add("size", String(parts.size));
  if (uid > MAX_OCTAL_7) add("uid", String(uid));
  if (gid > MAX_OCTAL_7) add("gid", String(gid));
  for (const key of ["uname", "gname"] as const) {
    const bytes = encodeName(header[key] ?? "");
    if (!isAscii(bytes) || bytes.length > 31) add(key, bytes);
  }
  if (mtime !== undefined) {
    const isPlain = mtime.nanoseconds === 0 && mtime.seconds >= 0 && mtime.seconds <= MAX_OCTAL_11;
    if (!isPlain) add("mtime", formatTime(mtime));
  }
  const xattrs = [...(header.xattrs ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, value] of xattrs) {
    // The first "=" ends the key, so such a name cannot be said; none is in use.
    if (name.includes("=")) {
      throw new ArchiveError("ARCHIVE_UNSUPPORTED", `cannot archive xattr ${quote(name)}`);
    }
    add(`SCHILY.xattr.${name}`, value);
  }
  return records;
}

function isAscii(bytes: Buffer): boolean {
  return bytes.every((byte) => byte < 0x80);
}

/** The name in ustar's two fields, split at a slash; undefined when it does not fit. */
function splitName(name: Buffer): { readonly prefix: Buffer; readonly name: Buffer } | undefined {
  if (name.length <= 100) return { prefix: name.subarray(0, 0), name };
  // The name part is 1 to 100 bytes, the prefix 1 to 155.
  const slash = name.subarray(0, 156).lastIndexOf(0x2f, Math.min(155, name.length - 2));
  if (slash <= 0 || name.length - slash - 1 > 100) return undefined;
  return { prefix: name.subarray(0, slash), name: name.subarray(slash + 1) };
}

interface UstarFields {
  readonly name: Buffer;
  readonly type: string;
  readonly mode: number;
  readonly size: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly link?: Buffer;
  readonly uname?: string;
  readonly gname?: string;
  readonly devMajor?: number;
  readonly devMinor?: number;
}

/** A header block. What does not fit is cut or capped: an extended record says it in full. */
function ustar(fields: UstarFields): Buffer {
  const block = Buffer.alloc(BLOCK);
  const text = (value: Uint8Array, at: number, length: number): void => {
    block.set(value.subarray(0, length), at);
  };
  const octal = (value: number, at: number, length: number): void => {
    const max = 8 ** (length - 1) - 1;
    const capped = Math.min(Math.max(Math.trunc(value), 0), max);
    block.write(capped.toString(8).padStart(length - 1, "0"), at, "latin1");
  };
  const split = splitName(fields.name);
  text(split?.name ?? fields.name, 0, 100);
  octal(fields.mode & 0o7777, 100, 8);
  octal(fields.uid ?? 0, 108, 8);
  octal(fields.gid ?? 0, 116, 8);
  octal(fields.size, 124, 12);
  octal(fields.mtime ?? 0, 136, 12);
  block.write(fields.type, 156, "latin1");
  text(fields.link ?? NO_DATA, 157, 100);
  block.write("ustar\x0000", 257, "latin1");
  text(encodeName(fields.uname ?? ""), 265, 31);
  text(encodeName(fields.gname ?? ""), 297, 31);
  octal(fields.devMajor ?? 0, 329, 8);
  octal(fields.devMinor ?? 0, 337, 8);
  text(split?.prefix ?? NO_DATA, 345, 155);
  block.write("        ", 148, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}
