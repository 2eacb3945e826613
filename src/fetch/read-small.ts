// SPDX-License-Identifier: Apache-2.0
// Small files, signatures and keys, read whole: from the disk or from an answer, never more than a limit.
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { Progress } from "../lib/reporter.ts";
import type { HttpAnswer } from "./http.ts";

/** Throws the system's error, or a plain one with the reason. */
export function readSmallFile(path: string, limit: number): Uint8Array {
  // O_NONBLOCK: a FIFO must not hang us.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!fstatSync(fd).isFile()) throw new Error("not a regular file");
    const buffer = Buffer.alloc(limit + 1);
    let size = 0;
    for (;;) {
      const n = readSync(fd, buffer, size, buffer.length - size, size);
      if (n === 0) return buffer.subarray(0, size);
      size += n;
      if (size > limit) throw new Error(`it is larger than ${limit} bytes`);
    }
  } finally {
    closeSync(fd);
  }
}

export async function readSmallBody(
  answer: HttpAnswer,
  limit: number,
  progress?: Progress,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of answer.body(limit)) {
      chunks.push(chunk);
      size += chunk.length;
      progress?.update(size);
    }
  } finally {
    progress?.finish();
  }
  return Buffer.concat(chunks);
}
