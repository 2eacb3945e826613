// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { readXattrs } from "../sys/tree.ts";
import type { TarEntry } from "./entry.ts";
import { ArchiveError } from "./errors.ts";
import { extractTree, type OwnerPolicy, TreeExtractor } from "./extract.ts";
import { readTar } from "./read.ts";
import {
  archive,
  dirEntry,
  gnuLong,
  hardLinkEntry,
  hostileArchives,
  linkEntry,
  paxEntry,
  rawEntry,
  treePicture,
} from "./testing.ts";

const isRoot = process.getuid?.() === 0;
const RESTORE: OwnerPolicy = { kind: "restore", uidShift: 0, gidShift: 0 };
const NONE: OwnerPolicy = { kind: "none" };
const BEST = isRoot ? RESTORE : NONE;

let base = "";
let target = "";
let outside = "";

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "rkt-extract-"));
  target = join(base, "target");
  outside = join(base, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "canary"), "safe");
});
afterAll(() => rmSync(base, { recursive: true, force: true }));
beforeEach(() => {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target);
});

function extract(
  bytes: Uint8Array,
  options: {
    readonly owner?: OwnerPolicy;
    readonly strip?: "rootfs/" | "";
    readonly select?: (entry: TarEntry) => boolean;
  } = {},
): void {
  const path = join(base, "a.tar");
  writeFileSync(path, bytes);
  extractFile(path, options);
}

function extractFile(
  path: string,
  options: {
    readonly owner?: OwnerPolicy;
    readonly strip?: "rootfs/" | "";
    readonly select?: (entry: TarEntry) => boolean;
  } = {},
): void {
  const fd = openSync(path, "r");
  const rootFd = openSync(target, "r");
  try {
    extractTree(fd, readTar(fd), {
      rootFd,
      strip: options.strip ?? "rootfs/",
      owner: options.owner ?? BEST,
      ...(options.select === undefined ? {} : { select: options.select }),
    });
  } finally {
    closeSync(rootFd);
    closeSync(fd);
  }
}

function failure(action: () => void): ArchiveError {
  try {
    action();
  } catch (error) {
    if (error instanceof ArchiveError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

/** The tree around the target: what no archive may change. */
function surroundings(): string {
  rmSync(join(base, "a.tar"), { force: true });
  const all = treePicture(outside, { directoryTimes: true });
  return JSON.stringify([...all]) + lstatSync(target).isDirectory();
}

const at = (name: string): string => join(target, name);
const file = (name: string, data = "x", more = {}): Buffer => rawEntry({ name, ...more }, data);

describe("a hostile archive", () => {
  for (const { title } of hostileArchives("/outside")) {
    test(`with ${title} is refused and changes nothing outside`, () => {
      const hostile = hostileArchives(outside).find((each) => each.title === title)!;
      const before = surroundings();
      expect(failure(() => extract(hostile.bytes)).code).toBe(hostile.code);
      expect(surroundings()).toBe(before);
      expect(readFileSync(join(outside, "canary"), "utf8")).toBe("safe");
    });
  }

  test("cut at any byte is refused or read whole, and never hangs", () => {
    const bytes = archive(
      dirEntry("rootfs/"),
      paxEntry([["path", `rootfs/${"long".repeat(40)}`]]),
      file("short", "content".repeat(100)),
      gnuLong("L", `rootfs/${"gnu".repeat(50)}`),
      file("short2"),
      linkEntry("rootfs/l", "../outside"),
      file("rootfs/f"),
      hardLinkEntry("rootfs/h", "rootfs/f"),
    );
    const path = join(base, "cut.tar");
    writeFileSync(path, bytes);
    const before = surroundings();
    let complete = 0;
    for (let length = bytes.length; length >= 0; length--) {
      truncateSync(path, length);
      const fd = openSync(path, "r");
      try {
        for (const _ of readTar(fd));
        complete++;
        // A whole number of blocks, and the end of an entry or of the marker.
        expect(length % 512).toBe(0);
      } catch (error) {
        expect((error as ArchiveError).code).toBe("ARCHIVE_TRUNCATED");
      } finally {
        closeSync(fd);
      }
      if (length % 256 !== 0) continue;
      rmSync(target, { recursive: true });
      mkdirSync(target);
      try {
        extractFile(path);
      } catch (error) {
        expect(error).toBeInstanceOf(ArchiveError);
      }
    }
    // Nothing; after each of 6 entries; after one and after two zero blocks.
    expect(complete).toBe(9);
    expect(surroundings()).toBe(before);
    rmSync(path);
  });

  test("with any bytes changed is refused or extracted inside", () => {
    const bytes = archive(
      dirEntry("rootfs/"),
      paxEntry([
        ["path", "rootfs/a/b"],
        ["SCHILY.xattr.user.x", "1"],
      ]),
      file("short"),
      linkEntry("rootfs/l", "../outside"),
      file("rootfs/f"),
      hardLinkEntry("rootfs/h", "rootfs/f"),
    );
    const before = surroundings();
    const change = fc.record({
      at: fc.nat(bytes.length - 1),
      to: fc.nat(255),
    });
    fc.assert(
      fc.property(
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        (changes, fix) => {
          const copy = Buffer.from(bytes);
          for (const { at, to } of changes) copy[at] = to;
          if (fix) fixChecksums(copy);
          rmSync(target, { recursive: true });
          mkdirSync(target);
          try {
            extract(copy, { owner: NONE });
          } catch (error) {
            if (!(error instanceof ArchiveError)) throw error;
          }
          return surroundings() === before;
        },
      ),
      { numRuns: 300 },
    );
  });

  test("with two thousand nested directories is extracted without recursion trouble", () => {
    const deep = `rootfs/${"d/".repeat(1900)}f`;
    extract(archive(paxEntry([["path", deep]]), file("short")));
    rmSync(target, { recursive: true });
    mkdirSync(target);
  });
});

/** So that changes reach what is behind the checksum. */
function fixChecksums(bytes: Buffer): void {
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    if (bytes.toString("latin1", at + 257, at + 262) !== "ustar") continue;
    bytes.fill(0x20, at + 148, at + 156);
    let sum = 0;
    for (let i = at; i < at + 512; i++) sum += bytes[i]!;
    bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, "latin1");
  }
}

describe("extractTree", () => {
  test("leaves out what is not below rootfs", () => {
    extract(archive(file("manifest", "{}"), file("rootfs2/x"), file("rootfs/a")));
    expect([...treePicture(target).keys()]).toEqual([".", "./a"]);
  });

  test("makes missing parents with mode 0755 whatever the umask", () => {
    const old = process.umask(0o077);
    try {
      extract(archive(file("rootfs/a/b/c")));
    } finally {
      process.umask(old);
    }
    expect(statSync(at("a")).mode & 0o7777).toBe(0o755);
    expect(statSync(at("a/b")).mode & 0o7777).toBe(0o755);
  });

  test("gives a parent that was made before its entry the entry's mode and time", () => {
    extract(
      archive(
        file("rootfs/a/f"),
        rawEntry({ name: "rootfs/a", type: "5", mode: 0o711, mtime: 99 }),
      ),
    );
    expect(statSync(at("a")).mode & 0o7777).toBe(0o711);
    expect(statSync(at("a")).mtimeMs).toBe(99_000);
  });

  test("sets modes and times of directories after their content", () => {
    extract(
      archive(
        rawEntry({ name: "rootfs/", type: "5", mode: 0o750, mtime: 7 }),
        rawEntry({ name: "rootfs/d", type: "5", mode: 0o555, mtime: 8 }),
        file("rootfs/d/f", "x", { mtime: 9 }),
      ),
    );
    const facts = [".", "d", "d/f"].map((n) => [
      statSync(at(n)).mode & 0o7777,
      statSync(at(n)).mtimeMs,
    ]);
    expect(facts).toEqual([
      [0o750, 7000],
      [0o555, 8000],
      [0o644, 9000],
    ]);
    // So that the next test can remove it without being root.
    chmodSync(at("d"), 0o755);
  });

  test("keeps a hard link to a symbolic link a link", () => {
    extract(
      archive(linkEntry("rootfs/l", `${outside}/canary`), hardLinkEntry("rootfs/h", "rootfs/l")),
    );
    expect(readlinkSync(at("h"))).toBe(`${outside}/canary`);
    expect(lstatSync(at("h")).nlink).toBe(2);
  });

  test("sets times of a symbolic link itself, with nanoseconds and before 1970", () => {
    extract(
      archive(
        paxEntry([["mtime", "1500000000.123456789"]]),
        linkEntry("rootfs/l", `${outside}/canary`),
        paxEntry([["mtime", "-1.5"]]),
        file("rootfs/f"),
      ),
    );
    expect(lstatSync(at("l"), { bigint: true }).mtimeNs).toBe(1500000000123456789n);
    expect(lstatSync(at("f"), { bigint: true }).mtimeNs).toBe(-1500000000n);
  });

  test.skipIf(!isRoot)("restores owners shifted, setuid bits, capabilities and user xattrs", () => {
    const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");
    extract(
      archive(
        paxEntry([
          ["SCHILY.xattr.security.capability", capability],
          ["SCHILY.xattr.user.note", "a\nb"],
          ["SCHILY.xattr.trusted.overlay.opaque", "y"],
          ["SCHILY.xattr.security.selinux", "z"],
        ]),
        rawEntry({ name: "rootfs/f", mode: 0o6755, uid: 10, gid: 20 }, "x".repeat(200_000)),
        rawEntry({ name: "rootfs/l", type: "2", linkName: "/nowhere", uid: 30, gid: 40 }),
        rawEntry({ name: "rootfs/d", type: "5", mode: 0o2775, uid: 50, gid: 60 }),
      ),
      { owner: { kind: "restore", uidShift: 1000, gidShift: 2000 } },
    );
    const facts = ["f", "l", "d"].map((n) => {
      const s = lstatSync(at(n));
      return [s.uid, s.gid, s.mode & 0o7000];
    });
    expect(facts).toEqual([
      [1010, 2020, 0o6000],
      [1030, 2040, 0],
      [1050, 2060, 0o2000],
    ]);
    const fd = openSync(at("f"), "r");
    const xattrs = readXattrs(fd);
    closeSync(fd);
    expect([...xattrs.keys()]).toEqual(["security.capability", "user.note"]);
    // Of the user namespace whose root is the shifted one.
    const shifted = Buffer.from("0100000300040000000000000000000000000000e8030000", "hex");
    expect(Buffer.from(xattrs.get("security.capability")!)).toEqual(shifted);
  });

  test.skipIf(!isRoot)("an owner that would be shifted out of the range is refused", () => {
    const far = archive(rawEntry({ name: "rootfs/f", uid: 65_536 }, "x"));
    const owner: OwnerPolicy = { kind: "restore", uidShift: 65_536, gidShift: 0 };
    const error = failure(() => extract(far, { owner }));
    expect(String(error.cause)).toContain("owner 65536 is out of range 65536");
  });

  test.skipIf(!isRoot)("makes devices and fifos", () => {
    extract(
      archive(
        rawEntry({ name: "rootfs/null", type: "3", mode: 0o666, devMajor: 1, devMinor: 3 }),
        rawEntry({ name: "rootfs/disk", type: "4", mode: 0o660, devMajor: 259, devMinor: 300 }),
        rawEntry({ name: "rootfs/pipe", type: "6", mode: 0o622, mtime: 5 }),
      ),
    );
    const modes = ["null", "disk", "pipe"].map((n) => lstatSync(at(n)).mode.toString(8));
    expect(modes).toEqual(["20666", "60660", "10622"]);
    expect(lstatSync(at("null")).rdev).toBe(0x103);
    expect(lstatSync(at("disk"), { bigint: true }).rdev).toBe(0x11032cn);
    expect(lstatSync(at("pipe")).mtimeMs).toBe(5000);
  });

  test("without restoring owners drops setuid and setgid but not the rest of the mode", () => {
    extract(
      archive(
        rawEntry({ name: "rootfs/f", mode: 0o6751, uid: 12345 }, "x"),
        rawEntry({ name: "rootfs/d", type: "5", mode: 0o3777 }),
      ),
      { owner: NONE },
    );
    expect(lstatSync(at("f")).mode & 0o7777).toBe(0o751);
    expect(lstatSync(at("d")).mode & 0o7777).toBe(0o1777);
    expect(lstatSync(at("f")).uid).toBe(process.getuid!());
  });

  test("refuses an owner that does not fit when shifted", () => {
    const bytes = archive(paxEntry([["uid", "4294967000"]]), file("rootfs/f"));
    const owner: OwnerPolicy = { kind: "restore", uidShift: 65536, gidShift: 0 };
    expect(failure(() => extract(bytes, { owner })).code).toBe("ARCHIVE_UNSAFE");
  });

  test("writes a selected hard link to a left-out file as a file of its own", () => {
    const names: string[] = [];
    extract(
      archive(
        file("rootfs/a", "content"),
        hardLinkEntry("rootfs/b", "rootfs/a"),
        hardLinkEntry("rootfs/c", "rootfs/b"),
        hardLinkEntry("rootfs/d", "rootfs/a"),
      ),
      {
        select: (entry) => {
          names.push(entry.name);
          return entry.name !== "rootfs/a" && entry.name !== "rootfs/b";
        },
      },
    );
    expect(names).toEqual(["rootfs/a", "rootfs/b", "rootfs/c", "rootfs/d"]);
    expect(existsSync(at("a"))).toBe(false);
    expect(readFileSync(at("c"), "utf8")).toBe("content");
    expect(statSync(at("c")).ino).toBe(statSync(at("d")).ino);
  });

  test("keeps names that are not UTF-8", () => {
    const name = Buffer.concat([Buffer.from("rootfs/"), Buffer.from([0xe9, 0x2e, 0xff])]);
    const other = Buffer.concat([Buffer.from("rootfs/"), Buffer.from([0xe8, 0x2e, 0xff])]);
    extract(archive(rawEntry({ name }, "1"), rawEntry({ name: other }, "2")));
    const path = Buffer.concat([Buffer.from(`${target}/`), name.subarray(7)]);
    expect(readFileSync(path, "utf8")).toBe("1");
  });

  test("refuses a symbolic link that was in the target before", () => {
    symlinkSync(outside, at("l"));
    const error = failure(() => extract(archive(file("rootfs/l/new"))));
    expect(error.code).toBe("ARCHIVE_UNSAFE");
    expect(error.message).toBe('cannot extract "rootfs/l/new"');
    expect((error.cause as Error).message).toBe('"l" is not a directory');
  });

  test("closes every descriptor, also after an error", () => {
    const open = (): number => readdirSync("/proc/self/fd").length;
    const many = Array.from({ length: 200 }, (_, i) => file(`rootfs/d${i}/f`));
    extract(archive(...many));
    const before = open();
    rmSync(target, { recursive: true });
    mkdirSync(target);
    failure(() => extract(archive(...many, file("rootfs/d1/f"))));
    expect(open()).toBe(before);
  });
});

describe("TreeExtractor", () => {
  test("makes one tree of several archives and sets directories once at the end", () => {
    const paths = ["upper", "lower"].map((name) => join(base, `${name}.tar`));
    writeFileSync(
      paths[0]!,
      archive(rawEntry({ name: "rootfs/d", type: "5", mode: 0o700, mtime: 1 }), file("rootfs/d/a")),
    );
    writeFileSync(
      paths[1]!,
      archive(dirEntry("rootfs/d"), file("rootfs/d/a", "lower"), file("rootfs/d/b", "lower")),
    );
    const rootFd = openSync(target, "r");
    const provided = new Set<string>();
    {
      using extractor = new TreeExtractor(rootFd, BEST);
      for (const path of paths) {
        const fd = openSync(path, "r");
        const mine = new Set<string>();
        extractor.extract(fd, readTar(fd), {
          strip: "rootfs/",
          select: (entry) => {
            mine.add(entry.name);
            return !provided.has(entry.name);
          },
        });
        for (const name of mine) provided.add(name);
        closeSync(fd);
      }
      extractor.finish();
    }
    closeSync(rootFd);
    expect(readFileSync(at("d/a"), "utf8")).toBe("x");
    expect(readFileSync(at("d/b"), "utf8")).toBe("lower");
    expect(statSync(at("d")).mode & 0o777).toBe(0o700);
    expect(statSync(at("d")).mtimeMs).toBe(1000);
    for (const path of paths) rmSync(path);
  });
});
