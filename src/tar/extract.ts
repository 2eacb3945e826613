// SPDX-License-Identifier: Apache-2.0
// Writes archive entries into a directory. The archive is hostile and may have placed any symbolic link
// before: every entry is created by name in an open parent directory that was reached without following
// one (openat2), with O_EXCL, so nothing outside of the directory is ever opened, changed or replaced.
import { closeSync, fchmodSync, fchownSync, writeSync } from "node:fs";
import { assertNever } from "../lib/assert-never.ts";
import { isErrno } from "../lib/errors.ts";
import { capabilityForRoot } from "../lib/file-capability.ts";
import { IDS_PER_POD } from "../lib/id-range.ts";
import { quote } from "../lib/text.ts";
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
  openDirectoryBelow,
  setXattr,
} from "../sys/tree.ts";
import { MAX_ID, type TarEntry } from "./entry.ts";
import { ArchiveError } from "./errors.ts";
import { FileWindow } from "./read.ts";

export type OwnerPolicy =
  /** Owners, xattrs, setuid and setgid bits as in the archive, IDs moved up by the shifts. Needs root. */
  | { readonly kind: "restore"; readonly uidShift: number; readonly gidShift: number }
  /** Everything belongs to the caller, so setuid and setgid bits are dropped. */
  | { readonly kind: "none" };

export interface ExtractOptions {
  /** "rootfs/": only what is below `rootfs`, without it. "": everything. */
  readonly strip: "rootfs/" | "";
  /** Entries it refuses are left out. A selected hard link to one becomes a file of its own. */
  readonly select?: (entry: TarEntry) => boolean;
}

export interface ExtractTarget extends ExtractOptions {
  readonly rootFd: number;
  readonly owner: OwnerPolicy;
}

/** Extracts one archive into the directory `target.rootFd`. See `TreeExtractor`. */
export function extractTree(
  archiveFd: number,
  entries: Iterable<TarEntry>,
  target: ExtractTarget,
): void {
  using extractor = new TreeExtractor(target.rootFd, target.owner);
  extractor.extract(archiveFd, entries, target);
  extractor.finish();
}

/** Files up to this size are written from the window that their header was read with. */
const SMALL = 128 * 1024;
/** Open parent directories kept; archives list directory by directory. */
const OPEN_DIRECTORIES = 64;

/** Where the content of an archive's name went: shared by all hard links to it. */
interface Origin {
  /** Path in the tree of the first name that was made. */
  madeAt: string | undefined;
  /** The entry, as long as it was not selected. */
  entry: TarEntry | undefined;
}

const DIRECTORY: Origin = { madeAt: undefined, entry: undefined };

type DirectoryEntry = Pick<TarEntry, "name" | "mode" | "uid" | "gid"> &
  Partial<Pick<TarEntry, "mtime">>;

/**
 * One tree made from one or several archives. A path that exists and is not a directory is an error
 * (`select` decides between archives); a name that occurs twice in one archive always is (appc.md §2.1).
 * Directories get their owner, mode and time in `finish`, after all that is put into them.
 */
export class TreeExtractor implements Disposable {
  readonly #rootFd: number;
  readonly #owner: OwnerPolicy;
  /** Parents come before their children. */
  readonly #directories = new Map<string, DirectoryEntry>();
  readonly #open = new Map<string, number>();

  constructor(rootFd: number, owner: OwnerPolicy) {
    this.#rootFd = rootFd;
    this.#owner = owner;
  }

  extract(archiveFd: number, entries: Iterable<TarEntry>, options: ExtractOptions): void {
    const window = new FileWindow(archiveFd);
    const seen = new Map<string, Origin>();
    for (const entry of entries) {
      const path = stripName(entry, options.strip);
      if (path === undefined) continue;
      if (seen.has(entry.name) && path !== ".") {
        throw new ArchiveError(
          "ARCHIVE_UNSAFE",
          `duplicate file entry in archive: ${quote(entry.name)}`,
        );
      }
      const isSelected = options.select?.(entry) ?? true;
      const origin = originOf(entry, seen);
      seen.set(entry.name, origin);
      if (!isSelected) continue;
      try {
        this.#make(archiveFd, window, { entry, path, origin });
      } catch (error) {
        throw explain(error, entry);
      }
    }
  }

  /** Sets what the directories are to be, children first: a parent may forbid to enter it. */
  finish(): void {
    for (const [path, entry] of [...this.#directories].reverse()) {
      try {
        const fd = openDirectoryBelow(this.#rootFd, path, false);
        try {
          this.#setOwnerAndMode(fd, entry);
          if (entry.mtime !== undefined) changeTimes(fd, entry.mtime);
        } finally {
          closeSync(fd);
        }
      } catch (error) {
        throw explain(error, entry);
      }
    }
    this.#directories.clear();
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }

  #make(
    archiveFd: number,
    window: FileWindow,
    item: { readonly entry: TarEntry; readonly path: string; readonly origin: Origin },
  ): void {
    const { entry, path, origin } = item;
    if (entry.kind === "directory") {
      this.#makeDirectory(path, entry);
      return;
    }
    const [parent, name] = split(path);
    const parentFd = this.#parent(parent);
    if (origin.madeAt !== undefined) {
      const [fromParent, fromName] = split(origin.madeAt);
      makeLinkAt(this.#parent(fromParent), fromName, parentFd, name);
      return;
    }
    // A link whose target was not selected takes its place, content included.
    const source = origin.entry ?? entry;
    switch (source.kind) {
      case "file":
        this.#makeFile(archiveFd, window, { entry: source, parentFd, name });
        break;
      case "symlink":
        makeSymlinkAt(source.linkName, parentFd, name);
        this.#setOwnerAt(parentFd, name, source);
        changeTimesAt(parentFd, name, source.mtime);
        break;
      case "char":
      case "block":
      case "fifo": {
        const { kind, devMajor: major, devMinor: minor } = source;
        makeNodeAt(parentFd, name, { kind, mode: 0o600, major, minor });
        this.#setOwnerAt(parentFd, name, source);
        changeModeAt(parentFd, name, this.#mode(source));
        changeTimesAt(parentFd, name, source.mtime);
        break;
      }
      case "hardlink":
      case "directory":
        throw new Error("hard link without an origin");
      default:
        assertNever(source.kind);
    }
    origin.madeAt = path;
    origin.entry = undefined;
  }

  #makeFile(
    archiveFd: number,
    window: FileWindow,
    file: { readonly entry: TarEntry; readonly parentFd: number; readonly name: string },
  ): void {
    const { entry } = file;
    const fd = createFileAt(file.parentFd, file.name);
    try {
      if (entry.size > SMALL) {
        copyContent({ fd: archiveFd, offset: entry.dataOffset }, fd, entry.size);
      } else if (entry.size > 0) {
        const at = window.need(entry.dataOffset, entry.size);
        for (let done = 0; done < entry.size; ) {
          done += writeSync(fd, window.buffer, at + done, entry.size - done);
        }
      }
      // The order of the next three is the kernel's: chown clears setuid bits and capabilities, and so
      // does a write (chown(2), capabilities(7)).
      this.#setOwnerAndMode(fd, entry);
      if (this.#owner.kind === "restore" && entry.xattrs.size > 0) {
        restoreXattrs(fd, entry, this.#owner.uidShift);
      }
      changeTimes(fd, entry.mtime);
    } finally {
      closeSync(fd);
    }
  }

  #makeDirectory(path: string, entry: DirectoryEntry): void {
    if (path !== ".") {
      const [parent, name] = split(path);
      // Open for the owner until `finish`, whatever the entry says: its content comes later.
      if (!makeDirectoryAt(this.#parent(parent), name, 0o700)) this.#parent(path);
    }
    this.#directories.set(path, entry);
  }

  /** An O_PATH descriptor of a directory of the tree, made 0755 with its parents when it is not there. */
  #parent(path: string): number {
    const cached = this.#cached(path);
    if (cached !== undefined) return cached;
    const missing: string[] = [];
    let fd = this.#openDirectory(path);
    for (let at = path; fd === undefined; ) {
      missing.push(at);
      at = split(at)[0];
      fd = this.#cached(at) ?? this.#openDirectory(at);
    }
    for (const made of missing.reverse()) {
      makeDirectoryAt(fd, split(made)[1], 0o700);
      this.#directories.set(made, { name: made, mode: 0o755, uid: 0, gid: 0 });
      fd = this.#openDirectory(made);
      if (fd === undefined) throw new Error("directory vanished while it was filled");
    }
    return fd;
  }

  /** Moves it to the young end: two directories asked for one after the other are both open. */
  #cached(path: string): number | undefined {
    const fd = this.#open.get(path);
    if (fd === undefined) return undefined;
    this.#open.delete(path);
    this.#open.set(path, fd);
    return fd;
  }

  #openDirectory(path: string): number | undefined {
    let fd: number;
    try {
      fd = openDirectoryBelow(this.#rootFd, path, true);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      if (isErrno(error, "ELOOP", "ENOTDIR")) {
        throw new ArchiveError("ARCHIVE_UNSAFE", `${quote(path)} is not a directory`, {
          cause: error,
        });
      }
      throw error;
    }
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

  #setOwnerAndMode(fd: number, entry: DirectoryEntry): void {
    if (this.#owner.kind === "restore") {
      fchownSync(
        fd,
        shift(entry.uid, this.#owner.uidShift),
        shift(entry.gid, this.#owner.gidShift),
      );
    }
    fchmodSync(fd, this.#mode(entry));
  }

  #setOwnerAt(parentFd: number, name: string, entry: DirectoryEntry): void {
    if (this.#owner.kind === "none") return;
    const uid = shift(entry.uid, this.#owner.uidShift);
    changeOwnerAt(parentFd, name, uid, shift(entry.gid, this.#owner.gidShift));
  }

  #mode(entry: DirectoryEntry): number {
    return this.#owner.kind === "restore" ? entry.mode : entry.mode & 0o1777;
  }
}

/** The path in the tree, or undefined for what is outside of the prefix. */
function stripName(entry: TarEntry, strip: "rootfs/" | ""): string | undefined {
  if (strip === "") return entry.name;
  if (entry.name === "rootfs") {
    if (entry.kind === "directory") return ".";
    throw new ArchiveError("ARCHIVE_INVALID", "rootfs is not a directory");
  }
  return entry.name.startsWith(strip) ? entry.name.slice(strip.length) : undefined;
}

/** A link shares the origin of its target, which must have come before it in the same archive. */
function originOf(entry: TarEntry, seen: ReadonlyMap<string, Origin>): Origin {
  if (entry.kind === "directory") return DIRECTORY;
  if (entry.kind !== "hardlink") return { madeAt: undefined, entry };
  const origin = seen.get(entry.linkName);
  if (origin !== undefined && origin !== DIRECTORY) return origin;
  const why = origin === DIRECTORY ? "is a directory" : "is not in the archive before it";
  throw new ArchiveError(
    "ARCHIVE_UNSAFE",
    `target ${quote(entry.linkName)} of hard link ${quote(entry.name)} ${why}`,
  );
}

/** `root`: the uid that is root where the files are used. */
export function restoreXattrs(fd: number, entry: Pick<TarEntry, "xattrs">, root: number): void {
  for (const [name, value] of entry.xattrs) {
    // Others name state of the machine that made the archive: labels, signatures, overlayfs marks.
    if (name.startsWith("user.")) setXattr(fd, name, value);
    if (name === "security.capability") {
      setXattr(fd, name, root === 0 ? value : capabilityForRoot(value, root));
    }
  }
}

function shift(id: number, by: number): number {
  // The next range may be another pod's.
  if (by > 0 && id >= IDS_PER_POD) {
    throw new ArchiveError("ARCHIVE_UNSAFE", `owner ${id} is out of range ${IDS_PER_POD}`);
  }
  const shifted = id + by;
  if (shifted > MAX_ID) {
    throw new ArchiveError("ARCHIVE_UNSAFE", `owner ${id} does not fit when shifted by ${by}`);
  }
  return shifted;
}

export function split(path: string): readonly [parent: string, name: string] {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? [".", path] : [path.slice(0, slash), path.slice(slash + 1)];
}

/** One sentence that names the entry; bugs pass through unchanged. */
export function explain(error: unknown, entry: Pick<TarEntry, "name">): unknown {
  const sentence = `cannot extract ${quote(entry.name)}`;
  if (error instanceof ArchiveError) {
    return new ArchiveError(error.code, sentence, { cause: error, details: { name: entry.name } });
  }
  if (!isErrnoError(error)) return error;
  const code = error.code === "EEXIST" ? "ARCHIVE_UNSAFE" : "ARCHIVE_IO";
  return new ArchiveError(code, sentence, {
    cause: error,
    details: { name: entry.name, errno: error.code },
  });
}

function isErrnoError(error: unknown): error is Error & { code: string } {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    /^E[A-Z0-9]+$/.test(error.code)
  );
}
