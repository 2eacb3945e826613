// SPDX-License-Identifier: Apache-2.0
// What the decoders share: chunks in, chunks out, and the sentence for damaged data.
import { readSync } from "node:fs";
import { ArchiveError, type ArchiveErrorCode } from "./errors.ts";

export type Compression = "gzip" | "bzip2" | "xz" | "zstd";

/** Takes a chunk; its memory is used again once the call, or the promise of it, is done. */
export type ChunkSink = (chunk: Uint8Array) => void | Promise<void>;

const CHUNK = 256 * 1024;

/** The bytes from `start` to `end` of a file. Every chunk has memory of its own. */
export function* fileChunks(
  fd: number,
  start: number,
  end: number,
): Generator<Buffer, void, undefined> {
  for (let at = start; at < end; ) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK, end - at));
    const n = readSync(fd, buffer, 0, buffer.length, at);
    if (n === 0)
      throw new ArchiveError("ARCHIVE_TRUNCATED", "file became shorter while it was read");
    yield buffer.subarray(0, n);
    at += n;
  }
}

export function badStream(
  kind: Compression,
  code: ArchiveErrorCode,
  why: string,
  cause?: unknown,
): ArchiveError {
  return new ArchiveError(code, `cannot decompress ${kind} data: ${why}`, { cause });
}
