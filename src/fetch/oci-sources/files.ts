// SPDX-License-Identifier: Apache-2.0
// The files of a local OCI image by name: of a directory, or of a tar archive that holds one. Nobody's word is taken:
// who asks checks every digest.
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { join, posix } from "node:path";
import { isErrno } from "../../lib/errors.ts";
import { quote } from "../../lib/text.ts";
import { createTemporary, type TemporaryFile } from "../../store/index.ts";
import { detectCompression, SNIFF_LENGTH } from "../../tar/compression.ts";
import { readTar } from "../../tar/read.ts";
import { FetchError } from "../errors.ts";

const CHUNK = 1 << 20;

/** A part of an open file. */
export interface FileRange {
  readonly fd: number;
  readonly offset: number;
  readonly size: number;
}

export interface ImageFiles extends Disposable {
  /** `name` is relative and clean; undefined when there is no such file. */
  open(name: string): (FileRange & Disposable) | undefined;
}

/** All of a small file; undefined when it is not there. */
export function readWhole(files: ImageFiles, name: string, limit: number): Uint8Array | undefined {
  using file = files.open(name);
  if (file === undefined) return undefined;
  if (file.size > limit) {
    throw new FetchError("TOO_LARGE", `${quote(name)} in the image is larger than ${limit} bytes`);
  }
  const bytes = Buffer.alloc(file.size);
  for (let at = 0; at < bytes.length; ) {
    const n = readSync(file.fd, bytes, at, bytes.length - at, file.offset + at);
    if (n === 0) throw becameShorter(name);
    at += n;
  }
  return bytes;
}

/** The bytes of a file; a chunk is good until the next is asked for. */
export async function* streamOf(file: FileRange, name: string): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK, file.size));
  for (let at = 0; at < file.size; ) {
    const wanted = Math.min(buffer.length, file.size - at);
    const n = readSync(file.fd, buffer, 0, wanted, file.offset + at);
    if (n === 0) throw becameShorter(name);
    at += n;
    yield buffer.subarray(0, n);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function becameShorter(name: string): FetchError {
  return new FetchError("FILE_UNREADABLE", `${quote(name)} became shorter while it was read`);
}

export function directoryFiles(directory: string): ImageFiles {
  return {
    open(name) {
      let fd: number;
      try {
        fd = openRegular(join(directory, name));
      } catch (error) {
        if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
        throw new FetchError("FILE_UNREADABLE", `cannot read ${quote(join(directory, name))}`, {
          cause: error,
        });
      }
      const { size } = fstatSync(fd);
      return { fd, offset: 0, size, [Symbol.dispose]: () => closeSync(fd) };
    },
    [Symbol.dispose]() {},
  };
}

/** O_NONBLOCK: a FIFO must not hang us. */
function openRegular(path: string): number {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new FetchError("FILE_UNREADABLE", `${quote(path)} is not a regular file`);
}

/** Hops from one link in an archive to the next: `docker save` wrote one for a layer that occurs twice. */
const MAX_LINKS = 8;

/** The files of an archive; a compressed one is unpacked into `tmpDir`. */
export async function archiveFiles(
  path: string,
  tmpDir: string,
  limit: number,
): Promise<ImageFiles> {
  let source: number;
  try {
    source = openRegular(path);
  } catch (cause) {
    throw new FetchError("FILE_UNREADABLE", `cannot open the image file ${quote(path)}`, { cause });
  }
  let unpacked: TemporaryFile | undefined;
  try {
    const head = Buffer.alloc(SNIFF_LENGTH);
    const kind = detectCompression(head.subarray(0, readSync(source, head, 0, head.length, 0)));
    if (kind === "text" || kind === "unknown") {
      throw new FetchError("FILE_UNREADABLE", `${quote(path)} is not a tar archive`);
    }
    if (kind !== "tar") {
      const file = createTemporary(tmpDir);
      unpacked = file;
      const { openArchive, writeArchive } = await import("../../tar/confined.ts");
      using archive = openArchive({ fd: source, kind, algorithm: "sha256", maxBytes: limit });
      await writeArchive(archive, file.fd);
    }
    return tarFiles(source, unpacked);
  } catch (error) {
    unpacked?.[Symbol.dispose]();
    closeSync(source);
    throw error;
  }
}

function tarFiles(source: number, unpacked: TemporaryFile | undefined): ImageFiles {
  const fd = unpacked?.fd ?? source;
  const entries = new Map<string, { readonly offset: number; readonly size: number } | string>();
  for (const entry of readTar(fd)) {
    if (entry.kind === "file") {
      entries.set(entry.name, { offset: entry.dataOffset, size: entry.size });
    } else if (entry.kind === "symlink") {
      entries.set(entry.name, posix.join(posix.dirname(entry.name), entry.linkName));
    } else if (entry.kind === "hardlink") {
      entries.set(entry.name, entry.linkName);
    }
  }
  return {
    open(name) {
      let found = entries.get(name);
      for (let hops = 0; typeof found === "string" && hops < MAX_LINKS; hops++) {
        found = entries.get(found);
      }
      if (found === undefined || typeof found === "string") return undefined;
      return { fd, ...found, [Symbol.dispose]() {} };
    },
    [Symbol.dispose]() {
      unpacked?.[Symbol.dispose]();
      closeSync(source);
    },
  };
}
