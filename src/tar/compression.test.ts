// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { decompress, detectCompression } from "./compression.ts";
import { ArchiveError } from "./errors.ts";
import type { Compression } from "./stream.ts";
import { archive, rawEntry } from "./testing.ts";

let base = "";
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "rkt-compression-"));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

const UNLIMITED = { maxBytes: Number.MAX_SAFE_INTEGER };

async function unpack(
  kind: Compression | "tar",
  bytes: Uint8Array,
  limits = UNLIMITED,
): Promise<Buffer> {
  const path = join(base, "data");
  writeFileSync(path, bytes);
  const fd = openSync(path, "r");
  const chunks: Buffer[] = [];
  try {
    await decompress(fd, kind, (chunk) => void chunks.push(Buffer.from(chunk)), limits);
  } finally {
    closeSync(fd);
  }
  return Buffer.concat(chunks);
}

async function refusal(kind: Compression, bytes: Uint8Array, limits = UNLIMITED): Promise<string> {
  try {
    await unpack(kind, bytes, limits);
  } catch (error) {
    if (error instanceof ArchiveError) return error.code;
    throw error;
  }
  return "accepted";
}

function run(command: readonly string[], input: Uint8Array): Buffer {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { stdin: input });
  if (exitCode !== 0) throw new Error(stderr.toString());
  return stdout;
}

/** Noise, text and runs: 1.9 MB, so that bzip2 has several blocks of level 9. */
function sample(): Buffer {
  const noise = Buffer.alloc(300_000);
  let seed = 1;
  for (let i = 0; i < noise.length; i++) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    noise[i] = seed >>> 16;
  }
  const text = Buffer.from("the quick brown fox jumps over the lazy dog\n".repeat(20_000));
  return Buffer.concat([
    noise,
    text,
    Buffer.alloc(400_000),
    Buffer.alloc(300, "abbbbbcccc"),
    noise,
  ]);
}

const PROGRAMS: Readonly<Record<Compression, readonly string[][]>> = {
  gzip: [["gzip", "-c"]],
  bzip2: [
    ["bzip2", "-c"],
    ["bzip2", "-1", "-c"],
  ],
  xz: [
    ["xz", "-c"],
    ["xz", "-c", "--block-size=200000"],
    ["xz", "-c", "--check=crc32"],
  ],
  zstd: [
    ["zstd", "-q", "-c"],
    ["zstd", "-q", "-c", "--no-check", "-19"],
  ],
};

for (const kind of Object.keys(PROGRAMS) as Compression[]) {
  describe(kind, () => {
    const data = sample();
    const compress = (bytes: Uint8Array): Buffer => run(PROGRAMS[kind][0]!, bytes);
    const packed = compress(data);

    for (const command of PROGRAMS[kind]) {
      test(`output of ${command.join(" ")} is recognised and unpacked`, async () => {
        for (const bytes of [data, Buffer.alloc(0), Buffer.from("x")]) {
          const file = run(command, bytes);
          expect(detectCompression(file.subarray(0, 512))).toBe(kind);
          expect((await unpack(kind, file)).equals(bytes)).toBe(true);
        }
      });
    }

    test("several streams in a row are one content", async () => {
      const file = Buffer.concat([
        packed,
        compress(Buffer.from("more")),
        compress(Buffer.alloc(0)),
      ]);
      const expected = Buffer.concat([data, Buffer.from("more")]);
      expect((await unpack(kind, file)).equals(expected)).toBe(true);
    });

    test("anything behind the data is refused", async () => {
      const small = compress(Buffer.from("small"));
      for (const rest of ["x", "garbage garbage garbage", "\0", "\0".repeat(512)]) {
        const code = await refusal(kind, Buffer.concat([small, Buffer.from(rest)]));
        expect(["ARCHIVE_CORRUPT", "ARCHIVE_TRUNCATED"]).toContain(code);
      }
    });

    test("a file cut anywhere is refused", async () => {
      const small = compress(Buffer.from("small content ".repeat(30)));
      for (let length = 1; length < small.length; length++) {
        const code = await refusal(kind, small.subarray(0, length));
        expect(["ARCHIVE_CORRUPT", "ARCHIVE_TRUNCATED"]).toContain(code);
      }
      expect(await refusal(kind, packed.subarray(0, packed.length >> 1))).not.toBe("accepted");
    });

    test("a changed byte is refused or changes nothing", async () => {
      const content = Buffer.from("small content ".repeat(30));
      const small = compress(content);
      for (let at = 0; at < small.length; at++) {
        const copy = Buffer.from(small);
        copy[at] = copy[at]! ^ 0x55;
        try {
          expect((await unpack(kind, copy)).equals(content)).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(ArchiveError);
        }
      }
    });

    test("more than the limit is refused before it is given out", async () => {
      let given = 0;
      const path = join(base, "bomb");
      writeFileSync(path, compress(Buffer.alloc(50_000_000)));
      const fd = openSync(path, "r");
      const promise = decompress(
        fd,
        kind,
        (chunk) => {
          given += chunk.length;
        },
        { maxBytes: 1_000_000 },
      );
      await expect(promise).rejects.toThrow("content is bigger than 1000000 bytes");
      expect(given).toBeLessThanOrEqual(1_000_000);
      closeSync(fd);
    });

    test("an error of the sink comes out as it is, and the next file works", async () => {
      const path = join(base, "data");
      writeFileSync(path, packed);
      const fd = openSync(path, "r");
      const failure = new Error("disk is full");
      const promise = decompress(
        fd,
        kind,
        async () => {
          await Promise.resolve();
          throw failure;
        },
        UNLIMITED,
      );
      await expect(promise).rejects.toBe(failure);
      closeSync(fd);
      expect((await unpack(kind, packed)).equals(data)).toBe(true);
    });
  });
}

test("a slow sink gets the chunks in order and one at a time", async () => {
  const path = join(base, "data");
  const data = sample();
  writeFileSync(path, gzipSync(data));
  const fd = openSync(path, "r");
  const hash = createHash("sha256");
  let inside = 0;
  await decompress(
    fd,
    "gzip",
    async (chunk) => {
      expect(++inside).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
      hash.update(chunk);
      inside--;
    },
    UNLIMITED,
  );
  closeSync(fd);
  expect(hash.digest("hex")).toBe(createHash("sha256").update(data).digest("hex"));
});

test("windows that would need too much memory are refused", async () => {
  const data = Buffer.from("x".repeat(1000));
  const xz = run(["xz", "-c", "--lzma2=dict=192MiB"], data);
  expect(await refusal("xz", xz)).toBe("ARCHIVE_LIMIT");
  const zstd = run(["zstd", "-q", "-c", "--long=30"], data);
  expect(await refusal("zstd", zstd)).toBe("ARCHIVE_LIMIT");
});

test("xz filters, xz --check=sha256 and a zstd dictionary are refused as unsupported", async () => {
  const filtered = run(["xz", "-c", "--x86", "--lzma2"], Buffer.from("x"));
  expect(await refusal("xz", filtered)).toBe("ARCHIVE_UNSUPPORTED");
  const xz = run(["xz", "-c", "--check=sha256"], Buffer.from("x"));
  expect(await refusal("xz", xz)).toBe("ARCHIVE_UNSUPPORTED");
  const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x21, 0x05, 0x00, 0x01, 0x00, 0x00]);
  expect(await refusal("zstd", header)).toBe("ARCHIVE_UNSUPPORTED");
});

test("plain tar is passed through", async () => {
  const bytes = archive(rawEntry({ name: "a" }, "x".repeat(600_000)));
  expect((await unpack("tar", bytes)).equals(bytes)).toBe(true);
});

test("detectCompression tells the kinds apart by their first bytes", () => {
  const of = (text: string | Uint8Array): string => detectCompression(Buffer.from(text as string));
  expect(of(archive(rawEntry({ name: "a" })))).toBe("tar");
  expect(of(archive(rawEntry({ name: "a" })).subarray(0, 262))).toBe("unknown");
  expect(of(gzipSync("x"))).toBe("gzip");
  expect(of(zstdCompressSync("x"))).toBe("zstd");
  expect(of("-----BEGIN PGP SIGNATURE-----\n")).toBe("text");
  expect(of("größe\r\n\t")).toBe("text");
  expect(of("")).toBe("text");
  expect(of("  <!DOCTYPE html><html>")).toBe("unknown");
  expect(of(Buffer.from([0, 1, 2]))).toBe("unknown");
  expect(of("BZ")).toBe("text");
});
