// SPDX-License-Identifier: Apache-2.0
// The other thread of inflate-thread.ts: decompresses a file into a ring in shared memory and hashes what comes out.
import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { decompress } from "./compression.ts";
import { ArchiveError } from "./errors.ts";
import { type InflateJob, type InflateOutcome, RingWriter } from "./inflate-ring.ts";

addEventListener("message", (event: MessageEvent<InflateJob>) => void run(event.data));

async function run(job: InflateJob): Promise<void> {
  const ring = new RingWriter(job.shared);
  ring.finish(await inflate(job, ring));
}

async function inflate(job: InflateJob, ring: RingWriter): Promise<InflateOutcome> {
  try {
    const hash = createHash(job.algorithm);
    let bytes = 0;
    const sink = (chunk: Uint8Array): void => {
      bytes += chunk.length;
      hash.update(chunk);
      ring.put(chunk);
    };
    if (job.kind === "pipe") drain(job, sink);
    else await decompress(job.fd, job.kind, sink, { maxBytes: job.maxBytes });
    ring.flush();
    return { digest: hash.digest("hex"), bytes };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { code: error instanceof ArchiveError ? error.code : undefined, message };
  }
}

const CHUNK = 512 * 1024;

function drain({ fd, maxBytes }: InflateJob, sink: (chunk: Uint8Array) => void): void {
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  for (let total = 0; ; ) {
    const n = readSync(fd, buffer, 0, CHUNK, null);
    if (n === 0) return;
    total += n;
    if (total > maxBytes) throw new Error("more came out of a pipe than was asked for");
    sink(buffer.subarray(0, n));
  }
}
