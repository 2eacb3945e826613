// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { decodeName, encodeName } from "../lib/byte-name.ts";
import { MAX_ID, type TarKind } from "./entry.ts";
import { readTar } from "./read.ts";
import { type TarHeader, TarWriter } from "./write.ts";

let base = "";
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "rkt-write-"));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

function write(list: readonly { readonly header: TarHeader; readonly data: Uint8Array }[]): Buffer {
  const chunks: Buffer[] = [];
  const writer = new TarWriter((chunk) => chunks.push(Buffer.from(chunk)));
  for (const { header, data } of list) writer.entry(header, data);
  writer.finish();
  return Buffer.concat(chunks);
}

function readBack(bytes: Uint8Array): { entries: unknown[]; contents: string[] } {
  const path = join(base, "a.tar");
  writeFileSync(path, bytes);
  const fd = openSync(path, "r");
  const entries = [];
  const contents = [];
  for (const { dataOffset, ...entry } of readTar(fd)) {
    const data = Buffer.alloc(entry.size);
    readSync(fd, data, 0, entry.size, dataOffset);
    contents.push(data.toString("hex"));
    entries.push({ ...entry, xattrs: [...entry.xattrs].map(([k, v]) => [k, [...v]]) });
  }
  closeSync(fd);
  return { entries, contents };
}

// Components of any bytes but NUL and slash, and not a dot or two.
const component = fc
  .oneof(
    fc.uint8Array({ min: 1, minLength: 1, maxLength: 60 }).map((b) => decodeName(Buffer.from(b))),
    fc.string({ unit: "binary", minLength: 1, maxLength: 60 }),
    fc.stringMatching(/^[a-z]{1,120}$/),
  )
  .map((text) => text.replaceAll(/[/\0]/g, "_"))
  .filter((text) => text !== "." && text !== ".." && decodeName(encodeName(text)) === text);
const path = fc.array(component, { minLength: 1, maxLength: 6 }).map((parts) => parts.join("/"));
const owner = fc.oneof(fc.nat(70_000), fc.integer({ min: 0, max: MAX_ID }));
const anyHeader = fc
  .record({
    name: path,
    kind: fc.constantFrom<TarKind>(
      "file",
      "directory",
      "symlink",
      "hardlink",
      "char",
      "block",
      "fifo",
    ),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: owner,
    gid: owner,
    uname: fc.stringMatching(/^[a-zé]{0,40}$/),
    gname: fc.stringMatching(/^[a-z]{0,10}$/),
    mtime: fc.record({
      seconds: fc.oneof(
        fc.integer({ min: 0, max: 2 ** 34 }),
        fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
      ),
      nanoseconds: fc.oneof(fc.constant(0), fc.nat(999_999_999)),
    }),
    link: path,
    devMajor: fc.nat(0xfff),
    devMinor: fc.nat(0xfffff),
    xattrs: fc.dictionary(
      fc.stringMatching(/^user\.[a-z.]{1,20}$/),
      fc.uint8Array({ maxLength: 300 }),
      { maxKeys: 3 },
    ),
    data: fc.uint8Array({ maxLength: 1200 }),
  })
  .map(({ link, xattrs, devMajor, devMinor, data, ...rest }) => {
    const isDevice = rest.kind === "char" || rest.kind === "block";
    const isLink = rest.kind === "symlink" || rest.kind === "hardlink";
    const header: TarHeader = {
      ...rest,
      linkName: isLink ? link : "",
      devMajor: isDevice ? devMajor : 0,
      devMinor: isDevice ? devMinor : 0,
      xattrs: new Map(Object.entries(xattrs).sort(([a], [b]) => (a < b ? -1 : 1))),
    };
    return { header, data: rest.kind === "file" ? data : new Uint8Array(0) };
  });

test("what TarWriter writes, readTar reads", () => {
  fc.assert(
    fc.property(fc.array(anyHeader, { maxLength: 6 }), (list) => {
      const bytes = write(list);
      expect(bytes.length % 512).toBe(0);
      const { entries, contents } = readBack(bytes);
      expect(entries).toEqual(
        list.map(({ header, data }) => ({
          ...header,
          size: data.length,
          xattrs: [...(header.xattrs ?? [])].map(([k, v]) => [k, [...v]]),
        })),
      );
      expect(contents).toEqual(list.map(({ data }) => Buffer.from(data).toString("hex")));
      expect(write(list).equals(bytes)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test("what TarWriter writes, GNU tar lists", () => {
  const long = "directory/".repeat(24);
  const bytes = write([
    { header: { name: "dir", kind: "directory", mode: 0o755 }, data: new Uint8Array(0) },
    {
      header: { name: `dir/${"x".repeat(99)}/${"y".repeat(99)}`, kind: "file", mode: 0o644 },
      data: Buffer.from("abc"),
    },
    {
      header: { name: `${long}f`, kind: "symlink", mode: 0o777, linkName: long },
      data: new Uint8Array(0),
    },
    {
      header: { name: "owner", kind: "file", mode: 0o4755, uid: 4_000_000_000, gid: 3_000_000 },
      data: new Uint8Array(0),
    },
    {
      header: { name: "null", kind: "char", mode: 0o666, devMajor: 1, devMinor: 3 },
      data: new Uint8Array(0),
    },
  ]);
  const file = join(base, "list.tar");
  writeFileSync(file, bytes);
  const { stdout, stderr } = Bun.spawnSync(["tar", "--numeric-owner", "-tvf", file], {
    env: { ...process.env, TZ: "UTC", LC_ALL: "C" },
  });
  expect(stderr.toString()).toBe("");
  const lines = stdout.toString().replaceAll(/ +/g, " ").trimEnd().split("\n");
  expect(lines).toEqual([
    "drwxr-xr-x 0/0 0 1970-01-01 00:00 dir",
    `-rw-r--r-- 0/0 3 1970-01-01 00:00 dir/${"x".repeat(99)}/${"y".repeat(99)}`,
    `lrwxrwxrwx 0/0 0 1970-01-01 00:00 ${long}f -> ${long}`,
    "-rwsr-xr-x 4000000000/3000000 0 1970-01-01 00:00 owner",
    "crw-rw-rw- 0/0 1,3 1970-01-01 00:00 null",
  ]);
});

test("a part of a file is copied, and a short one is an error", () => {
  const source = join(base, "source");
  writeFileSync(source, Buffer.alloc(3_000_000, "0123456789"));
  const fd = openSync(source, "r");
  const chunks: Buffer[] = [];
  const writer = new TarWriter((chunk) => chunks.push(Buffer.from(chunk)));
  writer.entry({ name: "f", kind: "file", mode: 0o600 }, { fd, offset: 3, length: 2_500_000 });
  const bytes = Buffer.concat(chunks);
  expect(bytes.length).toBe(512 + Math.ceil(2_500_000 / 512) * 512);
  expect(bytes.toString("latin1", 512, 522)).toBe("3456789012");
  expect(() =>
    writer.entry({ name: "f", kind: "file", mode: 0 }, { fd, offset: 0, length: 3_000_001 }),
  ).toThrow('"f" became shorter while it was archived');
  closeSync(fd);
});
