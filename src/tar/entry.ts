// SPDX-License-Identifier: Apache-2.0
// What an archive entry is, which names are clean, and the bounds on what an archive may claim.
import { quote } from "../lib/text.ts";
import { ArchiveError } from "./errors.ts";

export type TarKind = "file" | "directory" | "symlink" | "hardlink" | "char" | "block" | "fifo";

export interface TarTime {
  readonly seconds: number;
  /** 0 to 999,999,999; counts forward also before 1970. */
  readonly nanoseconds: number;
}

export interface TarEntry {
  /** Relative and clean (`cleanName`): no `.`, `..`, empty component or slash at the end. The root is `.`. */
  readonly name: string;
  readonly kind: TarKind;
  /** Permission bits with setuid, setgid and sticky: 0 to 07777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly uname: string;
  readonly gname: string;
  /** Bytes of content; 0 for everything but a file. */
  readonly size: number;
  readonly mtime: TarTime;
  /** A symbolic link's raw target; a hard link's clean name of an earlier entry; else empty. */
  readonly linkName: string;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
  /** Where the content starts in the archive file. */
  readonly dataOffset: number;
}

export const BLOCK = 512;

/** PATH_MAX less the NUL: a longer name could not be given to the kernel. */
export const MAX_NAME = 4095;
/** One extended header with all its records (xattrs included). */
export const MAX_EXTENDED_HEADER = 1 << 20;
/** XATTR_SIZE_MAX of xattr(7). */
export const MAX_XATTR_VALUE = 65536;
/** The largest published root filesystems have some 500,000 files. */
export const MAX_ENTRIES = 1_000_000;
/** All names, link targets and attributes together: readers keep them to find duplicates and links. */
export const MAX_METADATA = 128 << 20;
/** 4294967295 means "leave unchanged" to chown(2). */
export const MAX_ID = 0xfffffffe;

export const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

/**
 * The canonical form of an entry's name: `./rootfs//a/` is `rootfs/a`, `./` is `.`. Refuses what could
 * lead outside of a tree instead of repairing it: an absolute name, `..`, an empty name, a NUL byte.
 */
export function cleanName(name: string, what = "entry"): string {
  if (name === "") throw unsafe(`${what} has an empty name`);
  if (name.length > MAX_NAME) {
    throw new ArchiveError("ARCHIVE_LIMIT", `${what} ${quote(name)} has too long a name`);
  }
  if (name.includes("\0")) throw unsafe(`name of ${what} ${quote(name)} has a NUL byte`);
  if (name.startsWith("/")) throw unsafe(`name of ${what} ${quote(name)} is absolute`);
  // Almost all names are clean already: one cheap test before anything is split.
  if (!UNCLEAN.test(name)) return name;
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw unsafe(`name of ${what} ${quote(name)} contains ".."`);
  return parts.length === 0 ? "." : parts.join("/");
}

const UNCLEAN = /\/\/|\/$|(?:^|\/)\.\.?(?:\/|$)/;

function unsafe(sentence: string): ArchiveError {
  return new ArchiveError("ARCHIVE_UNSAFE", sentence);
}
