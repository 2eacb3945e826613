// SPDX-License-Identifier: Apache-2.0
// gzip and zstd by the decoders built into the runtime. Those end quietly at data that they do not know
// behind a stream (gzip) and at a cut frame (zstd), so what they consumed is checked here.
import { fstatSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  constants,
  createGunzip,
  createZstdDecompress,
  type ZlibOptions,
  type ZstdOptions,
} from "node:zlib";
import { badStream, type ChunkSink, fileChunks } from "./stream.ts";
import { checkZstdFrames, MAX_WINDOW_LOG } from "./zstd-frames.ts";

const OUTPUT = 256 * 1024;
/** The decoder, on a thread of its own, goes on while the sink is busy. */
const AHEAD = 1 << 20;

export async function inflate(fd: number, kind: "gzip" | "zstd", sink: ChunkSink): Promise<void> {
  if (kind === "zstd") checkZstdFrames(fd);
  const size = fstatSync(fd).size;
  const engine =
    kind === "gzip"
      ? createGunzip({ chunkSize: OUTPUT, readableHighWaterMark: AHEAD } as ZlibOptions)
      : createZstdDecompress({
          chunkSize: OUTPUT,
          readableHighWaterMark: AHEAD,
          params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG },
        } as ZstdOptions);
  let failure: Error | undefined;
  engine.once("error", (error) => {
    failure ??= error;
  });
  let sinkFailure: unknown;
  try {
    await pipeline(
      Readable.from(fileChunks(fd, 0, size), { objectMode: true, highWaterMark: 1 }),
      engine,
      async (chunks: AsyncIterable<Uint8Array>) => {
        for await (const chunk of chunks) {
          try {
            await sink(chunk);
          } catch (error) {
            sinkFailure = error;
            throw error;
          }
        }
      },
    );
  } catch (error) {
    if (sinkFailure !== undefined) throw sinkFailure;
    if (failure === undefined || error !== failure) throw error;
    const isCut = "code" in failure && failure.code === "Z_BUF_ERROR";
    throw badStream(
      kind,
      isCut ? "ARCHIVE_TRUNCATED" : "ARCHIVE_CORRUPT",
      isCut ? "unexpected end of file" : failure.message,
      failure,
    );
  }
  if (engine.bytesWritten !== size) {
    throw badStream(kind, "ARCHIVE_CORRUPT", "trailing garbage");
  }
}
