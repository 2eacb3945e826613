// SPDX-License-Identifier: Apache-2.0
// The tree hash: sha512 over the metadata and content of a rendered tree (rkt-runtime §6.3). Times are
// not part of it. Runs over the tree as it is on disk, so it finds what changed there later.
import {
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  type Stats,
} from "node:fs";
import { decodeName, encodeName } from "../lib/byte-name.ts";
import { OPAQUE_XATTR } from "../sys/constants.ts";
import { readXattrs } from "../sys/tree.ts";

export interface TreeHash {
  /** `sha512-` and the first half of the digest. */
  readonly hash: string;
  /** Bytes of all regular files; several links to one file count once. */
  readonly size: number;
}

/** Where a walk over a tree puts what it finds: for every entry its header, then a file's content. */
interface TreeSink {
  header(text: string): void;
  /** `fd` is open for reading at its start. */
  content(fd: number, stat: Pick<Stats, "ino" | "size">): void;
}

/**
 * What is hashed of a directory of the store: all else in it is the store's own (`manifest`, `hash`, `rendered`). The
 * directories of an OCI layer have overlayfs's marks, and these count.
 */
type TreeKind = "rootfs" | "diff";

/** The hash and size of the tree in `directory`. Nobody may change it meanwhile. */
export function hashTree(directory: string): TreeHash {
  const sink = new HashSink("sha512");
  const size = walkTree(directory, sink, "rootfs");
  return { hash: treeHashOf(sink.digest()), size };
}

/** The form of a tree hash: half of the digest, as in a key. */
export function treeHashOf(hex: string): string {
  return `sha512-${hex.slice(0, 64)}`;
}

/**
 * Whether the tree in `directory` has exactly these headers in this order; its size if so. Content is not
 * read.
 */
export function matchHeaders(
  directory: string,
  headers: Iterator<string>,
): { readonly size: number } | undefined {
  let isEqual = true;
  const size = walkTree(
    directory,
    {
      header(text) {
        if (isEqual) isEqual = headers.next().value === text;
      },
      content: () => undefined,
    },
    "rootfs",
  );
  return isEqual && headers.next().done === true ? { size } : undefined;
}

/** What the tree hash says of an entry, before its content. */
export interface HeaderFields {
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** As in a tar header: "0" file, "1" hard link, "2" symbolic link, "3" … "6". */
  readonly type: string;
  readonly link: string;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: readonly Xattr[];
}

interface Xattr {
  readonly Name: string;
  readonly Value: string;
}

export function headerText(fields: HeaderFields): string {
  return goJson({
    Name: fields.name,
    Mode: fields.mode,
    Uid: fields.uid,
    Gid: fields.gid,
    Size: fields.size,
    Typeflag: fields.type.charCodeAt(0),
    Linkname: fields.link,
    Devmajor: fields.major,
    Devminor: fields.minor,
    Xattrs: fields.xattrs,
  });
}

/** The attributes that rendering restores; others (a security label) the host may set and change. */
export function restoredXattrs(
  xattrs: ReadonlyMap<string, Uint8Array>,
  also?: string,
): readonly Xattr[] {
  if (xattrs.size === 0) return [];
  return [...xattrs]
    .filter(([name]) => name === "security.capability" || name === also || name.startsWith("user."))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([Name, value]) => ({ Name, Value: decodeName(Buffer.from(value)) }));
}

const BUFFER = 1 << 20;

/** Collects headers and small files, so that hashing is done in large pieces. */
export class HashSink implements TreeSink {
  readonly #hash: Bun.CryptoHasher;
  readonly #buffer = Buffer.allocUnsafe(BUFFER);
  #filled = 0;

  constructor(algorithm: "sha256" | "sha512") {
    this.#hash = new Bun.CryptoHasher(algorithm);
  }

  header(text: string): void {
    // UTF-8 needs at most three bytes per UTF-16 unit.
    if (this.#filled + text.length * 3 > BUFFER) {
      this.#flush();
      if (text.length * 3 > BUFFER) {
        this.#hash.update(text, "utf8");
        return;
      }
    }
    this.#filled += this.#buffer.write(text, this.#filled, "utf8");
  }

  content(fd: number, _stat: Pick<Stats, "ino" | "size">): void {
    for (;;) {
      if (this.#filled === BUFFER) this.#flush();
      const n = readSync(fd, this.#buffer, this.#filled, BUFFER - this.#filled, null);
      if (n === 0) return;
      this.#filled += n;
    }
  }

  digest(): string {
    this.#flush();
    return this.#hash.digest("hex");
  }

  #flush(): void {
    if (this.#filled > 0) this.#hash.update(this.#buffer.subarray(0, this.#filled));
    this.#filled = 0;
  }
}

/** Walks a tree in lexical order and gives the sum of its files' sizes. */
export function walkTree(directory: string, sink: TreeSink, kind: TreeKind): number {
  const walk = new TreeWalk(sink, kind);
  walk.directory(directory, "");
  return walk.size;
}

/** A path for node:fs: bytes where a name is not UTF-8. */
type RawPath = string | Buffer;

class TreeWalk {
  size = 0;
  readonly #sink: TreeSink;
  readonly #kind: TreeKind;
  /** Files with several links that were seen: inode → first name. */
  readonly #links = new Map<string, string>();

  constructor(sink: TreeSink, kind: TreeKind) {
    this.#sink = sink;
    this.#kind = kind;
  }

  directory(path: RawPath, name: string): void {
    for (const child of sortedNames(path)) {
      if (name === "" && child !== this.#kind) continue;
      this.#entry(joinRaw(path, child), name === "" ? child : `${name}/${child}`);
    }
  }

  #entry(path: RawPath, name: string): void {
    const stat = lstatSync(path);
    const type = stat.mode & constants.S_IFMT;
    switch (type) {
      case constants.S_IFDIR:
        this.#header(name, stat, { type: "5", xattrs: this.#directoryXattrs(path) });
        this.directory(path, name);
        return;
      case constants.S_IFLNK:
        this.#header(name, stat, {
          type: "2",
          link: decodeName(readlinkSync(path, { encoding: "buffer" })),
        });
        return;
      case constants.S_IFSOCK:
        return;
      default:
        this.#fileOrNode(path, name, stat);
    }
  }

  #directoryXattrs(path: RawPath): readonly Xattr[] {
    if (this.#kind === "rootfs") return [];
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      return restoredXattrs(readXattrs(fd), OPAQUE_XATTR);
    } finally {
      closeSync(fd);
    }
  }

  #fileOrNode(path: RawPath, name: string, stat: Stats): void {
    if (stat.nlink > 1) {
      const inode = `${stat.dev}:${stat.ino}`;
      const first = this.#links.get(inode);
      if (first !== undefined) {
        this.#header(name, stat, { type: "1", link: first });
        return;
      }
      this.#links.set(inode, name);
    }
    if (!stat.isFile()) {
      const type = stat.isCharacterDevice() ? "3" : stat.isBlockDevice() ? "4" : "6";
      this.#header(name, stat, { type, device: type !== "6" });
      return;
    }
    this.size += stat.size;
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const xattrs = restoredXattrs(readXattrs(fd));
      this.#header(name, stat, { type: "0", size: stat.size, xattrs });
      this.#sink.content(fd, stat);
    } finally {
      closeSync(fd);
    }
  }

  #header(
    name: string,
    stat: Stats,
    entry: {
      readonly type: string;
      readonly size?: number;
      readonly link?: string;
      readonly device?: boolean;
      readonly xattrs?: readonly Xattr[];
    },
  ): void {
    const { rdev } = stat;
    this.#sink.header(
      headerText({
        name,
        mode: stat.mode & 0o7777,
        uid: stat.uid,
        gid: stat.gid,
        size: entry.size ?? 0,
        type: entry.type,
        link: entry.link ?? "",
        major: entry.device === true ? major(rdev) : 0,
        minor: entry.device === true ? minor(rdev) : 0,
        xattrs: entry.xattrs ?? [],
      }),
    );
  }
}

/** As Go's encoder writes JSON: the reference hashes that. */
function goJson(value: object): string {
  const text = JSON.stringify(value);
  return /[<>&\u2028\u2029]/.test(text)
    ? text.replace(
        /[<>&\u2028\u2029]/g,
        (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
      )
    : text;
}

/** Compares names as the kernel has them. */
export function byBytes(a: string, b: string): number {
  return Buffer.compare(encodeName(a), encodeName(b));
}

/** The names in a directory in the order of their bytes; bytes that are not UTF-8 as decodeName has them. */
function sortedNames(directory: RawPath): string[] {
  const names = typeof directory === "string" ? readdirSync(directory) : [];
  // U+FFFD may stand for bytes that a string cannot hold.
  if (typeof directory === "string" && !names.some((name) => name.includes("\ufffd"))) {
    return names.some((name) => /[^\0-\x7f]/.test(name)) ? names.sort(byBytes) : names.sort();
  }
  return readdirSync(directory, { encoding: "buffer" }).map(decodeName).sort(byBytes);
}

function joinRaw(directory: RawPath, name: string): RawPath {
  if (typeof directory === "string" && name.isWellFormed()) return `${directory}/${name}`;
  const parent = typeof directory === "string" ? Buffer.from(directory) : directory;
  return Buffer.concat([parent, Buffer.from("/"), encodeName(name)]);
}

// sysmacros.h; device numbers fit into 32 bits here.
function major(rdev: number): number {
  return (Math.floor(rdev / 256) & 0xfff) | (Math.floor(rdev / 2 ** 32) & 0xfffff000);
}
function minor(rdev: number): number {
  return (rdev & 0xff) | (Math.floor(rdev / 2 ** 12) & 0xffffff00);
}
