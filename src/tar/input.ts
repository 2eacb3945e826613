// SPDX-License-Identifier: Apache-2.0
// Where a tar archive is read from: a file, in any order, or a stream of chunks, forwards only.
import { writeSync } from "node:fs";
import { ArchiveError } from "./errors.ts";

/** An archive's bytes by their offset. A reader never goes back behind an offset that it has asked for. */
export interface TarInput {
  /** Holds what `need` was asked for, until the next call of anything. */
  readonly buffer: Buffer;
  /** Makes up to a window (256 KiB) of bytes present and says where in `buffer` they start; ArchiveError when they are not there. */
  need(offset: number, length: number): number;
  /** A copy of bytes of any length. */
  copy(offset: number, length: number): Buffer;
  /** Whether the archive ends at exactly this offset. */
  endsAt(offset: number): boolean;
  /** False when it is known that the archive ends before this offset. */
  mayReach(offset: number): boolean;
}

export function truncated(position: number): ArchiveError {
  return new ArchiveError("ARCHIVE_TRUNCATED", "unexpected end of archive", {
    details: { position },
  });
}

/** Gives the next bytes of an archive, which stay as they are until the next call; undefined at its end. */
export type PullChunk = () => Buffer | undefined;

const NOTHING = Buffer.alloc(0);

/** An archive that comes in chunks. Nothing is copied but what lies across two of them. */
export class StreamInput implements TarInput {
  buffer: Buffer = NOTHING;
  readonly #pull: PullChunk;
  #chunk: Buffer = NOTHING;
  #start = 0;
  #isAtEnd = false;

  constructor(pull: PullChunk) {
    this.#pull = pull;
  }

  need(offset: number, length: number): number {
    this.#seek(offset);
    const at = offset - this.#start;
    if (at + length <= this.#chunk.length) {
      this.buffer = this.#chunk;
      return at;
    }
    this.buffer = this.copy(offset, length);
    return 0;
  }

  copy(offset: number, length: number): Buffer {
    const result = Buffer.allocUnsafe(length);
    let done = 0;
    this.#each(offset, length, (part) => {
      done += part.copy(result, done);
    });
    return result;
  }

  /** Writes content to a file at its position; `onPart` sees every piece. */
  writeTo(fd: number, offset: number, length: number, onPart: (part: Buffer) => void): void {
    this.#each(offset, length, (part) => {
      for (let at = 0; at < part.length; ) at += writeSync(fd, part, at);
      onPart(part);
    });
  }

  endsAt(offset: number): boolean {
    if (offset < this.#start + this.#chunk.length) return false;
    while (offset >= this.#start + this.#chunk.length && this.#next());
    return this.#isAtEnd && this.#start === offset;
  }

  mayReach(): boolean {
    return true;
  }

  /** Takes what is left: the archive may be followed by anything, and all of it counts for a digest. */
  drain(): void {
    while (this.#next());
  }

  #each(offset: number, length: number, onPart: (part: Buffer) => void): void {
    for (let done = 0; done < length; ) {
      this.#seek(offset + done);
      const at = offset + done - this.#start;
      const part = this.#chunk.subarray(at, at + length - done);
      onPart(part);
      done += part.length;
    }
  }

  /** Makes the chunk with the byte at `offset` the current one. */
  #seek(offset: number): void {
    if (offset < this.#start) throw new Error("a stream does not go back");
    while (offset >= this.#start + this.#chunk.length) if (!this.#next()) throw truncated(offset);
  }

  #next(): boolean {
    if (this.#isAtEnd) return false;
    this.#start += this.#chunk.length;
    this.buffer = NOTHING;
    const chunk = this.#pull();
    this.#chunk = chunk ?? NOTHING;
    this.#isAtEnd = chunk === undefined;
    return !this.#isAtEnd;
  }
}
