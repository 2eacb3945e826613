// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeNodeAt, setXattr } from "../sys/tree.ts";
import { buildAci, readManifest, validateArchive, validateLayout } from "./aci.ts";
import { ArchiveError } from "./errors.ts";
import { extractTree } from "./extract.ts";
import { readTar } from "./read.ts";
import { archive, dirEntry, linkEntry, rawEntry, treePicture } from "./testing.ts";

const isRoot = process.getuid?.() === 0;
let base = "";
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "rkt-aci-"));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

const accept = (): void => undefined;
const MANIFEST = '{"acKind":"ImageManifest"}';
const manifest = rawEntry({ name: "manifest" }, MANIFEST);
const rootfs = dirEntry("rootfs/");

function withArchive<T>(bytes: Uint8Array, action: (fd: number) => T): T {
  const path = join(base, "a.aci");
  writeFileSync(path, bytes);
  const fd = openSync(path, "r");
  try {
    return action(fd);
  } finally {
    closeSync(fd);
  }
}

function message(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    return error.cause instanceof Error
      ? `${error.message}: ${error.cause.message}`
      : error.message;
  }
  return "accepted";
}

describe("readManifest", () => {
  test("finds the first entry whose clean name is manifest, wherever it is", () => {
    const big = rawEntry({ name: "rootfs/big" }, Buffer.alloc(1_000_000));
    const bytes = archive(rootfs, big, rawEntry({ name: "./manifest" }, MANIFEST));
    expect(Buffer.from(withArchive(bytes, readManifest)).toString()).toBe(MANIFEST);
  });

  test("has the reference's messages", () => {
    const of = (...entries: Uint8Array[]): string =>
      message(() => withArchive(archive(...entries), readManifest));
    expect(of(rootfs)).toBe("missing manifest");
    expect(of(rootfs, rawEntry({ name: "f", checksumError: 1 }))).toBe(
      "error extracting tarball: bad checksum in tar header at byte 512",
    );
    expect(of(linkEntry("manifest", "/etc/passwd"))).toBe("manifest is not a regular file");
    expect(of(rawEntry({ name: "manifest" }, Buffer.alloc((4 << 20) + 1)))).toBe(
      "error extracting tarball: manifest of 4194305 bytes is too big",
    );
  });
});

describe("validateArchive", () => {
  const check = (entries: readonly Uint8Array[], parse: () => unknown = accept): string =>
    message(() => withArchive(archive(...entries), (fd) => validateArchive(fd, parse)));
  const file = (name: string): Buffer => rawEntry({ name }, "x");

  test("accepts an ACI and returns its manifest", () => {
    const bytes = archive(dirEntry("./"), manifest, rootfs, file("rootfs/a"), file("rootfs2"));
    const found = withArchive(bytes, (fd) => validateArchive(fd, accept));
    expect(Buffer.from(found).toString()).toBe(MANIFEST);
  });

  test("has the reference's messages", () => {
    expect(check([rootfs])).toBe("no image manifest found in layout");
    expect(check([manifest])).toBe("no rootfs found in layout");
    expect(check([manifest, file("rootfs")])).toBe("rootfs is not a directory");
    expect(check([manifest, linkEntry("rootfs", "/")])).toBe("rootfs is not a directory");
    expect(check([manifest, rootfs, file("rootfs/a"), file("./rootfs/a")])).toBe(
      "duplicate file entry in archive: rootfs/a",
    );
    expect(check([manifest, rootfs, manifest])).toBe("duplicate file entry in archive: manifest");
    expect(check([manifest, rootfs, file("other")])).toBe(
      'unrecognized file path in layout: "other"',
    );
    const refuse = (): never => {
      throw new Error("name must be set");
    };
    expect(check([manifest, rootfs, file("other")], refuse)).toBe(
      "image manifest validation failed: name must be set",
    );
  });
});

describe("validateLayout", () => {
  test("has the reference's messages", () => {
    const dir = join(base, "layout");
    const check = (): string => message(() => validateLayout(dir, accept));
    writeFileSync(dir, "");
    expect(check()).toBe(`given path "${dir}" is not a directory`);
    rmSync(dir);
    mkdirSync(dir);
    expect(check()).toBe("no image manifest found in layout");
    writeFileSync(join(dir, "manifest"), MANIFEST);
    expect(check()).toBe("no rootfs found in layout");
    writeFileSync(join(dir, "rootfs"), "");
    expect(check()).toBe("rootfs is not a directory");
    rmSync(join(dir, "rootfs"));
    mkdirSync(join(dir, "rootfs"));
    writeFileSync(join(dir, "other"), "");
    expect(check()).toBe('unrecognized file path in layout: "other"');
    rmSync(join(dir, "other"));
    expect(Buffer.from(validateLayout(dir, accept)).toString()).toBe(MANIFEST);
  });
});

describe("buildAci", () => {
  let layout = "";

  beforeAll(() => {
    layout = join(base, "build");
    const root = join(layout, "rootfs");
    mkdirSync(join(root, "b"), { recursive: true });
    writeFileSync(join(layout, "manifest"), MANIFEST);
    writeFileSync(join(root, "b/file"), "content");
    chmodSync(join(root, "b/file"), 0o4755);
    linkSync(join(root, "b/file"), join(root, "c-hard"));
    symlinkSync("b/file", join(root, "a-soft"));
    linkSync(join(root, "a-soft"), join(root, "z-soft-again"));
    writeFileSync(join(root, "B-first"), Buffer.alloc(1_500_000, "z"));
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0xe9])]), "");
    utimesSync(join(root, "b/file"), 1_000_000_000, 1_000_000_000);
    const dirFd = openSync(root, "r");
    makeNodeAt(dirFd, "fifo", { kind: "fifo", mode: 0o600, major: 0, minor: 0 });
    if (isRoot) makeNodeAt(dirFd, "null", { kind: "char", mode: 0o666, major: 1, minor: 3 });
    closeSync(dirFd);
    const fd = openSync(join(root, "B-first"), "r+");
    setXattr(fd, "user.note", Buffer.from("n"));
    closeSync(fd);
    Bun.listen({ unix: join(root, "socket"), socket: { data: () => undefined } }).unref();
  });

  function build(ownerRoot: boolean): Buffer {
    const chunks: Buffer[] = [];
    buildAci(layout, (chunk) => chunks.push(Buffer.from(chunk)), {
      ownerRoot,
      manifestTime: new Date(1_500_000_000_999),
    });
    return Buffer.concat(chunks);
  }

  test("writes names in byte order, links by inode, the manifest last, no sockets", () => {
    const list = withArchive(build(true), (fd) => [...readTar(fd)]);
    const facts = list.map((e) => `${e.name} ${e.kind} ${e.uid}:${e.gname} ${e.linkName}`.trim());
    expect(facts).toEqual([
      "rootfs directory 0:root",
      "rootfs/B-first file 0:root",
      "rootfs/a-soft symlink 0:root b/file",
      "rootfs/b directory 0:root",
      "rootfs/b/file file 0:root",
      "rootfs/c-hard hardlink 0:root rootfs/b/file",
      "rootfs/fifo fifo 0:root",
      ...(isRoot ? ["rootfs/null char 0:root"] : []),
      "rootfs/z-soft-again hardlink 0:root rootfs/a-soft",
      "rootfs/\udcff\udce9 file 0:root",
      "manifest file 0:root",
    ]);
    expect(list.at(-1)).toMatchObject({ mode: 0o644, mtime: { seconds: 1_500_000_000 } });
    expect(list.find((e) => e.name === "rootfs/b/file")?.mode).toBe(0o4755);
  });

  test("gives the same bytes each time, and they are a valid ACI", () => {
    const bytes = build(false);
    expect(build(false).equals(bytes)).toBe(true);
    withArchive(bytes, (fd) => validateArchive(fd, accept));
  });

  test.skipIf(!isRoot)("is undone by extractTree, but for sockets and parts of seconds", () => {
    const out = join(base, "out");
    mkdirSync(out);
    withArchive(build(false), (fd) => {
      const rootFd = openSync(out, "r");
      const owner = { kind: "restore", uidShift: 0, gidShift: 0 } as const;
      extractTree(fd, readTar(fd), { rootFd, strip: "rootfs/", owner });
      closeSync(rootFd);
    });
    rmSync(join(layout, "rootfs/socket"));
    const facts = (dir: string): string[] =>
      [...treePicture(dir)].map(([k, v]) => `${k} ${v.replace(/(\d{9,10})\d{9} /, "$1 ")}`);
    expect(facts(out)).toEqual(facts(join(layout, "rootfs")));
  });

  test("writes the manifest it is given", () => {
    const chunks: Buffer[] = [];
    buildAci(layout, (chunk) => chunks.push(Buffer.from(chunk)), {
      ownerRoot: true,
      manifest: '{"new":1}',
    });
    const found = withArchive(Buffer.concat(chunks), readManifest);
    expect(Buffer.from(found).toString()).toBe('{"new":1}');
    expect(readFileSync(join(layout, "manifest"), "utf8")).toBe(MANIFEST);
  });
});
