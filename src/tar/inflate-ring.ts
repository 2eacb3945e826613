// SPDX-License-Identifier: Apache-2.0
// A ring of slots in shared memory between the thread that decompresses and the one that reads. Both wait in the
// kernel; neither needs its event loop for it.
import type { FileKind } from "./compression.ts";
import type { ArchiveErrorCode } from "./errors.ts";

export interface InflateJob {
  readonly shared: SharedArrayBuffer;
  readonly fd: number;
  /** `pipe`: what another process decompresses. */
  readonly kind: Exclude<FileKind, "text" | "unknown"> | "pipe";
  readonly algorithm: "sha256" | "sha512";
  readonly maxBytes: number;
}

/** How a job ended: the digest and the length of all output, or what to tell. */
export type InflateOutcome =
  | { readonly digest: string; readonly bytes: number }
  | { readonly code: ArchiveErrorCode | undefined; readonly message: string };

const SLOT = 512 * 1024;
const SLOTS = 6;
const MESSAGE = 8192;

/** Counts what the writer did; the reader waits for it to change. */
const EVENTS = 0;
const WRITTEN = 1;
const TAKEN = 2;
/** Length of the outcome as JSON, once there is one. */
const OUTCOME = 3;
const ABANDONED = 4;
const LENGTHS = 5;
const HEAD = 4 * (LENGTHS + SLOTS);

export function makeRing(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEAD + MESSAGE + SLOTS * SLOT);
}

class Ring {
  protected readonly state: Int32Array;
  protected readonly message: Buffer;
  protected readonly slots: readonly Buffer[];

  constructor(shared: SharedArrayBuffer) {
    this.state = new Int32Array(shared, 0, HEAD / 4);
    this.message = Buffer.from(shared, HEAD, MESSAGE);
    this.slots = Array.from({ length: SLOTS }, (_, i) =>
      Buffer.from(shared, HEAD + MESSAGE + i * SLOT, SLOT),
    );
  }

  protected get(index: number): number {
    return Atomics.load(this.state, index);
  }
}

export class RingWriter extends Ring {
  #filled = 0;

  put(chunk: Uint8Array): void {
    for (let done = 0; done < chunk.length; ) {
      const slot = this.#slot();
      const part = chunk.subarray(done, done + SLOT - this.#filled);
      slot.set(part, this.#filled);
      this.#filled += part.length;
      done += part.length;
      if (this.#filled === SLOT) this.flush();
    }
  }

  flush(): void {
    if (this.#filled === 0) return;
    Atomics.store(this.state, LENGTHS + (this.get(WRITTEN) % SLOTS), this.#filled);
    this.#filled = 0;
    Atomics.add(this.state, WRITTEN, 1);
    this.#tell();
  }

  finish(outcome: InflateOutcome): void {
    const text = JSON.stringify(outcome);
    const length = this.message.write(text.length < MESSAGE / 3 ? text : '{"message":"failed"}');
    Atomics.store(this.state, OUTCOME, length);
    this.#tell();
  }

  /** The slot that is being filled; waits until the reader has left it. */
  #slot(): Buffer {
    for (;;) {
      if (this.get(ABANDONED) !== 0) throw new Error("nobody reads any more");
      const taken = this.get(TAKEN);
      const written = this.get(WRITTEN);
      const slot = this.slots[written % SLOTS];
      if (written - taken < SLOTS && slot !== undefined) return slot;
      Atomics.wait(this.state, TAKEN, taken);
    }
  }

  #tell(): void {
    Atomics.add(this.state, EVENTS, 1);
    Atomics.notify(this.state, EVENTS);
  }
}

/** A thread that does nothing for so long will not come back. */
const PATIENCE_MS = 60_000;

export class RingReader extends Ring {
  #hasSlot = false;
  #bytes = 0;

  /** Ready for another job; only when the writer is done with the one before. */
  reset(): void {
    this.state.fill(0);
    this.#hasSlot = false;
    this.#bytes = 0;
  }

  /** The next output, until the next call; undefined when there is an outcome. */
  next(): Buffer | undefined {
    this.#release();
    for (;;) {
      const events = this.get(EVENTS);
      const taken = this.get(TAKEN);
      // Before WRITTEN: what is written between the two is seen then, and no output is lost behind an outcome.
      const isEnded = this.get(OUTCOME) !== 0;
      if (this.get(WRITTEN) !== taken) {
        this.#hasSlot = true;
        const length = this.get(LENGTHS + (taken % SLOTS));
        this.#bytes += length;
        return this.slots[taken % SLOTS]?.subarray(0, length);
      }
      if (isEnded) return undefined;
      this.#wait(events);
    }
  }

  /** Waits for the end of the job, whose output nobody wants any more. */
  abandon(): void {
    Atomics.store(this.state, ABANDONED, 1);
    Atomics.add(this.state, TAKEN, SLOTS);
    Atomics.notify(this.state, TAKEN);
    for (;;) {
      const events = this.get(EVENTS);
      if (this.get(OUTCOME) !== 0) return;
      this.#wait(events);
    }
  }

  /** Of all output that `next` gave. */
  get bytes(): number {
    return this.#bytes;
  }

  outcome(): InflateOutcome {
    return JSON.parse(this.message.toString("utf8", 0, this.get(OUTCOME)));
  }

  #release(): void {
    if (!this.#hasSlot) return;
    this.#hasSlot = false;
    Atomics.add(this.state, TAKEN, 1);
    Atomics.notify(this.state, TAKEN);
  }

  #wait(events: number): void {
    if (Atomics.wait(this.state, EVENTS, events, PATIENCE_MS) !== "timed-out") return;
    throw new Error("the thread that decompresses stands still");
  }
}
