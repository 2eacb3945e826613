// SPDX-License-Identifier: Apache-2.0
import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { tempDir } from "../../tests/support/temp.ts";
import { ArchiveError } from "./errors.ts";
import { type InflateThread, startInflate } from "./inflate-thread.ts";
import { StreamInput } from "./input.ts";
import { readTar } from "./read.ts";
import { archive, gnuLong, hostileArchives, paxEntry, rawEntry } from "./testing.ts";

/** The bytes in chunks of `size`, each gone when the next one is asked for. */
function chunksOf(bytes: Buffer, size: number): () => Buffer | undefined {
  let at = 0;
  const memory = Buffer.alloc(size);
  return () => {
    if (at >= bytes.length) return undefined;
    memory.fill(0xee);
    const n = bytes.copy(memory, 0, at, at + size);
    at += n;
    return memory.subarray(0, n);
  };
}

/** All that a reader finds, content included; or why it stops. */
function listing(bytes: Buffer, input: StreamInput | number, rooted: boolean): string[] {
  const found: string[] = [];
  try {
    for (const entry of readTar(input, { rooted })) {
      const content =
        typeof input === "number"
          ? bytes.subarray(entry.dataOffset, entry.dataOffset + entry.size)
          : input.copy(entry.dataOffset, entry.size);
      found.push(JSON.stringify({ ...entry, content: content.toString("hex") }));
    }
  } catch (error) {
    found.push(String(error));
  }
  return found;
}

const CONTENT = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251));
const HONEST = archive(
  rawEntry({ name: "./", type: "5" }),
  rawEntry({ name: "a" }, CONTENT),
  gnuLong("L", `long/${"n".repeat(300)}`),
  rawEntry({ name: "x" }, "of a long name"),
  paxEntry([["path", "other"]]),
  rawEntry({ name: "y" }, CONTENT.subarray(0, 512)),
  rawEntry({ name: "empty" }),
);
const PADDING = 1024 + 512;
const ARCHIVES: readonly (readonly [string, Buffer])[] = [
  ["whole", HONEST],
  ["without its end", HONEST.subarray(0, -1024)],
  ["with a lone zero block", HONEST.subarray(0, -512)],
  ["with something behind it", Buffer.concat([HONEST, CONTENT])],
  ["nothing", Buffer.alloc(0)],
  ["without the padding of its last file", archive(rawEntry({ name: "a" }, "b")).subarray(0, 513)],
  ["cut in a header", HONEST.subarray(0, HONEST.length - PADDING + 100)],
];

describe("a stream is read as a file is", () => {
  const t = tempDir("rkt-input");
  afterAll(() => t[Symbol.dispose]());
  for (const [name, bytes] of ARCHIVES) {
    for (const rooted of [true, false]) {
      // That content is missing is known of a file before the entry is given.
      if (name.includes("padding") && !rooted) continue;
      const path = t.write("archive.tar", "");
      writeFileSync(path, bytes);
      const fd = openSync(path, "r");
      const expected = listing(bytes, fd, rooted);
      closeSync(fd);
      test.each([1, 511, 512, 700, 4096, 1 << 20])(`${name}, rooted ${rooted}, by %d`, (size) => {
        const input = new StreamInput(chunksOf(bytes, size));
        expect(listing(bytes, input, rooted)).toEqual(expected);
        input.drain();
      });
    }
  }

  test("a cut file is an error, at the latest when its content is taken", () => {
    const input = new StreamInput(chunksOf(HONEST.subarray(0, 2000), 512));
    expect(listing(HONEST, input, true).at(-1)).toContain("unexpected end of archive");
  });

  test.each(hostileArchives("/tmp/outside").map(({ title, bytes }) => [title, bytes] as const))(
    "hostile: %s",
    (_title, bytes) => {
      const names = (input: StreamInput | number): string[] => {
        const found: string[] = [];
        try {
          for (const { name, kind } of readTar(input)) found.push(`${kind} ${name}`);
        } catch (error) {
          found.push(error instanceof ArchiveError ? error.code : String(error));
        }
        return found;
      };
      const path = t.write("hostile.tar", "");
      writeFileSync(path, bytes);
      const fd = openSync(path, "r");
      const expected = names(fd);
      closeSync(fd);
      const actual = names(new StreamInput(chunksOf(bytes, 700)));
      // That an entry's content is missing is known of a file before the entry is given.
      expect(actual.at(-1)).toBe(expected.at(-1) ?? "");
    },
  );
});

function inflating<T>(bytes: Buffer, use: (thread: InflateThread) => T, maxBytes = 1e9): T {
  using t = tempDir("rkt-inflate");
  const path = t.write("file", "");
  writeFileSync(path, bytes);
  const fd = openSync(path, "r");
  try {
    using thread = startInflate({ fd, kind: "gzip", algorithm: "sha256", maxBytes });
    return use(thread);
  } finally {
    closeSync(fd);
  }
}

describe("inflate thread", () => {
  const plain = Buffer.alloc(20 << 20, CONTENT);
  const packed = gzipSync(plain, { level: 1 });
  const readAll = (thread: InflateThread): string => {
    const hash = createHash("sha256");
    for (let chunk = thread.next(); chunk !== undefined; chunk = thread.next()) hash.update(chunk);
    const digest = hash.digest("hex");
    expect(thread.digest()).toBe(digest);
    return digest;
  };
  const expected = createHash("sha256").update(plain).digest("hex");

  test("gives all output and its digest, more than fits at once", () => {
    expect(inflating(packed, readAll)).toBe(expected);
  });

  test("is used again after a reader that went away, and after an error", () => {
    inflating(packed, (thread) => expect(thread.next()?.length).toBeGreaterThan(0));
    expect(() => inflating(packed.subarray(0, 1000), readAll)).toThrow("unexpected end of file");
    expect(inflating(packed, readAll)).toBe(expected);
  });

  test("keeps the bound on output, and has no digest before the end", () => {
    expect(() => inflating(packed, readAll, 1 << 20)).toThrow("content is bigger than 1048576");
    expect(() => inflating(packed, (thread) => thread.digest())).toThrow();
  });

  test("refuses what is behind the data", () => {
    const more = Buffer.concat([packed, Buffer.from("more")]);
    expect(() => inflating(more, readAll)).toThrow("cannot decompress gzip data");
  });
});
