// SPDX-License-Identifier: Apache-2.0
// App Container Images as archives and as layout directories: finding the manifest, validating (appc.md
// §2.3-2.4) and building (§2.5). What a manifest says is src/appc's business, so its parser is handed in.
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  statSync,
} from "node:fs";
import { decodeName, encodeName } from "../lib/byte-name.ts";
import { isErrno } from "../lib/errors.ts";
import { capabilityForRoot } from "../lib/file-capability.ts";
import { type IdRange, idInside } from "../lib/id-range.ts";
import { quote } from "../lib/text.ts";
import { readXattrs } from "../sys/tree.ts";
import { NO_XATTRS, type TarKind } from "./entry.ts";
import { ArchiveError } from "./errors.ts";
import { readTar } from "./read.ts";
import { type TarHeader, TarWriter } from "./write.ts";

/** Far above any real one; the manifest is read whole. */
const MAX_MANIFEST = 4 << 20;

/** `parseImageManifest` of src/appc: throws when the manifest is not valid. */
export type ManifestCheck = (json: Uint8Array) => unknown;

/** The bytes of the image manifest in an uncompressed ACI: the first entry called `manifest`. */
export function readManifest(fd: number): Uint8Array {
  try {
    for (const entry of readTar(fd)) {
      if (entry.name !== "manifest") continue;
      if (entry.kind !== "file") {
        throw new ArchiveError("ARCHIVE_INVALID", "manifest is not a regular file");
      }
      return readContent(fd, entry.dataOffset, entry.size);
    }
  } catch (error) {
    if (!(error instanceof ArchiveError) || error.code === "ARCHIVE_INVALID") throw error;
    throw new ArchiveError(error.code, "error extracting tarball", { cause: error });
  }
  throw new ArchiveError("ARCHIVE_INVALID", "missing manifest");
}

/**
 * Checks that the uncompressed archive is an ACI, and returns its manifest. The whole archive is read by
 * header; content is not.
 */
export function validateArchive(fd: number, checkManifest: ManifestCheck): Uint8Array {
  const seen = new Set<string>();
  const layout = new LayoutCheck();
  for (const entry of readTar(fd)) {
    const { name } = entry;
    if (name === ".") continue;
    if (name === "rootfs") {
      layout.addRootfs(entry.kind === "directory");
      continue;
    }
    // The reference lets a second manifest pass and validates it, but then uses the first.
    if (seen.has(name)) {
      throw new ArchiveError(
        "ARCHIVE_INVALID",
        `duplicate file entry in archive: ${printable(name)}`,
      );
    }
    seen.add(name);
    if (name !== "manifest") {
      layout.addPath(name);
    } else if (entry.kind === "file") {
      layout.manifest = readContent(fd, entry.dataOffset, entry.size);
    } else {
      throw new ArchiveError("ARCHIVE_INVALID", "manifest is not a regular file");
    }
  }
  return layout.finish(checkManifest);
}

/** Checks that a directory is an ACI layout, and returns its manifest. */
export function validateLayout(dir: string, checkManifest: ManifestCheck): Uint8Array {
  const status = statSync(dir, { throwIfNoEntry: false });
  if (status === undefined) {
    throw new ArchiveError("ARCHIVE_IO", `error accessing layout: ${quote(dir)} does not exist`);
  }
  if (!status.isDirectory()) {
    throw new ArchiveError("ARCHIVE_INVALID", `given path ${quote(dir)} is not a directory`);
  }
  const layout = new LayoutCheck();
  // Only the top level can have a path outside of rootfs.
  for (const name of sortedNames(encodeName(dir))) {
    const path = join(encodeName(dir), name);
    const text = decodeName(name);
    if (text === "manifest") layout.manifest = readSmallFile(path);
    else if (text === "rootfs") layout.addRootfs(lstatSync(path).isDirectory());
    else layout.addPath(text);
  }
  return layout.finish(checkManifest);
}

/** What is collected of a layout, judged at the end in the order of appc.md §2.4. */
class LayoutCheck {
  manifest: Uint8Array | undefined;
  #hasRootfs = false;
  #unknown: string | undefined;

  addRootfs(isDirectory: boolean): void {
    if (!isDirectory) throw new ArchiveError("ARCHIVE_INVALID", "rootfs is not a directory");
    this.#hasRootfs = true;
  }

  addPath(path: string): void {
    // The reference compares without the slash: "rootfs2" passes.
    if (!path.startsWith("rootfs")) this.#unknown ??= path;
  }

  finish(checkManifest: ManifestCheck): Uint8Array {
    if (this.manifest === undefined) {
      throw new ArchiveError("ARCHIVE_INVALID", "no image manifest found in layout");
    }
    if (!this.#hasRootfs) throw new ArchiveError("ARCHIVE_INVALID", "no rootfs found in layout");
    try {
      checkManifest(this.manifest);
    } catch (error) {
      throw new ArchiveError("ARCHIVE_INVALID", "image manifest validation failed", {
        cause: error,
      });
    }
    // §2.4 step 4, an acVersion of a lower major than ours, cannot be: the specification's major is 0.
    if (this.#unknown !== undefined) {
      throw new ArchiveError(
        "ARCHIVE_INVALID",
        `unrecognized file path in layout: ${quote(this.#unknown)}`,
      );
    }
    return this.manifest;
  }
}

export interface BuildOptions {
  /** Every entry belongs to root:root (`--owner-root`), else to who owns the file. */
  readonly ownerRoot: boolean;
  /** The files are those of a pod with these ids: the archive gets what they are inside. */
  readonly privateUsers?: IdRange | undefined;
  /** The manifest to write, serialised; by default the layout's `manifest` as it is. */
  readonly manifest?: string | Uint8Array;
  /** The manifest entry's time; by default now, as the reference. Give one for equal bytes. */
  readonly manifestTime?: Date;
}

/**
 * Writes the layout `dir` as an uncompressed ACI: names in byte order, times in whole seconds, hard links
 * by inode, `user.*` and capability xattrs of files, the manifest last; sockets are left out.
 */
export function buildAci(
  dir: string,
  sink: (chunk: Uint8Array) => void,
  options: BuildOptions,
): void {
  const root = encodeName(dir);
  const manifest =
    options.manifest === undefined
      ? readSmallFile(join(root, Buffer.from("manifest")))
      : Buffer.from(options.manifest);
  const writer = new TarWriter(sink);
  const links = new Map<string, string>();
  const { ownerRoot, privateUsers } = options;
  const state = { links, ownerRoot, privateUsers, without: "manifest" };
  addDirectory(writer, { path: root, name: "" }, state);
  const mtime = Math.floor((options.manifestTime ?? new Date()).getTime() / 1000);
  writer.entry(
    {
      name: "manifest",
      kind: "file",
      mode: 0o644,
      uname: "root",
      gname: "root",
      mtime: { seconds: mtime, nanoseconds: 0 },
    },
    manifest,
  );
  writer.finish();
}

/** What is below `dir` as a tar archive, with its owners; `dir` itself and sockets are left out. */
export function archiveTree(dir: string, sink: (chunk: Uint8Array) => void): void {
  const writer = new TarWriter(sink);
  const state = { links: new Map(), ownerRoot: false, privateUsers: undefined, without: undefined };
  addDirectory(writer, { path: encodeName(dir), name: "" }, state);
  writer.finish();
}

interface BuildState {
  /** Device and inode to the first name. */
  readonly links: Map<string, string>;
  readonly ownerRoot: boolean;
  /** A name that is left out. */
  readonly without: string | undefined;
  readonly privateUsers: IdRange | undefined;
}

/** The children of a directory, each directory's own after it. `name` is "" for the layout itself. */
function addDirectory(
  writer: TarWriter,
  at: { readonly path: Buffer; readonly name: string },
  state: BuildState,
): void {
  for (const child of sortedNames(at.path)) {
    const text = decodeName(child);
    const name = at.name === "" ? text : `${at.name}/${text}`;
    if (name === state.without) continue;
    const path = join(at.path, child);
    try {
      const status = lstatSync(path, { bigint: true });
      addEntry(writer, { path, name, status }, state);
      if (status.isDirectory()) addDirectory(writer, { path, name }, state);
    } catch (error) {
      if (error instanceof ArchiveError || !(error instanceof Error && "code" in error))
        throw error;
      throw new ArchiveError("ARCHIVE_IO", `cannot archive ${quote(name)}`, { cause: error });
    }
  }
}

function addEntry(
  writer: TarWriter,
  file: { readonly path: Buffer; readonly name: string; readonly status: BigIntStats },
  state: BuildState,
): void {
  const { path, name, status } = file;
  const kind = kindOf(status);
  if (kind === undefined) return;
  const common = {
    name,
    mode: Number(status.mode & 0o7777n),
    ...(state.ownerRoot
      ? { uid: 0, gid: 0, uname: "root", gname: "root" }
      : {
          uid: idInside(Number(status.uid), state.privateUsers),
          gid: idInside(Number(status.gid), state.privateUsers),
        }),
    mtime: { seconds: floorDivide(status.mtimeNs, 1_000_000_000n), nanoseconds: 0 },
  } satisfies Omit<TarHeader, "kind">;
  if (status.nlink > 1n && kind !== "directory") {
    const key = `${status.dev}:${status.ino}`;
    const first = state.links.get(key);
    if (first !== undefined) {
      writer.entry({ ...common, kind: "hardlink", linkName: first });
      return;
    }
    state.links.set(key, name);
  }
  switch (kind) {
    case "file":
      addFile(writer, path, common, state.privateUsers);
      break;
    case "symlink":
      writer.entry({ ...common, kind, linkName: decodeName(readlinkSync(path, "buffer")) });
      break;
    case "char":
    case "block":
      writer.entry({ ...common, kind, ...splitDevice(status.rdev) });
      break;
    default:
      writer.entry({ ...common, kind });
  }
}

function addFile(
  writer: TarWriter,
  path: Buffer,
  header: Omit<TarHeader, "kind">,
  privateUsers: IdRange | undefined,
): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const status = fstatSync(fd);
    if (!status.isFile()) {
      throw new ArchiveError("ARCHIVE_IO", `${quote(header.name)} changed while it was archived`);
    }
    const xattrs = new Map<string, Uint8Array>();
    for (const [name, value] of readXattrs(fd)) {
      if (name.startsWith("user.")) xattrs.set(name, value);
      if (name === "security.capability") {
        xattrs.set(name, privateUsers === undefined ? value : capabilityForRoot(value, 0));
      }
    }
    writer.entry(
      { ...header, kind: "file", xattrs: xattrs.size === 0 ? NO_XATTRS : xattrs },
      { fd, offset: 0, length: status.size },
    );
  } finally {
    closeSync(fd);
  }
}

function kindOf(status: BigIntStats): TarKind | undefined {
  if (status.isFile()) return "file";
  if (status.isDirectory()) return "directory";
  if (status.isSymbolicLink()) return "symlink";
  if (status.isCharacterDevice()) return "char";
  if (status.isBlockDevice()) return "block";
  if (status.isFIFO()) return "fifo";
  return undefined;
}

/** The inverse of makeDev (sysmacros.h). */
function splitDevice(device: bigint): { readonly devMajor: number; readonly devMinor: number } {
  return {
    devMajor: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)),
    devMinor: Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n)),
  };
}

function floorDivide(value: bigint, by: bigint): number {
  const quotient = value / by;
  return Number(value % by < 0n ? quotient - 1n : quotient);
}

function sortedNames(path: Buffer): Buffer[] {
  return readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare);
}

function join(dir: Buffer, name: Buffer): Buffer {
  return Buffer.concat([dir, Buffer.from("/"), name]);
}

function readContent(fd: number, offset: number, size: number): Uint8Array {
  if (size > MAX_MANIFEST) {
    throw new ArchiveError("ARCHIVE_LIMIT", `manifest of ${size} bytes is too big`);
  }
  const result = Buffer.alloc(size);
  for (let done = 0; done < size; ) {
    const n = readSync(fd, result, done, size - done, offset + done);
    if (n === 0) throw new ArchiveError("ARCHIVE_TRUNCATED", "unexpected end of file in manifest");
    done += n;
  }
  return result;
}

function readSmallFile(path: Buffer): Uint8Array {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT")) {
      throw new ArchiveError("ARCHIVE_INVALID", "no image manifest found in layout");
    }
    throw new ArchiveError("ARCHIVE_IO", "cannot read manifest", { cause: error });
  }
  try {
    const status = fstatSync(fd);
    if (!status.isFile()) {
      throw new ArchiveError("ARCHIVE_INVALID", "manifest is not a regular file");
    }
    return readContent(fd, 0, status.size);
  } finally {
    closeSync(fd);
  }
}

/** As the reference prints it: without quotes, but never with control characters. */
function printable(name: string): string {
  return quote(name).slice(1, -1);
}
