// SPDX-License-Identifier: Apache-2.0
// Sha512 on the second processor, for a caller that does not give up its own thread: it starts the hash,
// goes on with its work and waits for the digest at the end.
import type { HashPart } from "./predict-tree.ts";

export interface HashThread extends Disposable {
  /** Waits for the digest, in hex; undefined when the thread failed or stands still. */
  digest(): string | undefined;
}

const RUNNING = 0;
const DONE = 1;
const STATE = 0;
const PROGRESS = 1;
const DIGEST_AT = 8;
const DIGEST_LENGTH = 64;
/** A thread that reads nothing for so long will not come back: the caller can hash by itself. */
const PATIENCE_MS = 10_000;

// JavaScript as text, because a worker's own file would have to be told to the bundler as another entry.
const WORKER = `
const { createHash } = require("node:crypto");
const { readSync } = require("node:fs");
self.onmessage = ({ data: { fd, parts, shared } }) => {
  const state = new Int32Array(shared, 0, 2);
  const finish = (code) => { Atomics.store(state, ${STATE}, code); Atomics.notify(state, ${STATE}); };
  try {
    const hash = createHash("sha512");
    const buffer = Buffer.allocUnsafe(1 << 20);
    let filled = 0;
    const flush = () => {
      if (filled > 0) hash.update(buffer.subarray(0, filled));
      filled = 0;
      Atomics.add(state, ${PROGRESS}, 1);
    };
    for (const part of parts) {
      if (typeof part === "string") {
        if (filled + part.length * 3 > buffer.length) flush();
        if (part.length * 3 > buffer.length) hash.update(part, "utf8");
        else filled += buffer.write(part, filled, "utf8");
        continue;
      }
      let { offset, length } = part;
      while (length > 0) {
        if (filled === buffer.length) flush();
        const n = readSync(fd, buffer, filled, Math.min(length, buffer.length - filled), offset);
        if (n === 0) throw new Error("unexpected end of file");
        filled += n;
        offset += n;
        length -= n;
      }
    }
    flush();
    new Uint8Array(shared, ${DIGEST_AT}).set(hash.digest());
    finish(${DONE});
  } catch {
    finish(2);
  }
};`;

/** Starts hashing `parts` of the file `fd`, which must stay open until the result is disposed. */
export function startHash(fd: number, parts: readonly HashPart[]): HashThread {
  const shared = new SharedArrayBuffer(DIGEST_AT + DIGEST_LENGTH);
  const state = new Int32Array(shared, 0, 2);
  const url = URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" }));
  const worker = new Worker(url);
  worker.unref();
  worker.postMessage({ fd, parts, shared });
  return {
    digest() {
      let seen = -1;
      while (Atomics.wait(state, STATE, RUNNING, PATIENCE_MS) === "timed-out") {
        const progress = Atomics.load(state, PROGRESS);
        if (progress === seen) return undefined;
        seen = progress;
      }
      if (Atomics.load(state, STATE) !== DONE) return undefined;
      return Buffer.from(new Uint8Array(shared, DIGEST_AT)).toString("hex");
    },
    [Symbol.dispose]() {
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}
