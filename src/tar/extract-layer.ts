// SPDX-License-Identifier: Apache-2.0
// Writes one layer of an OCI image into a directory, in overlayfs's own form: a whiteout becomes a character device
// 0:0, an opaque directory gets trusted.overlay.opaque. The layer is hostile: everything is resolved below its own
// root as after a chroot, so a link in it leads nowhere else; links of lower layers are not seen at all. A later
// entry replaces an earlier one of the same name, as layers are meant to be read.
import { closeSync, fchmodSync, fchownSync, fstatSync, readlinkSync, writeSync } from "node:fs";
import { assertNever } from "../lib/assert-never.ts";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { openBelow } from "../sys/at.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from "../sys/constants.ts";
import { removeTree } from "../sys/remove-tree.ts";
import {
  changeModeAt,
  changeOwnerAt,
  changeTimes,
  changeTimesAt,
  copyContent,
  createFileAt,
  makeDirectoryAt,
  makeLinkAt,
  makeNodeAt,
  makeSymlinkAt,
  readXattrs,
  setXattr,
} from "../sys/tree.ts";
import type { TarEntry, TarTime } from "./entry.ts";
import { ArchiveError } from "./errors.ts";
import { explain, restoreXattrs, split } from "./extract.ts";
import type { StreamInput } from "./input.ts";
import { readTar } from "./read.ts";

/** What the layer is put on. `unknown`: there are lower layers, and they are not there yet. */
export type LowerLayers = "none" | "unknown" | { readonly fd: number };

/**
 * Thrown with lower layers `unknown`: the layer has a hard link to a file of a lower one, or files in a directory
 * that only a lower one describes. What was extracted so far is to be thrown away.
 */
export class NeedsLowerLayers extends Error {}

export interface LayerTarget {
  /** An empty directory. */
  readonly rootFd: number;
  readonly lower: LowerLayers;
}

/** Of a large file whose content was hashed when it was written: its inode, and the SHA-256 of it. */
export type LargeFiles = ReadonlyMap<number, Uint8Array>;

/** Files larger than this are written and hashed piece by piece. */
export const LARGE = 4096;

/** So many at most are told of: their hashes are kept in memory, and pass through a pipe. */
const MAX_LARGE = 100_000;

export interface ExtractedLayer {
  readonly large: LargeFiles;
  /** The directories that are still to be marked as such: paths of the layer, through its links maybe. */
  readonly opaque: readonly string[];
}

/** Extracts a layer with its owners: needs root, but not CAP_SYS_ADMIN, which the marks of opaque directories take. */
export function extractLayer(archive: StreamInput, target: LayerTarget): ExtractedLayer {
  using extractor = new LayerExtractor(archive, target);
  for (const entry of readTar(archive, { rooted: true })) {
    try {
      extractor.add(entry);
    } catch (error) {
      throw error instanceof NeedsLowerLayers ? error : explain(error, entry);
    }
  }
  const opaque = extractor.opaque();
  extractor.finish();
  return { large: extractor.largeFiles, opaque };
}

const WHITEOUT = ".wh.";
/** aufs kept notes of its own under names that start so; only the opaque mark means something here. */
const AUFS_NOTE = ".wh..wh.";
const OPAQUE = ".wh..wh..opq";
const OPEN_DIRECTORIES = 64;

/** What a directory is to be once everything is in it. */
interface DirectoryFacts {
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime?: TarTime | undefined;
  readonly xattrs?: TarEntry["xattrs"] | undefined;
}

class LayerExtractor implements Disposable {
  readonly largeFiles = new Map<number, Uint8Array>();
  readonly #archive: StreamInput;
  readonly #rootFd: number;
  readonly #lower: LowerLayers;
  /** By path as written; parents come before their children. Undefined: no entry has described it yet. */
  readonly #directories = new Map<string, DirectoryFacts | undefined>();
  readonly #whiteouts = new Set<string>();
  /** By path as written; the inode tells whether it is still the same directory. */
  readonly #opaque = new Map<string, number>();
  readonly #open = new Map<string, number>();

  constructor(archive: StreamInput, target: LayerTarget) {
    this.#archive = archive;
    this.#rootFd = target.rootFd;
    this.#lower = target.lower;
  }

  [Symbol.dispose](): void {
    this.#forgetOpen();
  }

  add(entry: TarEntry): void {
    const [parent, name] = split(entry.name);
    if (name === OPAQUE) this.#makeOpaque(parent);
    else if (name.startsWith(AUFS_NOTE)) return;
    else if (name.startsWith(WHITEOUT)) this.#whiteOut(parent, name.slice(WHITEOUT.length));
    else if (entry.kind === "directory") this.#makeDirectory(entry);
    else this.#replace(entry.name, (fd, base) => this.#make(entry, fd, base));
  }

  /** The directories that hide what the layers below have of them. Before `finish`: parents may become closed. */
  opaque(): string[] {
    return [...this.#opaque.keys()].filter((path) => this.#inode(path) === this.#opaque.get(path));
  }

  /** Owners, modes and times of the directories, children first. */
  finish(): void {
    for (const [path, facts] of [...this.#directories].reverse()) {
      const known = facts ?? this.#factsOfLower(path);
      try {
        this.#finishDirectory(path, known);
      } catch (error) {
        throw explain(error, known);
      }
    }
  }

  #finishDirectory(path: string, facts: DirectoryFacts): void {
    const fd = this.#openHere(path, O_RDONLY | O_DIRECTORY);
    // Something else took its place later in the archive.
    if (fd === undefined) return;
    try {
      fchownSync(fd, facts.uid, facts.gid);
      fchmodSync(fd, facts.mode);
      for (const [name, value] of facts.xattrs ?? []) {
        if (name.startsWith("user.")) setXattr(fd, name, value);
      }
      if (facts.mtime !== undefined) changeTimes(fd, facts.mtime);
    } finally {
      closeSync(fd);
    }
  }

  #make(entry: TarEntry, parentFd: number, name: string): void {
    switch (entry.kind) {
      case "file":
        this.#makeFile(entry, parentFd, name);
        return;
      case "symlink":
        makeSymlinkAt(entry.linkName, parentFd, name);
        changeOwnerAt(parentFd, name, entry.uid, entry.gid);
        changeTimesAt(parentFd, name, entry.mtime);
        return;
      case "hardlink":
        this.#makeLink(entry, parentFd, name);
        return;
      case "char":
      case "block":
      case "fifo": {
        const { kind, devMajor: major, devMinor: minor } = entry;
        makeNodeAt(parentFd, name, { kind, mode: 0o600, major, minor });
        changeOwnerAt(parentFd, name, entry.uid, entry.gid);
        changeModeAt(parentFd, name, entry.mode);
        changeTimesAt(parentFd, name, entry.mtime);
        return;
      }
      case "directory":
        throw new Error("a directory is made elsewhere");
      default:
        assertNever(entry.kind);
    }
  }

  #makeFile(entry: TarEntry, parentFd: number, name: string): void {
    const fd = createFileAt(parentFd, name);
    try {
      if (entry.size > LARGE) this.#writeLarge(entry, fd);
      else if (entry.size > 0) {
        const at = this.#archive.need(entry.dataOffset, entry.size);
        for (let done = 0; done < entry.size; ) {
          done += writeSync(fd, this.#archive.buffer, at + done, entry.size - done);
        }
      }
      // In this order: chown clears setuid bits and capabilities, and so does a write (chown(2)).
      fchownSync(fd, entry.uid, entry.gid);
      fchmodSync(fd, entry.mode);
      if (entry.xattrs.size > 0) restoreXattrs(fd, entry, 0);
      changeTimes(fd, entry.mtime);
    } finally {
      closeSync(fd);
    }
  }

  #writeLarge(entry: TarEntry, fd: number): void {
    const hash = new Bun.CryptoHasher("sha256");
    this.#archive.writeTo(fd, entry.dataOffset, entry.size, (part) => hash.update(part));
    const { ino } = fstatSync(fd);
    // The number may have been another file's, which is gone.
    if (this.largeFiles.size < MAX_LARGE) this.largeFiles.set(ino, hash.digest());
    else this.largeFiles.delete(ino);
  }

  #makeDirectory(entry: TarEntry): void {
    const path = entry.name;
    if (path !== ".") {
      const [parent, name] = split(path);
      const parentFd = this.#parent(parent);
      // Open for the owner until `finish`, whatever the entry says: its content comes later.
      if (!makeDirectoryAt(parentFd, name, 0o700) && !isDirectory(parentFd, name)) {
        const isHidden = this.#whiteouts.delete(path);
        this.#remove(path);
        makeDirectoryAt(this.#parent(parent), name, 0o700);
        if (isHidden) this.#markOpaque(path);
      }
    }
    this.#directories.delete(path);
    this.#directories.set(path, entry);
  }

  /** Makes something at a path, in place of what an earlier entry put there. */
  #replace(path: string, make: (parentFd: number, name: string) => void): void {
    const [parent, name] = split(path);
    const parentFd = this.#parent(parent);
    try {
      make(parentFd, name);
      return;
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
    this.#remove(path);
    make(this.#parent(parent), name);
  }

  /** What an earlier entry made; descriptors and facts of what was below it are of no use any more. */
  #remove(path: string): void {
    const [parent, name] = split(path);
    if (isDirectory(this.#parent(parent), name)) {
      this.#forgetOpen();
      for (const marked of this.#opaque.keys()) {
        if (marked === path || marked.startsWith(`${path}/`)) this.#opaque.delete(marked);
      }
      for (const known of this.#directories.keys()) {
        if (known === path || known.startsWith(`${path}/`)) this.#directories.delete(known);
      }
    }
    this.#whiteouts.delete(path);
    removeTree(`/proc/self/fd/${this.#parent(parent)}/${name}`);
  }

  #makeLink(entry: TarEntry, parentFd: number, name: string): void {
    const target = entry.linkName;
    if (target === entry.name || this.#isHidden(target)) throw missingTarget(entry);
    const [fromParent, fromName] = split(target);
    const from = this.#openHere(fromParent, O_PATH | O_DIRECTORY);
    if (from !== undefined) {
      try {
        makeLinkAt(from, fromName, parentFd, name);
        return;
      } catch (error) {
        if (!isErrno(error, "ENOENT")) throw error;
      } finally {
        closeSync(from);
      }
    }
    if (this.#lower === "unknown") throw new NeedsLowerLayers();
    if (this.#lower === "none") throw missingTarget(entry);
    this.#copyUp(this.#lower.fd, entry);
    const fd = this.#openHere(fromParent, O_PATH | O_DIRECTORY);
    if (fd === undefined) throw missingTarget(entry);
    try {
      makeLinkAt(fd, fromName, parentFd, name);
    } finally {
      closeSync(fd);
    }
  }

  /** Whether this layer removed it from the lower ones. */
  #isHidden(path: string): boolean {
    for (let at = path; at !== "."; at = split(at)[0]) if (this.#whiteouts.has(at)) return true;
    return false;
  }

  /** The target of a hard link that is in a lower layer comes into this one, so that both names are one file. */
  #copyUp(lowerFd: number, entry: TarEntry): void {
    const from = openIn(lowerFd, entry.linkName, O_PATH | O_NOFOLLOW);
    if (from === undefined) throw missingTarget(entry);
    try {
      const stats = fstatSync(from);
      const [parent, name] = split(entry.linkName);
      const parentFd = this.#parent(parent);
      const mtime = timeOf(stats.mtimeMs);
      if (stats.isSymbolicLink()) {
        makeSymlinkAt(readlinkSync(`/proc/self/fd/${from}`), parentFd, name);
        changeOwnerAt(parentFd, name, stats.uid, stats.gid);
        changeTimesAt(parentFd, name, mtime);
        return;
      }
      if (!stats.isFile()) throw missingTarget(entry);
      const source = openBelow(lowerFd, entry.linkName, O_RDONLY | O_NOFOLLOW, {
        resolve: "in-root",
      });
      try {
        const fd = createFileAt(parentFd, name);
        try {
          copyContent({ fd: source, offset: 0 }, fd, stats.size);
          // The number may have been another file's.
          this.largeFiles.delete(fstatSync(fd).ino);
          fchownSync(fd, stats.uid, stats.gid);
          fchmodSync(fd, stats.mode & 0o7777);
          restoreXattrs(fd, { xattrs: readXattrs(source) }, 0);
          changeTimes(fd, mtime);
        } finally {
          closeSync(fd);
        }
      } finally {
        closeSync(source);
      }
    } finally {
      closeSync(from);
    }
  }

  /** Hides a name of the lower layers; what this layer itself has of that name stays. */
  #whiteOut(parent: string, name: string): void {
    if (name === "" || name === "." || name === "..") {
      throw new ArchiveError("ARCHIVE_UNSAFE", "a whiteout that names no file");
    }
    const path = parent === "." ? name : `${parent}/${name}`;
    const parentFd = this.#parent(parent);
    try {
      makeNodeAt(parentFd, name, { kind: "char", mode: 0, major: 0, minor: 0 });
      this.#whiteouts.add(path);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      if (isDirectory(parentFd, name)) this.#markOpaque(path);
    }
  }

  #makeOpaque(path: string): void {
    this.#parent(path);
    this.#markOpaque(path);
  }

  #markOpaque(path: string): void {
    const inode = this.#inode(path);
    if (inode === undefined) throw new Error("a directory vanished while it was filled");
    this.#opaque.set(path, inode);
  }

  #inode(path: string): number | undefined {
    const fd = this.#openHere(path, O_PATH | O_DIRECTORY);
    if (fd === undefined) return undefined;
    try {
      return fstatSync(fd).ino;
    } finally {
      closeSync(fd);
    }
  }

  /** An O_PATH descriptor of a directory of the layer, made with its parents when it is not there. */
  #parent(path: string): number {
    const cached = this.#cached(path);
    if (cached !== undefined) return cached;
    const missing: string[] = [];
    let fd = this.#keepOpen(path);
    for (let at = path; fd === undefined; ) {
      missing.push(at);
      at = split(at)[0];
      fd = this.#cached(at) ?? this.#keepOpen(at);
    }
    for (const made of missing.reverse()) {
      fd = this.#makeMissing(made, fd);
    }
    return fd;
  }

  #makeMissing(path: string, parentFd: number): number {
    const name = split(path)[1];
    if (!makeDirectoryAt(parentFd, name, 0o700)) {
      if (!this.#whiteouts.delete(path)) {
        throw new ArchiveError("ARCHIVE_UNSAFE", `${quote(path)} is not a directory of this layer`);
      }
      removeTree(`/proc/self/fd/${parentFd}/${name}`);
      makeDirectoryAt(parentFd, name, 0o700);
      this.#markOpaque(path);
    }
    this.#directories.set(path, undefined);
    const fd = this.#keepOpen(path);
    if (fd === undefined) throw new Error("directory vanished while it was filled");
    return fd;
  }

  /** What a directory that the layer has files in but no entry of looks like in the layers below. */
  #factsOfLower(path: string): DirectoryFacts {
    const usual = { name: path, mode: 0o755, uid: 0, gid: 0 };
    if (this.#lower === "none") return usual;
    if (this.#lower === "unknown") throw new NeedsLowerLayers();
    const fd = openIn(this.#lower.fd, path, O_PATH | O_NOFOLLOW);
    if (fd === undefined) return usual;
    try {
      const stats = fstatSync(fd);
      if (!stats.isDirectory()) return usual;
      const { uid, gid, mode, mtimeMs } = stats;
      return { name: path, mode: mode & 0o7777, uid, gid, mtime: timeOf(mtimeMs) };
    } finally {
      closeSync(fd);
    }
  }

  #cached(path: string): number | undefined {
    const fd = this.#open.get(path);
    if (fd === undefined) return undefined;
    this.#open.delete(path);
    this.#open.set(path, fd);
    return fd;
  }

  #keepOpen(path: string): number | undefined {
    const fd = this.#openHere(path, O_PATH | O_DIRECTORY);
    if (fd === undefined) return undefined;
    if (this.#open.size >= OPEN_DIRECTORIES) {
      for (const [oldest, oldestFd] of this.#open) {
        this.#open.delete(oldest);
        closeSync(oldestFd);
        break;
      }
    }
    this.#open.set(path, fd);
    return fd;
  }

  #openHere(path: string, flags: number): number | undefined {
    return openIn(this.#rootFd, path, flags);
  }

  #forgetOpen(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }
}

/** Below a root, links as after a chroot; undefined when there is nothing, or not what was asked for. */
function openIn(rootFd: number, path: string, flags: number): number | undefined {
  try {
    return openBelow(rootFd, path, flags, { resolve: "in-root" });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}

/** Of the name itself, not of what it links to. */
function isDirectory(parentFd: number, name: string): boolean {
  const fd = openIn(parentFd, name, O_PATH | O_NOFOLLOW);
  if (fd === undefined) return false;
  try {
    return fstatSync(fd).isDirectory();
  } finally {
    closeSync(fd);
  }
}

function missingTarget(entry: TarEntry): ArchiveError {
  return new ArchiveError(
    "ARCHIVE_UNSAFE",
    `target ${quote(entry.linkName)} of hard link ${quote(entry.name)} is not in this layer before it, nor in one below`,
  );
}

function timeOf(milliseconds: number): TarTime {
  const seconds = Math.floor(milliseconds / 1000);
  return { seconds, nanoseconds: Math.floor((milliseconds - seconds * 1000) * 1e6) };
}
