// SPDX-License-Identifier: Apache-2.0
// A local image file, copied into cas/tmp and hashed on the way: the original may change under our hands
// between the check of its signature and its use.
import { closeSync, constants, fstatSync, openSync, read } from "node:fs";
import { quote } from "../lib/text.ts";
import { createTemporary, type TemporaryFile } from "../store/index.ts";
import type { HashName, RawImage } from "../trust/index.ts";
import { FetchError } from "./errors.ts";
import { checkSpace, HashWriter, newHashes } from "./hash-writer.ts";
import { hashesFor, rawFile } from "./raw-file.ts";

const CHUNK = 1 << 20;
/** Chunks that may be on their way to the disk, and the one being hashed, and the one being read. */
const BUFFERS = 10;

/** A copy that is removed when disposed, unless it was moved away. */
export interface LocalCopy extends Disposable {
  readonly raw: RawImage;
}

export async function copyLocalFile(
  path: string,
  options: {
    readonly tmpDir: string;
    readonly hashNames: readonly HashName[];
    readonly limit: number;
  },
): Promise<LocalCopy> {
  const source = openSource(path);
  try {
    const { size } = fstatSync(source);
    if (size > options.limit) {
      throw new FetchError(
        "TOO_LARGE",
        `cannot use ${quote(path)}: it is larger than ${options.limit} bytes`,
      );
    }
    checkSpace(options.tmpDir, size);
    const target = createTemporary(options.tmpDir);
    try {
      const raw = await copy(source, target, options);
      return { raw, [Symbol.dispose]: () => target[Symbol.dispose]() };
    } catch (error) {
      target[Symbol.dispose]();
      throw error;
    }
  } finally {
    closeSync(source);
  }
}

/** Whether the file is there at all: said before anybody asks for its signature. */
export function checkLocalFile(path: string): void {
  closeSync(openSource(path));
}

function openSource(path: string): number {
  try {
    // O_NONBLOCK: a FIFO must not hang us.
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (fstatSync(fd).isFile()) return fd;
    closeSync(fd);
  } catch (cause) {
    throw new FetchError("FILE_UNREADABLE", `cannot open the image file ${quote(path)}`, { cause });
  }
  throw new FetchError(
    "FILE_UNREADABLE",
    `cannot open the image file ${quote(path)}: not a regular file`,
  );
}

async function copy(
  source: number,
  target: TemporaryFile,
  options: { readonly hashNames: readonly HashName[]; readonly limit: number },
): Promise<RawImage> {
  const ring = Array.from({ length: BUFFERS }, () => Buffer.allocUnsafeSlow(CHUNK));
  const next = (turn: number, at: number) => readChunk(source, ring[turn % BUFFERS], at);
  let chunk = await next(0, 0);
  const hashes = newHashes(hashesFor(chunk, options.hashNames));
  const writer = new HashWriter(target, hashes);
  for (let turn = 1; chunk.length > 0; turn++) {
    if (writer.position + chunk.length > options.limit) {
      throw new FetchError("TOO_LARGE", `the image file is larger than ${options.limit} bytes`);
    }
    const following = next(turn, writer.position + chunk.length);
    await writer.write(chunk);
    chunk = await following;
  }
  await writer.finish();
  return rawFile(target, hashes);
}

function readChunk(fd: number, buffer: Buffer | undefined, position: number): Promise<Buffer> {
  if (buffer === undefined) throw new Error("no buffer");
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, buffer.length, position, (error, n) =>
      error === null || error === undefined ? resolve(buffer.subarray(0, n)) : reject(error),
    );
  });
}
