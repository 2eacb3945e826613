// SPDX-License-Identifier: Apache-2.0
// The tree hash: sha512 over the metadata and content of a rendered tree (rkt-runtime §6.3). Times are
// not part of it. Runs over the tree as it is on disk, so it finds what changed there later.
import { createHash, type Hash } from "node:crypto";
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
import { readXattrs } from "../sys/tree.ts";

export interface TreeHash {
  /** `sha512-` and the first half of the digest. */
  readonly hash: string;
  /** Bytes of all regular files; several links to one file count once. */
  readonly size: number;
}

/** Files of the store itself beside rootfs. */
const EXCLUDED: ReadonlySet<string> = new Set(["manifest", "hash", "rendered", "image"]);

/** The hash and size of the tree in `directory`. Nobody may change it meanwhile. */
export function hashTree(directory: string): TreeHash {
  const walk = new TreeWalk();
  walk.directory(directory, "");
  return walk.finish();
}

/** A path for node:fs: bytes where a name is not UTF-8. */
type RawPath = string | Buffer;

const BUFFER = 1 << 20;

class TreeWalk {
  readonly #hash: Hash = createHash("sha512");
  /** Collects headers and small files, so that hashing is done in large pieces. */
  readonly #buffer = Buffer.allocUnsafe(BUFFER);
  #filled = 0;
  #size = 0;
  /** Files with several links that were seen: inode → first name. */
  readonly #links = new Map<string, string>();

  directory(path: RawPath, name: string): void {
    for (const child of sortedNames(path)) {
      if (name === "" && EXCLUDED.has(child)) continue;
      this.#entry(joinRaw(path, child), name === "" ? child : `${name}/${child}`);
    }
  }

  finish(): TreeHash {
    this.#flush();
    return { hash: `sha512-${this.#hash.digest("hex").slice(0, 64)}`, size: this.#size };
  }

  #entry(path: RawPath, name: string): void {
    const stat = lstatSync(path);
    const type = stat.mode & constants.S_IFMT;
    switch (type) {
      case constants.S_IFDIR:
        this.#header(name, stat, { type: "5" });
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
    this.#size += stat.size;
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      this.#header(name, stat, { type: "0", size: stat.size, xattrs: restoredXattrs(fd) });
      this.#content(fd);
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
    this.#text(
      goJson({
        Name: name,
        Mode: stat.mode & 0o7777,
        Uid: stat.uid,
        Gid: stat.gid,
        Size: entry.size ?? 0,
        Typeflag: entry.type.charCodeAt(0),
        Linkname: entry.link ?? "",
        Devmajor: entry.device === true ? major(rdev) : 0,
        Devminor: entry.device === true ? minor(rdev) : 0,
        Xattrs: entry.xattrs ?? [],
      }),
    );
  }

  #text(text: string): void {
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

  #content(fd: number): void {
    for (;;) {
      if (this.#filled === BUFFER) this.#flush();
      const n = readSync(fd, this.#buffer, this.#filled, BUFFER - this.#filled, null);
      if (n === 0) return;
      this.#filled += n;
    }
  }

  #flush(): void {
    if (this.#filled > 0) this.#hash.update(this.#buffer.subarray(0, this.#filled));
    this.#filled = 0;
  }
}

interface Xattr {
  readonly Name: string;
  readonly Value: string;
}

/** The attributes that rendering restores; others (a security label) the host may set and change. */
function restoredXattrs(fd: number): readonly Xattr[] {
  const result: Xattr[] = [];
  for (const [Name, value] of readXattrs(fd)) {
    if (Name === "security.capability" || Name.startsWith("user.")) {
      result.push({ Name, Value: decodeName(Buffer.from(value)) });
    }
  }
  return result;
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

/** The names in a directory in the order of their bytes; bytes that are not UTF-8 as decodeName has them. */
function sortedNames(directory: RawPath): string[] {
  const names = typeof directory === "string" ? readdirSync(directory) : [];
  // U+FFFD may stand for bytes that a string cannot hold.
  if (typeof directory === "string" && !names.some((name) => name.includes("\ufffd"))) {
    return names.some((name) => /[^\0-\x7f]/.test(name)) ? names.sort(byBytes) : names.sort();
  }
  return readdirSync(directory, { encoding: "buffer" }).map(decodeName).sort(byBytes);
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(encodeName(a), encodeName(b));
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
