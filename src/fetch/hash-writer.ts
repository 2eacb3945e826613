// SPDX-License-Identifier: Apache-2.0
// Bytes on their way into a file, hashed in the same pass. The file is written by the runtime's worker threads
// while this thread hashes: the two cost about the same.
import { createHash, type Hash } from "node:crypto";
import { readSync, statfsSync, write } from "node:fs";
import { dirname } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import type { HashName } from "../trust/index.ts";
import { FetchError } from "./errors.ts";

/** How much may be on its way to the disk. */
const MAX_PENDING = 8 << 20;
const CHUNK = 1 << 20;

export type Hashes = ReadonlyMap<HashName, Hash>;

export function newHashes(names: Iterable<HashName>): Hashes {
  return new Map([...new Set(names)].map((name) => [name, createHash(name)]));
}

export class HashWriter {
  readonly #fd: number;
  readonly #path: string;
  readonly #hashes: Hashes;
  readonly #pending: { readonly done: Promise<void>; readonly size: number }[] = [];
  #pendingSize = 0;
  #written: Promise<void> = Promise.resolve();
  #position: number;

  /** Appends at `position`; what comes before must have been hashed (`hashExisting`). */
  constructor(file: { readonly fd: number; readonly path: string }, hashes: Hashes, position = 0) {
    this.#fd = file.fd;
    this.#path = file.path;
    this.#hashes = hashes;
    this.#position = position;
  }

  get hashes(): Hashes {
    return this.#hashes;
  }

  get position(): number {
    return this.#position;
  }

  /** Takes a chunk; it must not change before the promise of the call after the next is settled. */
  async write(chunk: Uint8Array): Promise<void> {
    // One after the other: the size of the file is how far a later download may continue it, so a process that
    // dies must not leave a hole.
    const position = this.#position;
    const done = this.#written.then(() => writeAll(this.#fd, chunk, position));
    this.#written = done;
    // Looked at later: until then its failure must not count as nobody's.
    done.catch(() => undefined);
    this.#pending.push({ done, size: chunk.length });
    this.#pendingSize += chunk.length;
    this.#position += chunk.length;
    for (const hash of this.#hashes.values()) hash.update(chunk);
    while (this.#pendingSize > MAX_PENDING) await this.#settleOne();
  }

  /** Waits until all is written. */
  async finish(): Promise<void> {
    while (this.#pending.length > 0) await this.#settleOne();
  }

  async #settleOne(): Promise<void> {
    const first = this.#pending.shift();
    if (first === undefined) return;
    this.#pendingSize -= first.size;
    try {
      await first.done;
    } catch (error) {
      throw explainWrite(error, this.#path);
    }
  }
}

async function writeAll(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += await new Promise<number>((resolve, reject) => {
      write(fd, bytes, at, bytes.length - at, position + at, (error, written) =>
        error === null || error === undefined ? resolve(written) : reject(error),
      );
    });
  }
}

/** Feeds the first `size` bytes of a file to the hashes. */
export function hashExisting(fd: number, size: number, hashes: Hashes): void {
  const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK, Math.max(size, 1)));
  for (let at = 0; at < size; ) {
    const n = readSync(fd, buffer, 0, Math.min(buffer.length, size - at), at);
    if (n === 0) throw new Error("a temporary file became shorter while it was read");
    for (const hash of hashes.values()) hash.update(buffer.subarray(0, n));
    at += n;
  }
}

/** Refuses early what cannot fit; `needed` is in bytes. */
export function checkSpace(directory: string, needed: number): void {
  const { bavail, bsize } = statfsSync(directory);
  if (needed > bavail * bsize) {
    throw diskFull(directory, new Error(`${needed} bytes needed, ${bavail * bsize} free`));
  }
}

/** A full disk in a sentence, any other error as it is; `path` is what was written. */
export function explainWrite(error: unknown, path: string): unknown {
  return isErrno(error, "ENOSPC", "EDQUOT", "EFBIG") ? diskFull(dirname(path), error) : error;
}

function diskFull(directory: string, cause: unknown): FetchError {
  return new FetchError("DISK_FULL", `not enough space in ${quote(directory)}`, {
    cause,
    remedy: "rkt image gc, or make room on the file system",
  });
}
