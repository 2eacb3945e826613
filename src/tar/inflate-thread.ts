// SPDX-License-Identifier: Apache-2.0
// Decompression and its digest on another thread, for a reader that goes through the output once and writes files
// meanwhile. Threads are kept for the next layer: one takes some milliseconds to start.
import { ArchiveError } from "./errors.ts";
import { type InflateJob, makeRing, RingReader } from "./inflate-ring.ts";

export interface InflateThread extends Disposable {
  /** Output in order; undefined at its end. Each piece is good until the next call. */
  next(): Buffer | undefined;
  /** Of all output, in hex; after `next` gave undefined. */
  digest(): string;
}

interface Idle {
  readonly worker: Worker;
  readonly shared: SharedArrayBuffer;
  readonly ring: RingReader;
}

const MAX_IDLE = 2;
const idle: Idle[] = [];

/** In the executable the worker's file is at a fixed place; nothing on the disk can stand for it. */
const WORKER = import.meta.url.includes("$bunfs")
  ? "/$bunfs/root/tar/inflate-worker.js"
  : new URL("./inflate-worker.ts", import.meta.url).href;

/** `job.fd` must stay open until the result is disposed. */
export function startInflate(job: Omit<InflateJob, "shared">): InflateThread {
  const thread = idle.pop() ?? start();
  const { worker, shared, ring } = thread;
  ring.reset();
  worker.postMessage({ ...job, shared });
  let isDone = false;
  return {
    next() {
      if (isDone) return undefined;
      const chunk = ring.next();
      if (chunk !== undefined) return chunk;
      isDone = true;
      const outcome = ring.outcome();
      if ("digest" in outcome) {
        // The digest is of what was decompressed: it says nothing of what got here.
        if (outcome.bytes !== ring.bytes) throw new Error("output was lost between two threads");
        return undefined;
      }
      if (outcome.code !== undefined) throw new ArchiveError(outcome.code, outcome.message);
      throw new Error(outcome.message);
    },
    digest() {
      const outcome = ring.outcome();
      if (!isDone || !("digest" in outcome)) throw new Error("the output was not read to its end");
      return outcome.digest;
    },
    [Symbol.dispose]() {
      try {
        if (!isDone) ring.abandon();
        isDone = true;
      } catch (error) {
        worker.terminate();
        throw error;
      }
      if (idle.length < MAX_IDLE) idle.push(thread);
      else worker.terminate();
    },
  };
}

function start(): Idle {
  const worker = new Worker(WORKER, { smol: true });
  worker.unref();
  const shared = makeRing();
  return { worker, shared, ring: new RingReader(shared) };
}
