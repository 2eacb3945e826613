// SPDX-License-Identifier: Apache-2.0
// The real process behind `Host`. Output goes straight to the descriptors: nothing is buffered when the
// process ends or execve replaces it, and node's stream objects are never made.
import { readSync, realpathSync, writeSync } from "node:fs";
import { isErrno } from "../lib/errors.ts";
import type { Host } from "./context.ts";
import { OutputClosed } from "./output-closed.ts";
import { UsageError } from "./usage-error.ts";

export function processHost(args: readonly string[]): Host {
  return {
    args,
    env: process.env,
    cwd: currentDirectory(),
    euid: process.geteuid?.() ?? -1,
    isTTY,
    columns: () => process.stderr.columns ?? 80,
    now: () => new Date(),
    write: writeAll,
    readLine,
    realpath: (path) => realpathSync(path),
  };
}

/** node:tty brings node's streams along and costs 1.5 ms: loaded when somebody asks, not imported. */
function isTTY(fd: 0 | 1 | 2): boolean {
  return process.getBuiltinModule("node:tty").isatty(fd);
}

/** A removed working directory must not keep `rkt list` from working. */
function currentDirectory(): string {
  try {
    return process.cwd();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "/";
    throw error;
  }
}

function writeAll(fd: 1 | 2, text: string | Uint8Array): void {
  let rest = typeof text === "string" ? Buffer.from(text, "utf8") : text;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      // Somebody made our pipe non-blocking: wait for its reader.
      if (isErrno(error, "EAGAIN")) Bun.sleepSync(5);
      else if (isErrno(error, "EINTR")) continue;
      // What cannot be said on stderr cannot be said at all; the status still tells.
      else if (fd === 2) return;
      else if (isErrno(error, "EPIPE")) throw new OutputClosed();
      else {
        throw new UsageError("OUTPUT_FAILED", "cannot write to standard output", { cause: error });
      }
    }
  }
}

const MAX_LINE = 1024;

function readLine(): string | undefined {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  while (bytes.length < MAX_LINE) {
    if (readSync(0, one) === 0) return bytes.length === 0 ? undefined : text(bytes);
    const byte = one[0] ?? 0;
    if (byte === 0x0a) return text(bytes);
    bytes.push(byte);
  }
  return text(bytes);
}

function text(bytes: readonly number[]): string {
  return Buffer.from(bytes).toString("utf8");
}
