// SPDX-License-Identifier: Apache-2.0
// The outer structure of a zstd file (RFC 8878 §3.1): that it is complete frames to its last byte, with
// windows that fit into our memory. The content is the decoder's business.

import { FileWindow } from "./read.ts";
import { badStream } from "./stream.ts";

/** 64 MiB, as much as xz gets; zstd's levels 1 to 19 use at most 8 MiB. */
export const MAX_WINDOW_LOG = 26;

export function checkZstdFrames(fd: number): void {
  const file = new FileWindow(fd);
  let at = 0;
  while (at < file.size) at = frameEnd(file, at);
}

function frameEnd(file: FileWindow, start: number): number {
  let at = start;
  /** The next `length` bytes as a little-endian number (below 2^53 where it matters). */
  const take = (length: number): number => {
    if (at + length > file.size) throw cut();
    const from = file.need(at, length);
    at += length;
    let value = 0;
    for (let i = length - 1; i >= 0; i--) value = value * 256 + (file.buffer[from + i] ?? 0);
    return value;
  };
  const magic = take(4);
  if (magic >= 0x184d2a50 && magic <= 0x184d2a5f) {
    const length = take(4);
    if (at + length > file.size) throw cut();
    return at + length;
  }
  if (magic !== 0xfd2fb528) {
    throw badStream(
      "zstd",
      "ARCHIVE_CORRUPT",
      start === 0 ? "not a zstd file" : "trailing garbage",
    );
  }
  const descriptor = take(1);
  const isSingle = (descriptor & 0x20) !== 0;
  let window = 0;
  if (!isSingle) {
    const byte = take(1);
    const base = 2 ** (10 + (byte >> 3));
    window = base + (base / 8) * (byte & 7);
  }
  const dictionary = take([0, 1, 2, 4][descriptor & 3] ?? 0);
  if (dictionary !== 0) throw badStream("zstd", "ARCHIVE_UNSUPPORTED", "it needs a dictionary");
  const contentSize = take([isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0);
  if (isSingle) window = contentSize;
  if (window > 2 ** MAX_WINDOW_LOG) {
    throw badStream("zstd", "ARCHIVE_LIMIT", "its window is bigger than 64 MiB");
  }
  for (let isLast = false; !isLast; ) {
    const block = take(3);
    isLast = (block & 1) === 1;
    // Type 1 is one byte, repeated.
    at += ((block >> 1) & 3) === 1 ? 1 : block >> 3;
    if (at > file.size) throw cut();
  }
  if ((descriptor & 4) !== 0) take(4);
  return at;
}

function cut(): Error {
  return badStream("zstd", "ARCHIVE_TRUNCATED", "unexpected end of file");
}
