// SPDX-License-Identifier: Apache-2.0
// The records of a POSIX extended header: "LENGTH KEY=VALUE\n" (pax(1), "pax Extended Header").
import { decodeName } from "../lib/byte-name.ts";
import { quote } from "../lib/text.ts";
import { MAX_ID, MAX_XATTR_VALUE, type TarTime } from "./entry.ts";
import { ArchiveError } from "./errors.ts";

/** What an extended header changes in the header that follows it. */
export interface PaxOverrides {
  path?: string;
  linkPath?: string;
  size?: number;
  uid?: number;
  gid?: number;
  uname?: string;
  gname?: string;
  mtime?: TarTime;
  xattrs?: Map<string, Uint8Array>;
}

const SCHILY_XATTR = "SCHILY.xattr.";
const LIBARCHIVE_XATTR = "LIBARCHIVE.xattr.";

export function parsePax(data: Buffer, position: number): PaxOverrides {
  const result: PaxOverrides = {};
  const damaged = (what: string): ArchiveError =>
    new ArchiveError("ARCHIVE_CORRUPT", `bad ${what} in extended header at byte ${position}`, {
      details: { position },
    });
  let at = 0;
  while (at < data.length) {
    const space = data.indexOf(0x20, at);
    const digits = space < 0 || space - at > 8 ? "" : data.toString("latin1", at, space);
    const length = /^[0-9]+$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    if (length === 0 || end > data.length || data[end - 1] !== 0x0a) throw damaged("record length");
    const equals = data.indexOf(0x3d, space + 1);
    if (equals < 0 || equals >= end) throw damaged("record");
    const key = decodeName(data.subarray(space + 1, equals));
    if (key === "" || key.includes("\0")) throw damaged("record key");
    const value = data.subarray(equals + 1, end - 1);
    at = end;
    if (key.startsWith("GNU.sparse.")) {
      throw new ArchiveError("ARCHIVE_UNSUPPORTED", SPARSE);
    }
    if (key.startsWith(SCHILY_XATTR)) {
      addXattr(result, key.slice(SCHILY_XATTR.length), value);
    } else if (key.startsWith(LIBARCHIVE_XATTR)) {
      const name = percentDecode(key.slice(LIBARCHIVE_XATTR.length));
      const text = value.toString("latin1", 0, value.length);
      if (name === undefined || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw damaged("xattr");
      // star and libarchive write both forms of one attribute; the plain one counts.
      if (result.xattrs?.has(name) !== true) addXattr(result, name, Buffer.from(text, "base64"));
    } else {
      override(result, key, value, damaged);
    }
  }
  return result;
}

/** Why a sparse entry is refused, whichever of the four encodings it has. */
export const SPARSE = "archive has a sparse file, which is not supported; make it without --sparse";

function override(
  result: PaxOverrides,
  key: string,
  value: Buffer,
  damaged: (what: string) => ArchiveError,
): void {
  // An empty value takes the record back: the header's own field counts (pax(1)).
  const text = (): string | undefined => {
    if (value.includes(0)) throw damaged(`${key} (NUL byte)`);
    return value.length === 0 ? undefined : decodeName(value);
  };
  const number = (max: number): number | undefined => {
    if (value.length === 0) return undefined;
    const digits = value.toString("latin1", 0, value.length);
    const result = /^[0-9]{1,16}$/.test(digits) ? Number(digits) : Number.NaN;
    if (!(result <= max)) throw damaged(key);
    return result;
  };
  const set = <K extends keyof PaxOverrides>(
    name: K,
    parsed: PaxOverrides[K] | undefined,
  ): void => {
    if (parsed === undefined) delete result[name];
    else result[name] = parsed;
  };
  switch (key) {
    case "path":
      set("path", text());
      break;
    case "linkpath":
      set("linkPath", text());
      break;
    case "size":
      set("size", number(Number.MAX_SAFE_INTEGER));
      break;
    case "uid":
      set("uid", number(MAX_ID));
      break;
    case "gid":
      set("gid", number(MAX_ID));
      break;
    case "uname":
      set("uname", text());
      break;
    case "gname":
      set("gname", text());
      break;
    case "mtime": {
      const time =
        value.length === 0 ? undefined : parseTime(value.toString("latin1", 0, value.length));
      if (value.length > 0 && time === undefined) throw damaged(key);
      set("mtime", time);
      break;
    }
    default:
    // Other keywords (atime, ctime, comment, vendor data) say nothing that is restored.
  }
}

function addXattr(result: PaxOverrides, name: string, value: Buffer): void {
  if (name === "" || name.length > 255) {
    throw new ArchiveError("ARCHIVE_CORRUPT", `bad name of extended attribute ${quote(name)}`);
  }
  if (value.length > MAX_XATTR_VALUE) {
    throw new ArchiveError("ARCHIVE_LIMIT", `extended attribute ${quote(name)} is too big`);
  }
  result.xattrs ??= new Map();
  result.xattrs.set(name, new Uint8Array(value));
}

/** Decimal seconds with an optional fraction; digits beyond nanoseconds are dropped, towards the past. */
export function parseTime(text: string): TarTime | undefined {
  const match = /^(-?)([0-9]{1,16})(?:\.([0-9]{0,32}))?$/.exec(text);
  if (match === null) return undefined;
  const whole = Number(match[2]);
  const fraction = match[3] ?? "";
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, "0"));
  if (!Number.isSafeInteger(whole)) return undefined;
  if (match[1] !== "-") return { seconds: whole, nanoseconds };
  const isExact = !/[1-9]/.test(fraction.slice(9));
  const back = isExact ? nanoseconds : nanoseconds + 1;
  if (back === 0) return { seconds: 0 - whole, nanoseconds: 0 };
  return { seconds: 0 - whole - 1, nanoseconds: 1_000_000_000 - back };
}

export function formatTime(time: TarTime): string {
  if (time.nanoseconds === 0) return String(time.seconds);
  const isNegative = time.seconds < 0;
  const whole = isNegative ? -(time.seconds + 1) : time.seconds;
  const fraction = isNegative ? 1_000_000_000 - time.nanoseconds : time.nanoseconds;
  const digits = String(fraction).padStart(9, "0").replace(/0+$/, "");
  return `${isNegative ? "-" : ""}${whole}.${digits}`;
}

/** One record; its length counts itself. */
export function formatRecord(key: Uint8Array, value: Uint8Array): Buffer {
  const rest = key.length + value.length + 3;
  let length = rest + 1;
  while (String(length).length + rest !== length) length = String(length).length + rest;
  return Buffer.concat([
    Buffer.from(`${length} `),
    key,
    Buffer.from("="),
    value,
    Buffer.from("\n"),
  ]);
}

function percentDecode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}
