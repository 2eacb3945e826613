// SPDX-License-Identifier: Apache-2.0
// What a file is by its first bytes (appc.md §2.2), and its decompression with bounded memory. The decoders
// are imported when they are needed: a plain tar costs nothing.
import { fstatSync } from "node:fs";
import { ArchiveError } from "./errors.ts";
import { type ChunkSink, type Compression, fileChunks } from "./stream.ts";

export type FileKind = "tar" | Compression | "text" | "unknown";

/** How much of a file `detectCompression` wants to see. */
export const SNIFF_LENGTH = 512;

/** The kind of a file by its first `SNIFF_LENGTH` bytes (all of a shorter file). */
export function detectCompression(first: Uint8Array): FileKind {
  const head = Buffer.from(first.buffer, first.byteOffset, Math.min(first.length, SNIFF_LENGTH));
  const starts = (...magic: number[]): boolean => magic.every((byte, i) => head[i] === byte);
  if (starts(0x1f, 0x8b)) return "gzip";
  if (starts(0x42, 0x5a, 0x68)) return "bzip2";
  if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return "xz";
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return "zstd";
  if (head.length > 262 && head.toString("latin1", 257, 262) === "ustar") return "tar";
  return isPlainText(head) ? "text" : "unknown";
}

/** "text/plain; charset=utf-8" of the WHATWG MIME sniffing standard, without the marked-up kinds. */
function isPlainText(head: Buffer): boolean {
  if (/^(?:\s*<[!?a-z]|%PDF-|%!PS-Adobe-)/i.test(head.toString("latin1"))) return false;
  return head.every(
    (byte) => byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d && byte !== 0x0b) || byte === 0x1b,
  );
}

export interface DecompressLimits {
  /** Output beyond this many bytes is an error: a small file can unpack to any size. */
  readonly maxBytes: number;
}

/**
 * Gives the decompressed content of the file `fd` to `sink`, in order. The whole file must be one or more
 * complete streams of the format: a cut file or anything behind the last stream is an ArchiveError (the
 * sink may have had output by then). Memory is bounded by the format's window, at most 64 MiB.
 */
export async function decompress(
  fd: number,
  kind: Compression | "tar",
  sink: ChunkSink,
  limits: DecompressLimits,
): Promise<void> {
  let total = 0;
  const bounded = (chunk: Uint8Array): void | Promise<void> => {
    total += chunk.length;
    if (total > limits.maxBytes) {
      throw new ArchiveError("ARCHIVE_LIMIT", `content is bigger than ${limits.maxBytes} bytes`, {
        details: { maxBytes: limits.maxBytes },
      });
    }
    return sink(chunk);
  };
  switch (kind) {
    case "tar":
      for (const chunk of fileChunks(fd, 0, fstatSync(fd).size)) await bounded(chunk);
      return;
    case "gzip":
    case "zstd":
      return (await import("./zlib-streams.ts")).inflate(fd, kind, bounded);
    case "bzip2": {
      const { bunzip2 } = await import("./bunzip2.ts");
      for (const chunk of bunzip2(fd)) await bounded(chunk);
      return;
    }
    case "xz":
      return (await import("./xz-streams.ts")).unxz(fd, bounded);
  }
}
