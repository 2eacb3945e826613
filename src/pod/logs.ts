// SPDX-License-Identifier: Apache-2.0
// Reading what the apps of a pod printed. stage1 keeps one file per app, `logs/APP`, and the one before
// it, `logs/APP.1`; a line is `TIME STREAM TAG TEXT` as in the Kubernetes CRI log format: TIME is RFC
// 3339 with nine fraction digits in UTC, TAG is F for a whole line and P for a part of one.
import { closeSync, existsSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import type { PodRef } from "./directory.ts";
import { POD_FILES } from "./read.ts";

export interface LogRecord {
  readonly app: string;
  /** As written: comparing the strings compares the times. */
  readonly time: string;
  readonly stream: "stdout" | "stderr";
  /** A part of a line: no line end follows it. */
  readonly partial: boolean;
  readonly text: Buffer;
}

const CHUNK = 64 * 1024;
/** A line longer than this is not one that stage1 wrote. */
const MAX_LINE = 1024 * 1024;
const NEWLINE = 10;
const HEADER = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (stdout|stderr) ([FP]) /;

/** The log of one app, oldest record first; `next` may be called again after it gave undefined. */
export class AppLog implements Disposable {
  readonly app: string;
  readonly #path: string;
  #fd: number | undefined;
  #rotated: boolean;
  #pending: Buffer = Buffer.alloc(0);
  #peeked: LogRecord | undefined;

  constructor(pod: PodRef, app: string) {
    this.app = app;
    this.#path = join(pod.path, POD_FILES.logs, app);
    this.#rotated = existsSync(`${this.#path}.1`);
    this.#fd = this.#open();
  }

  /** The next record without taking it. */
  peek(): LogRecord | undefined {
    this.#peeked ??= this.#read();
    return this.#peeked;
  }

  next(): LogRecord | undefined {
    const record = this.peek();
    this.#peeked = undefined;
    return record;
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(): number | undefined {
    try {
      return openSync(this.#rotated ? `${this.#path}.1` : this.#path, "r");
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  #read(): LogRecord | undefined {
    for (;;) {
      const end = this.#pending.indexOf(NEWLINE);
      if (end >= 0) {
        const line = this.#pending.subarray(0, end);
        this.#pending = this.#pending.subarray(end + 1);
        const record = parseLine(this.app, line);
        if (record !== undefined) return record;
        continue;
      }
      if (!this.#fill()) return undefined;
    }
  }

  /** Reads more, going on to the next file at the end of one that was rotated away. */
  #fill(): boolean {
    this.#fd ??= this.#open();
    if (this.#fd === undefined) return false;
    const chunk = Buffer.allocUnsafe(CHUNK);
    const size = readSync(this.#fd, chunk, 0, CHUNK, null);
    if (size > 0) {
      // A file that is not a log (or was damaged) must not be collected in memory.
      const kept = this.#pending.length > MAX_LINE ? Buffer.alloc(0) : this.#pending;
      this.#pending = Buffer.concat([kept, chunk.subarray(0, size)]);
      return true;
    }
    if (!this.#rotated && this.#isCurrent(this.#fd)) return false;
    closeSync(this.#fd);
    this.#rotated = false;
    this.#fd = this.#open();
    return this.#fd !== undefined;
  }

  /** The open file is still the one that stage1 writes to. */
  #isCurrent(fd: number): boolean {
    const now = statSync(this.#path, { throwIfNoEntry: false });
    return now === undefined || now.ino === fstatSync(fd).ino;
  }
}

function parseLine(app: string, line: Buffer): LogRecord | undefined {
  const header = HEADER.exec(line.subarray(0, 48).toString("latin1"));
  if (header === null) return undefined;
  const [whole, time, stream, tag] = header;
  return {
    app,
    time: time ?? "",
    stream: stream === "stderr" ? "stderr" : "stdout",
    partial: tag === "P",
    text: line.subarray(whole.length),
  };
}

/** The next record of several logs by time, not before `since` (same form as LogRecord.time). */
export function nextRecord(logs: readonly AppLog[], since: string): LogRecord | undefined {
  for (;;) {
    let first: AppLog | undefined;
    for (const log of logs) {
      const time = log.peek()?.time;
      if (time !== undefined && time < (first?.peek()?.time ?? "~")) first = log;
    }
    const record = first?.next();
    if (record === undefined || record.time >= since) return record;
  }
}

/** A moment in the form of LogRecord.time. */
export function logTime(date: Date): string {
  return date.toISOString().replace("Z", "000000Z");
}
