// SPDX-License-Identifier: Apache-2.0
// The child's side of confined.ts: one job, named on the command line, on descriptors that the parent opened; the
// outcome is JSON on stderr. It trusts its parent and nothing that it reads.
import { readSync, writeSync } from "node:fs";
import { errorChain, RktError } from "../lib/errors.ts";
import { FIRST_DESCRIPTOR } from "../sys/confined-child.ts";
import { decompress } from "./compression.ts";
import { extractLayer, NeedsLowerLayers } from "./extract-layer.ts";
import { StreamInput } from "./input.ts";
import type { Compression } from "./stream.ts";

export interface ConfinedFailure {
  readonly kind: "archive" | "system" | "bug";
  readonly code: string;
  readonly message: string;
}

export type ConfinedOutcome =
  | {
      readonly opaque: readonly string[];
      /** LargeFiles: inodes and digests in hex. */
      readonly large: readonly (readonly [number, string])[];
    }
  | { readonly needsLowerLayers: true }
  /** From the outermost to the root cause. */
  | { readonly failed: readonly ConfinedFailure[] };

const STDOUT = 1;
const STDERR = 2;

/** Does the job that `words` say; the status to end with. Refuses outside of the confinement: nobody else calls it. */
export async function runConfinedJob(words: readonly string[]): Promise<number> {
  if (process.pid !== 1) {
    writeSync(STDERR, "rkt-confined: not a command: this program is a part of rkt\n");
    return 254;
  }
  let outcome: ConfinedOutcome;
  try {
    outcome = await runJob(words);
  } catch (error) {
    outcome = { failed: errorChain(error).map((each, depth) => failureOf(each, depth === 0)) };
  }
  const bytes = Buffer.from(JSON.stringify(outcome));
  for (let at = 0; at < bytes.length; ) at += writeSync(STDERR, bytes, at);
  return 0;
}

async function runJob([job, word, limit]: readonly string[]): Promise<ConfinedOutcome> {
  if (job === "decompress") {
    const sink = (chunk: Uint8Array): void => {
      for (let at = 0; at < chunk.length; ) at += writeSync(STDOUT, chunk, at);
    };
    await decompress(FIRST_DESCRIPTOR, word as Compression, sink, { maxBytes: Number(limit) });
    return { opaque: [], large: [] };
  }
  if (job !== "extract") throw new Error(`unknown job ${job}`);
  const [rootFd, archive, lowerFd] = [0, 1, 2].map((i) => FIRST_DESCRIPTOR + i) as [
    number,
    number,
    number,
  ];
  const lower = word === "none" || word === "unknown" ? word : { fd: lowerFd };
  try {
    const { opaque, large } = extractLayer(streamOf(archive), { rootFd, lower });
    return { opaque, large: [...large].map(([inode, digest]) => [inode, digest.toHex()]) };
  } catch (error) {
    if (error instanceof NeedsLowerLayers) return { needsLowerLayers: true };
    throw error;
  }
}

const CHUNK = 512 * 1024;

function streamOf(fd: number): StreamInput {
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  return new StreamInput(() => {
    let filled = 0;
    while (filled < CHUNK) {
      const n = readSync(fd, buffer, filled, CHUNK - filled, null);
      if (n === 0) break;
      filled += n;
    }
    return filled === 0 ? undefined : buffer.subarray(0, filled);
  });
}

function failureOf(error: Error, isOutermost: boolean): ConfinedFailure {
  const { message } = error;
  const code = "code" in error ? String(error.code) : "";
  if (error instanceof RktError) return { kind: "archive", code, message };
  const kind = /^E[A-Z0-9]+$/.test(code) ? "system" : "bug";
  return {
    kind,
    code,
    message: isOutermost && kind === "bug" ? (error.stack ?? message) : message,
  };
}
