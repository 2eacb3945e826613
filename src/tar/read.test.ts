// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeNodeAt, setXattr } from "../sys/tree.ts";
import { cleanName, type TarEntry } from "./entry.ts";
import { extractTree } from "./extract.ts";
import { parseNumber } from "./header.ts";
import { formatTime, parseTime } from "./pax.ts";
import { readTar } from "./read.ts";
import { archive, paxEntry, rawEntry, treePicture } from "./testing.ts";

const isRoot = process.getuid?.() === 0;
let base = "";
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "rkt-read-"));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

function tar(...args: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["tar", ...args], {
    env: { ...process.env, LC_ALL: "C" },
  });
  if (exitCode !== 0) throw new Error(stderr.toString());
}

function entries(bytes: Uint8Array | string): TarEntry[] {
  const path = typeof bytes === "string" ? bytes : join(base, "bytes.tar");
  if (typeof bytes !== "string") writeFileSync(path, bytes);
  const fd = openSync(path, "r");
  try {
    return [...readTar(fd)];
  } finally {
    closeSync(fd);
  }
}

describe("archives of GNU tar", () => {
  const LONG = "long-component-".repeat(10);
  let tree = "";

  beforeAll(() => {
    tree = join(base, "tree");
    mkdirSync(join(tree, "dir/sub"), { recursive: true });
    writeFileSync(join(tree, "empty"), "");
    writeFileSync(join(tree, "file"), "hello");
    writeFileSync(join(tree, "big"), Buffer.alloc(300_001, "0123456789abcdef"));
    chmodSync(join(tree, "file"), 0o4751);
    linkSync(join(tree, "file"), join(tree, "dir/hard"));
    symlinkSync("../file", join(tree, "dir/soft"));
    writeFileSync(Buffer.concat([Buffer.from(`${tree}/latin-`), Buffer.from([0xe9])]), "1");
    writeFileSync(join(tree, "größe"), "2");
    const fd = openSync(tree, "r");
    makeNodeAt(fd, "pipe", { kind: "fifo", mode: 0o640, major: 0, minor: 0 });
    if (isRoot) makeNodeAt(fd, "null", { kind: "char", mode: 0o666, major: 1, minor: 3 });
    closeSync(fd);
    lutimesSync(join(tree, "dir/soft"), 1_000_000_000, 1_000_000_001);
    for (const name of ["file", "big", "dir/sub", "dir"]) {
      utimesSync(join(tree, name), 1_234_567_890, 1_234_567_890);
    }
  });

  for (const format of ["gnu", "posix", "ustar"]) {
    test(`--format=${format} is read and extracted as tar does it`, () => {
      const source = join(base, `source-${format}`);
      Bun.spawnSync(["cp", "-a", tree, source]);
      if (format !== "ustar") {
        mkdirSync(join(source, LONG, LONG), { recursive: true });
        writeFileSync(join(source, LONG, LONG, "file"), "deep");
        symlinkSync(`${LONG}/${LONG}/nowhere`, join(source, "long-link"));
        linkSync(join(source, LONG, LONG, "file"), join(source, "long-hard"));
      }
      const isPosix = format === "posix";
      if (isPosix) {
        const fd = openSync(join(source, "big"), "r+");
        setXattr(fd, "user.empty", new Uint8Array(0));
        setXattr(fd, "user.binary", Uint8Array.from([0, 10, 61, 255]));
        closeSync(fd);
      }
      const file = join(base, `${format}.tar`);
      tar(
        ...(isPosix ? ["--xattrs"] : []),
        `--format=${format}`,
        "--sort=name",
        "-C",
        source,
        "-cf",
        file,
        ".",
      );
      const out = join(base, `out-${format}`);
      const expected = join(base, `expected-${format}`);
      mkdirSync(out);
      mkdirSync(expected);
      tar("--xattrs", "--same-permissions", "-C", expected, "-xf", file);
      const fd = openSync(file, "r");
      const rootFd = openSync(out, "r");
      extractTree(fd, readTar(fd), {
        rootFd,
        strip: "",
        owner: isRoot ? { kind: "restore", uidShift: 0, gidShift: 0 } : { kind: "none" },
      });
      closeSync(fd);
      closeSync(rootFd);
      const options = { directoryTimes: true };
      if (isRoot) {
        expect([...treePicture(out, options)]).toEqual([...treePicture(expected, options)]);
      } else {
        expect([...treePicture(out).keys()]).toEqual([...treePicture(expected).keys()]);
      }
      if (isRoot && isPosix) {
        expect([...treePicture(out, options)]).toEqual([...treePicture(source, options)]);
      }
    });
  }

  for (const format of ["gnu", "posix"]) {
    test(`--format=${format} --sparse is refused with the reason`, () => {
      const sparse = join(base, "sparse");
      const fd = openSync(sparse, "w");
      ftruncateSync(fd, 1 << 20);
      closeSync(fd);
      const file = join(base, "sparse.tar");
      tar("--sparse", `--format=${format}`, "-C", base, "-cf", file, "sparse");
      expect(() => entries(file)).toThrow(/^archive has a sparse file, which is not supported/);
    });
  }

  test("numbers in base 256 are read", () => {
    const file = join(base, "big-ids.tar");
    tar(
      "--format=gnu",
      "--owner=a:3000000000",
      "--group=b:2200000",
      "-C",
      tree,
      "-cf",
      file,
      "file",
    );
    expect(entries(file)).toMatchObject([{ uid: 3_000_000_000, gid: 2_200_000, uname: "a" }]);
  });

  test("--format=v7 is read", () => {
    const file = join(base, "v7.tar");
    tar("--format=v7", "-C", tree, "-cf", file, "dir/sub", "file");
    const kinds = entries(file).map((entry) => [entry.name, entry.kind]);
    expect(kinds).toEqual([
      ["dir/sub", "directory"],
      ["file", "file"],
    ]);
  });
});

describe("readTar", () => {
  test("gives nothing for an empty file and for a marker alone", () => {
    expect(entries(Buffer.alloc(0))).toEqual([]);
    expect(entries(archive())).toEqual([]);
    expect(entries(Buffer.alloc(10_240))).toEqual([]);
  });

  test("does not look at what follows the end-of-archive marker", () => {
    const bytes = Buffer.concat([archive(rawEntry({ name: "a" })), Buffer.from("anything")]);
    expect(entries(bytes).map((entry) => entry.name)).toEqual(["a"]);
  });

  test("applies a size record to the file only, not to the extension between (CVE-2025-62518)", () => {
    const inner = rawEntry({ name: "inner" }, "smuggled");
    const long = rawEntry({ name: "././@LongLink", type: "L", magic: "ustar  \0" }, "outer\0");
    const bytes = archive(
      paxEntry([["size", String(inner.length)]]),
      long,
      rawEntry({ name: "x", size: 0 }, inner),
      rawEntry({ name: "last" }),
    );
    expect(entries(bytes).map((entry) => [entry.name, entry.size])).toEqual([
      ["outer", 1024],
      ["last", 0],
    ]);
  });

  test("ignores a global extended header", () => {
    const bytes = archive(paxEntry([["path", "../../x"]], "g"), rawEntry({ name: "a" }));
    expect(entries(bytes).map((entry) => entry.name)).toEqual(["a"]);
  });

  test("lets an empty record take nothing away from the header", () => {
    const [entry] = entries(
      archive(
        paxEntry([
          ["path", ""],
          ["size", ""],
        ]),
        rawEntry({ name: "a" }, "12"),
      ),
    );
    expect(entry).toMatchObject({ name: "a", size: 2 });
  });

  test("reads LIBARCHIVE attributes when the plain form is not there", () => {
    const bytes = archive(
      paxEntry([
        ["LIBARCHIVE.xattr.user.a%20b", Buffer.from("one").toString("base64").replace(/=+$/, "")],
        ["SCHILY.xattr.user.c", "plain"],
        ["LIBARCHIVE.xattr.user.c", Buffer.from("coded").toString("base64")],
      ]),
      rawEntry({ name: "a" }),
    );
    const xattrs = [...entries(bytes)[0]!.xattrs].map(([k, v]) => [k, Buffer.from(v).toString()]);
    expect(xattrs).toEqual([
      ["user.a b", "one"],
      ["user.c", "plain"],
    ]);
  });

  test("refuses more metadata than a reader should keep", () => {
    // 2100 entries with an attribute of 64 KiB each; the content is written once and repeated.
    const one = Buffer.concat([
      paxEntry([["SCHILY.xattr.user.a", Buffer.alloc(65_536)]]),
      rawEntry({ name: "a" }),
    ]);
    const path = join(base, "metadata.tar");
    const fd = openSync(path, "w");
    for (let i = 0; i < 2100; i++) writeSync(fd, one);
    closeSync(fd);
    const read = openSync(path, "r");
    expect(() => {
      for (const _ of readTar(read));
    }).toThrow("names and attributes in archive are too long in all");
    closeSync(read);
    rmSync(path);
  });

  test("joins prefix and name", () => {
    const bytes = archive(rawEntry({ name: "c/d", prefix: "a/b" }));
    expect(entries(bytes)[0]?.name).toBe("a/b/c/d");
  });

  test("finds entries behind content bigger than its window", () => {
    const bytes = archive(
      rawEntry({ name: "a" }, Buffer.alloc(700_000, 1)),
      rawEntry({ name: "b" }, "x"),
    );
    const list = entries(bytes).map((entry) => [entry.name, entry.dataOffset]);
    expect(list).toEqual([
      ["a", 512],
      ["b", 512 + 700_416 + 512],
    ]);
  });
});

test("cleanName gives each name one spelling", () => {
  const cases = [
    ["a", "a"],
    ["./a", "a"],
    ["a/", "a"],
    ["./", "."],
    [".", "."],
    ["a//b/./c/", "a/b/c"],
    ["a/.b/..c/d..", "a/.b/..c/d.."],
    ["...", "..."],
  ] as const;
  for (const [raw, clean] of cases) expect(cleanName(raw)).toBe(clean);
  for (const raw of ["", "/", "/a", "..", "../a", "a/..", "a/../b", "a\0b"]) {
    expect(() => cleanName(raw)).toThrow();
  }
});

test("parseNumber reads octal and base 256 and nothing else", () => {
  const parse = (bytes: string | Buffer): number | undefined => {
    const field = Buffer.alloc(12);
    Buffer.from(bytes as string).copy(field);
    return parseNumber(field, 0, 12);
  };
  expect(parse("00000000012")).toBe(10);
  expect(parse("  12 ")).toBe(10);
  expect(parse("")).toBe(0);
  expect(parse("777777777777")).toBe(0o777777777777);
  for (const bad of ["8", "1x", "-1", "0x10", "1 2", "\n1"]) expect(parse(bad)).toBeUndefined();
  expect(parse(Buffer.from([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]))).toBe(258);
  expect(parse(Buffer.alloc(12, 0xff))).toBe(-1);
  expect(parse(Buffer.from([0x80, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0]))).toBeUndefined();
});

test("times survive formatting, also before 1970", () => {
  for (const [text, seconds, nanoseconds] of [
    ["0", 0, 0],
    ["1.5", 1, 500_000_000],
    ["-1.5", -2, 500_000_000],
    ["-0.000000001", -1, 999_999_999],
    ["-3", -3, 0],
  ] as const) {
    expect(parseTime(text)).toEqual({ seconds, nanoseconds });
    expect(formatTime({ seconds, nanoseconds })).toBe(text);
  }
  expect(parseTime("-1.0000000001")).toEqual({ seconds: -2, nanoseconds: 999_999_999 });
  for (const bad of ["", "1e5", "x", "1.2.3", "+1", "99999999999999999"]) {
    expect(parseTime(bad)).toBeUndefined();
  }
});
