// SPDX-License-Identifier: Apache-2.0
// The entries of a tar archive in a file or a stream, one after another, without reading their content.
// The archive is hostile: whatever two readers could understand differently is refused, every number is
// bounded by the file, and no header reaches past the entry that it belongs to (CVE-2025-62518).
import { fstatSync, readSync } from "node:fs";
import { decodeName } from "../lib/byte-name.ts";
import { quote } from "../lib/text.ts";
import {
  BLOCK,
  cleanName,
  MAX_ENTRIES,
  MAX_EXTENDED_HEADER,
  MAX_ID,
  MAX_METADATA,
  MAX_NAME,
  NO_XATTRS,
  type TarEntry,
  type TarKind,
} from "./entry.ts";
import { ArchiveError } from "./errors.ts";
import { isZeroBlock, parseHeader, type RawHeader } from "./header.ts";
import { type TarInput, truncated } from "./input.ts";
import { type PaxOverrides, parsePax, SPARSE } from "./pax.ts";

/** One read covers the headers and content of many small files. */
const WINDOW = 256 * 1024;

const KINDS: Readonly<Record<string, TarKind>> = {
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  "6": "fifo",
};

/**
 * Reads the archive in a file from its start with pread(2), so that the file position does not move, or in a stream.
 * Of a stream each entry's content is to be taken before the next entry is asked for. Throws ArchiveError at the first thing that is wrong. A missing end-of-archive marker is accepted when the
 * file ends exactly where an entry does, as GNU tar accepts it; what follows a marker is not looked at.
 */
export function* readTar(
  archive: number | TarInput,
  options: {
    /**
     * As layers of images are read elsewhere: absolute names are below the root, and the padding of the last file may
     * be missing (umoci 0.4 forgets it). Otherwise both are refused.
     */
    readonly rooted?: boolean;
  } = {},
): Generator<TarEntry, void, undefined> {
  const rooted = options.rooted === true;
  const window = typeof archive === "number" ? new FileWindow(archive) : archive;
  const pending = new PendingHeaders();
  let position = 0;
  let contentEnd = 0;
  let entries = 0;
  let metadata = 0;
  for (;;) {
    if (pending.isEmpty) {
      if (rooted && window.endsAt(contentEnd)) return;
      if (window.endsAt(position)) return;
    }
    const at = window.need(position, BLOCK);
    if (isZeroBlock(window.buffer, at)) {
      checkEnd(window, position, pending);
      return;
    }
    const header = parseHeader(window.buffer, at, position);
    const dataOffset = position + BLOCK;
    if (++entries > MAX_ENTRIES) {
      throw new ArchiveError("ARCHIVE_LIMIT", `archive has more than ${MAX_ENTRIES} entries`);
    }
    if (isExtension(header.type)) {
      // An extension's length is its own header's alone: an override before it must not apply to it.
      position = skip(window, dataOffset, header.size, header.name);
      pending.add(header, readExtension(window, dataOffset, header), dataOffset - BLOCK);
      continue;
    }
    const entry = makeEntry(header, pending, { dataOffset, rooted });
    pending.clear();
    metadata += entry.name.length + entry.linkName.length;
    for (const value of entry.xattrs.values()) metadata += value.length;
    if (metadata > MAX_METADATA) {
      throw new ArchiveError(
        "ARCHIVE_LIMIT",
        "names and attributes in archive are too long in all",
      );
    }
    contentEnd = dataOffset + entry.size;
    position =
      rooted && !window.mayReach(padded(contentEnd)) && window.endsAt(contentEnd)
        ? contentEnd
        : skip(window, dataOffset, entry.size, entry.name);
    yield entry;
  }
}

/** `length` bytes at `offset` of a file, or ArchiveError when they are not there. */
export class FileWindow implements TarInput {
  readonly size: number;
  readonly buffer = Buffer.allocUnsafe(WINDOW);
  readonly #fd: number;
  #start = 0;
  #length = 0;

  constructor(fd: number) {
    this.#fd = fd;
    this.size = fstatSync(fd).size;
  }

  /** Makes the bytes present (at most a window) and says where in `buffer` they start. */
  need(offset: number, length: number): number {
    if (offset >= this.#start && offset + length <= this.#start + this.#length) {
      return offset - this.#start;
    }
    if (offset + length > this.size) throw truncated(offset);
    this.#start = offset;
    this.#length = 0;
    const wanted = Math.min(WINDOW, this.size - offset);
    while (this.#length < wanted) {
      const n = readSync(
        this.#fd,
        this.buffer,
        this.#length,
        wanted - this.#length,
        offset + this.#length,
      );
      if (n === 0) throw truncated(offset + this.#length);
      this.#length += n;
    }
    return 0;
  }

  endsAt(offset: number): boolean {
    return offset === this.size;
  }

  mayReach(offset: number): boolean {
    return offset <= this.size;
  }

  copy(offset: number, length: number): Buffer {
    const result = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const part = Math.min(WINDOW, length - done);
      const at = this.need(offset + done, part);
      this.buffer.copy(result, done, at, at + part);
      done += part;
    }
    return result;
  }
}

const padded = (end: number): number => Math.ceil(end / BLOCK) * BLOCK;

/** Where the next header is; content and its padding must be in the file. */
function skip(window: TarInput, dataOffset: number, size: number, name: string): number {
  const next = padded(dataOffset + size);
  if (!window.mayReach(next)) {
    throw new ArchiveError(
      "ARCHIVE_TRUNCATED",
      `unexpected end of archive in ${quote(name)} of ${size} bytes`,
      { details: { position: dataOffset, size } },
    );
  }
  return next;
}

/** A zero block: the archive ends with the file, or with a second one (pax(1)). */
function checkEnd(window: TarInput, position: number, pending: PendingHeaders): void {
  if (!pending.isEmpty) throw truncated(position);
  const next = position + BLOCK;
  if (window.endsAt(next)) return;
  const at = window.need(next, BLOCK);
  // GNU tar stops at a lone zero block with a warning, others read on: two views of one archive.
  if (!isZeroBlock(window.buffer, at)) {
    throw new ArchiveError("ARCHIVE_CORRUPT", `lone zero block in archive at byte ${position}`);
  }
}

function isExtension(type: string): boolean {
  return type === "x" || type === "g" || type === "L" || type === "K";
}

function readExtension(window: TarInput, offset: number, header: RawHeader): Buffer {
  const limit = header.type === "L" || header.type === "K" ? MAX_NAME + 1 : MAX_EXTENDED_HEADER;
  if (header.size > limit) {
    throw new ArchiveError(
      "ARCHIVE_LIMIT",
      `extended header of ${header.size} bytes at byte ${offset - BLOCK} is too big`,
    );
  }
  // A global header speaks of all entries; nothing in it is restored (rkt ignores it too).
  return header.type === "g" ? Buffer.alloc(0) : window.copy(offset, header.size);
}

/** What has been said of the next entry before its own header. */
class PendingHeaders {
  pax: PaxOverrides | undefined;
  longName: string | undefined;
  longLink: string | undefined;

  get isEmpty(): boolean {
    return this.pax === undefined && this.longName === undefined && this.longLink === undefined;
  }

  clear(): void {
    this.pax = undefined;
    this.longName = undefined;
    this.longLink = undefined;
  }

  add(header: RawHeader, data: Buffer, position: number): void {
    const twice = (): ArchiveError =>
      new ArchiveError("ARCHIVE_CORRUPT", `entry with two extended headers at byte ${position}`);
    if (header.type === "x") {
      if (this.pax !== undefined) throw twice();
      this.pax = parsePax(data, position);
    } else if (header.type === "L") {
      if (this.longName !== undefined) throw twice();
      this.longName = longString(data, position);
    } else if (header.type === "K") {
      if (this.longLink !== undefined) throw twice();
      this.longLink = longString(data, position);
    }
    const isNamedTwice = this.longName !== undefined && this.pax?.path !== undefined;
    const isLinkedTwice = this.longLink !== undefined && this.pax?.linkPath !== undefined;
    if (isNamedTwice || isLinkedTwice) throw twice();
  }
}

/** A GNU long name: the string, then NULs. */
function longString(data: Buffer, position: number): string {
  const nul = data.indexOf(0);
  const end = nul < 0 ? data.length : nul;
  for (let i = end; i < data.length; i++) {
    if (data[i] !== 0) {
      throw new ArchiveError("ARCHIVE_UNSAFE", `NUL byte in long name at byte ${position}`);
    }
  }
  return decodeName(data.subarray(0, end));
}

function makeEntry(
  header: RawHeader,
  pending: PendingHeaders,
  { dataOffset, rooted }: { readonly dataOffset: number; readonly rooted: boolean },
): TarEntry {
  const pax = pending.pax;
  const rawName = pax?.path ?? pending.longName ?? header.name;
  const name = cleanName(rooted ? withoutRoot(rawName) : rawName);
  if (header.type === "S") {
    throw new ArchiveError("ARCHIVE_UNSUPPORTED", SPARSE, { details: { name } });
  }
  let kind = KINDS[header.type];
  if (kind === undefined) {
    throw new ArchiveError(
      "ARCHIVE_UNSUPPORTED",
      `unsupported type ${quote(header.type)} of archive entry ${quote(name)}`,
      { details: { name, type: header.type.charCodeAt(0) } },
    );
  }
  // Before ustar a directory was a file whose name ends in a slash; GNU tar still reads it so.
  if (kind === "file" && rawName.endsWith("/")) kind = "directory";
  const size = pax?.size ?? header.size;
  if (kind !== "file" && size !== 0) {
    // Readers disagree on whether such content is there: what follows would be read differently.
    throw new ArchiveError(
      "ARCHIVE_CORRUPT",
      `archive entry ${quote(name)} is a ${kind} with ${size} bytes of content`,
    );
  }
  const uid = pax?.uid ?? header.uid;
  const gid = pax?.gid ?? header.gid;
  if (uid > MAX_ID || gid > MAX_ID) {
    throw new ArchiveError("ARCHIVE_CORRUPT", `archive entry ${quote(name)} has a bad owner`);
  }
  // The kernel's device numbers have 12 and 20 bits: more would silently become another device.
  if (header.devMajor > 0xfff || header.devMinor > 0xfffff) {
    throw new ArchiveError(
      "ARCHIVE_CORRUPT",
      `archive entry ${quote(name)} has a bad device number`,
    );
  }
  if (name === "." && kind !== "directory") {
    throw new ArchiveError("ARCHIVE_UNSAFE", `archive entry ${quote(rawName)} is not a directory`);
  }
  return {
    name,
    kind,
    mode: header.mode & 0o7777,
    uid,
    gid,
    uname: pax?.uname ?? header.uname,
    gname: pax?.gname ?? header.gname,
    size,
    mtime: pax?.mtime ?? { seconds: header.mtime, nanoseconds: 0 },
    linkName: linkName(kind, pax?.linkPath ?? pending.longLink ?? header.linkName, {
      name,
      rooted,
    }),
    devMajor: header.devMajor,
    devMinor: header.devMinor,
    xattrs: pax?.xattrs ?? NO_XATTRS,
    dataOffset,
  };
}

/** `/a` is `a`, `/` is `.`. */
function withoutRoot(name: string): string {
  if (!name.startsWith("/")) return name;
  const rest = name.replace(/^\/+/, "");
  return rest === "" ? "." : rest;
}

function linkName(
  kind: TarKind,
  raw: string,
  { name, rooted }: { readonly name: string; readonly rooted: boolean },
): string {
  if (kind === "hardlink") return cleanName(rooted ? withoutRoot(raw) : raw, "hard link target");
  if (kind !== "symlink") return "";
  if (raw === "" || raw.length > MAX_NAME) {
    throw new ArchiveError(
      raw === "" ? "ARCHIVE_UNSAFE" : "ARCHIVE_LIMIT",
      `symbolic link ${quote(name)} has ${raw === "" ? "no" : "too long a"} target`,
    );
  }
  return raw;
}
