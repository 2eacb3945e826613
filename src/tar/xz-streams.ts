// SPDX-License-Identifier: Apache-2.0
// xz files (xz-file-format.txt of the XZ Utils): one or several streams. The decoder stops at the end of
// the first and does not say where that is, so the streams are found from the end of the file by their
// footers and indexes, and decoded one by one. Padding between streams is refused.
import { fstatSync } from "node:fs";
import { XzReadableStream } from "xz-decompress";
import { FileWindow } from "./read.ts";
import { badStream, type ChunkSink, fileChunks } from "./stream.ts";

const HEADER = 12;
const FOOTER = 12;
/** An index has some 8 bytes per block; xz makes blocks of 24 MiB or more, or one for all. */
const MAX_INDEX = 1 << 20;
/** Parallel compressors make one stream per some MiB of content. */
const MAX_STREAMS = 10_000;

/**
 * Each chunk is a fresh copy, and a decoder with a dictionary of 64 MiB makes the heap look so big that
 * the collector lets 300 MiB of them pile up (measured). A collection takes some 2 ms.
 */
const COLLECT_EVERY = 16 << 20;

export async function unxz(fd: number, sink: ChunkSink): Promise<void> {
  let garbage = 0;
  for (const { start, end } of findStreams(fd)) {
    const chunks = fileChunks(fd, start, end);
    const source = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          const next = chunks.next();
          if (next.done === true) controller.close();
          else controller.enqueue(next.value);
        },
      },
      { highWaterMark: 0 },
    );
    const reader = new XzReadableStream(source).getReader();
    try {
      for (;;) {
        const { done, value } = await readChunk(reader);
        if (done || value === undefined) break;
        await sink(value);
        garbage += value.length;
        if (garbage >= COLLECT_EVERY) {
          Bun.gc(true);
          garbage = 0;
        }
      }
    } catch (error) {
      await reader.cancel().catch(() => undefined);
      throw error;
    }
  }
}

/** The part of ReadableStreamDefaultReader that is used; the runtime's and node's types differ. */
interface ChunkReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
}

async function readChunk(
  reader: ChunkReader,
): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }> {
  try {
    return await reader.read();
  } catch (error) {
    // The library gives only the number of xz-embedded's enum xz_ret.
    const code = error instanceof Error ? /error code (\d)$/.exec(error.message)?.[1] : undefined;
    switch (code) {
      case "2":
        throw badStream("xz", "ARCHIVE_UNSUPPORTED", "its integrity check is not supported", error);
      case "3":
      case "4":
        throw badStream("xz", "ARCHIVE_LIMIT", "its dictionary is bigger than 64 MiB", error);
      case "6":
        throw badStream("xz", "ARCHIVE_UNSUPPORTED", "it uses an unsupported filter", error);
      case "8":
        throw badStream("xz", "ARCHIVE_TRUNCATED", "unexpected end of data", error);
      case undefined:
        throw error;
      default:
        throw badStream("xz", "ARCHIVE_CORRUPT", "data is corrupt", error);
    }
  }
}

interface StreamRange {
  readonly start: number;
  readonly end: number;
}

function findStreams(fd: number): StreamRange[] {
  const file = new FileWindow(fd);
  const streams: StreamRange[] = [];
  let end = fstatSync(fd).size;
  while (end > 0) {
    const start = findStart(file, end);
    streams.push({ start, end });
    if (streams.length > MAX_STREAMS) {
      throw badStream("xz", "ARCHIVE_LIMIT", `it has more than ${MAX_STREAMS} streams`);
    }
    end = start;
  }
  return streams.reverse();
}

/** Where the stream that ends at `end` starts: behind its index are the sizes of all that is before. */
function findStart(file: FileWindow, end: number): number {
  if (end < HEADER + FOOTER) throw notAnEnd();
  const footer = file.copy(end - FOOTER, FOOTER);
  if (footer.toString("latin1", 10, 12) !== "YZ") throw notAnEnd();
  const indexSize = (footer.readUInt32LE(4) + 1) * 4;
  const indexAt = end - FOOTER - indexSize;
  if (indexAt < HEADER) throw notAnEnd();
  if (indexSize > MAX_INDEX) throw badStream("xz", "ARCHIVE_LIMIT", "its index is too big");
  const index = file.copy(indexAt, indexSize);
  let at = 1;
  const next = (): number => {
    let value = 0;
    for (let shift = 0; shift < 49; shift += 7) {
      const byte = index[at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw badStream("xz", "ARCHIVE_CORRUPT", "bad index");
  };
  if (index[0] !== 0) throw badStream("xz", "ARCHIVE_CORRUPT", "bad index");
  let start = indexAt - HEADER;
  for (let left = next(); left > 0; left--) {
    start -= Math.ceil(next() / 4) * 4;
    next();
    if (start < 0) throw notAnEnd();
  }
  if (!file.copy(start, 6).equals(MAGIC)) throw notAnEnd();
  return start;
}

const MAGIC = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]);

function notAnEnd(): Error {
  return badStream("xz", "ARCHIVE_TRUNCATED", "file is cut, or something follows the data");
}
