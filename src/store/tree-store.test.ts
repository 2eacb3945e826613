// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { ImageKey } from "../appc/index.ts";
import { bootID } from "../sys/boot-id.ts";
import { keyedPath } from "./keys.ts";
import { addBytes, addImage, failure, makeAci, testStore } from "./test-images.ts";
import { hashTree } from "./tree-hash.ts";
import { treeStoreID } from "./tree-store.ts";

const isRoot = process.geteuid?.() === 0;

/** Path → content, link target or kind of everything below a directory. */
function contents(directory: string, below = ""): Record<string, string> {
  const result: Record<string, string> = {};
  for (const name of readdirSync(join(directory, below)).sort()) {
    const path = join(below, name);
    const stat = lstatSync(join(directory, path));
    if (stat.isDirectory()) Object.assign(result, contents(directory, path));
    else result[path] = stat.isFile() ? readFileSync(join(directory, path), "utf8") : "special";
  }
  return result;
}

describe("trees", () => {
  test("a tree has the reference's ID and files", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, { files: { "bin/app": { text: "x", mode: 0o755 } } });
    expect(t.store.renderedTree(key)).toBeUndefined();
    const tree = await t.store.renderTree(key);
    const digest = createHash("sha512").update(key).digest("hex");
    expect(tree.id as string).toBe(`deps-sha512-${digest.slice(0, 64)}`);
    const directory = join(t.dir, "cas/tree", tree.id);
    expect(tree.rootfs).toBe(join(directory, "rootfs"));
    expect(readdirSync(directory).sort()).toEqual([
      "hash",
      "image",
      "manifest",
      "rendered",
      "rootfs",
      "size",
    ]);
    expect(readFileSync(join(directory, "image"), "utf8")).toBe(key);
    expect(readFileSync(join(directory, "hash"), "utf8")).toMatch(/^sha512-[0-9a-f]{64}$/);
    expect(JSON.parse(readFileSync(join(directory, "manifest"), "utf8")).name).toBe(
      "example.com/app",
    );
    expect(contents(tree.rootfs)).toEqual({ "bin/app": "x" });
    expect(lstatSync(join(tree.rootfs, "bin/app")).mode & 0o7777).toBe(0o755);
    expect(lstatSync(tree.rootfs).mode & 0o7777).toBe(0o755);
    expect(t.store.renderedTree(key)).toEqual(tree);
    expect(t.store.record(key).treeSize).toBe(1);
  });

  test("a tree that is there is not made again", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, { files: { a: "1" } });
    const { rootfs } = await t.store.renderTree(key);
    const inode = lstatSync(join(rootfs, "a")).ino;
    await t.reopen().renderTree(key);
    expect(lstatSync(join(rootfs, "a")).ino).toBe(inode);
    await t.store.renderTree(key, { rebuild: true });
    expect(existsSync(join(rootfs, "a"))).toBe(true);
  });

  test("renders of one tree at once make it once", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, { files: { a: "1" } });
    const trees = await Promise.all(
      [t.store, t.reopen(), t.reopen()].map((store) => store.renderTree(key)),
    );
    expect(new Set(trees.map(({ id }) => id)).size).toBe(1);
  });

  test("what a dead process left half made is wiped", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, { files: { a: "1" } });
    const directory = join(t.dir, "cas/tree", t.store.treeID(key));
    mkdirSync(join(directory, "rootfs"), { recursive: true });
    writeFileSync(join(directory, "rootfs", "stale"), "");
    writeFileSync(join(directory, "hash"), "sha512-0");
    const { rootfs } = await t.store.renderTree(key);
    expect(contents(rootfs)).toEqual({ a: "1" });
  });

  test("an image that cannot be rendered leaves no tree", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, {
      files: { a: { kind: "symlink", linkName: "/etc" }, "a/b": "x" },
    });
    const error = await failure(() => t.store.renderTree(key));
    expect(error.message).toContain("cannot extract");
    expect(readdirSync(join(t.dir, "cas/tree"))).toEqual([]);
  });

  test("a path that does not fit below the store is a sentence and leaves no tree", async () => {
    using t = testStore();
    const name = `${"d".repeat(250)}/`.repeat(16);
    const { key } = await addImage(t.store, { files: { [`${name}f`]: "x" } });
    const error = await failure(() => t.store.renderTree(key));
    expect(error.message).toBe(`cannot render image "${key}": a path in it is too long`);
    expect(readdirSync(join(t.dir, "cas/tree"))).toEqual([]);
  });

  test("a blob that changed on disk is not rendered", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, { files: { a: "1" } });
    appendFileSync(keyedPath(t.store.paths.blobs, key), Buffer.alloc(512));
    for (const store of [t.store, t.reopen()]) {
      const error = await failure(() => store.renderTree(key));
      expect(error.message).toMatch(
        /^image hash does not match expected \(sha512-\w{64} != sha512-\w{64}\)$/,
      );
    }
    expect(readdirSync(join(t.dir, "cas/tree"))).toEqual([]);
  });

  test("a tree that changed on disk is found, by content, mode or name", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, {
      files: { a: "1", b: { kind: "symlink", linkName: "a" } },
    });
    const { id, rootfs } = await t.store.renderTree(key);
    const expected = readFileSync(join(rootfs, "..", "hash"), "utf8");
    expect(await t.store.checkTree(id)).toBe(expected);
    const damages = [
      () => writeFileSync(join(rootfs, "a"), "2"),
      () => chmodSync(join(rootfs, "a"), 0o755),
      () => writeFileSync(join(rootfs, "c"), ""),
      () => rmSync(join(rootfs, "b")),
    ];
    for (const damage of damages) {
      damage();
      const error = await failure(() => t.store.checkTree(id));
      expect(error.message).toMatch(
        new RegExp(`^wrong tree hash: sha512-\\w{64}, expected: ${expected}$`),
      );
      await t.store.renderTree(key, { rebuild: true });
      expect(await t.store.checkTree(id)).toBe(expected);
    }
    expect(
      await t.store.checkTree(treeStoreID([`sha512-${"0".repeat(64)}` as ImageKey])),
    ).toBeUndefined();
  });

  test("a tree of this boot is ready, one of an earlier boot is checked once before it is used", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, { files: { a: "1" } });
    const tree = await t.store.renderTree(key);
    const rendered = join(tree.rootfs, "../rendered");
    expect(readFileSync(rendered, "utf8")).toBe(bootID() ?? "synced");
    writeFileSync(rendered, "another-boot");
    expect(t.store.renderedTree(key)).toBeUndefined();
    const inode = lstatSync(join(tree.rootfs, "a")).ino;
    expect(await t.store.renderTree(key)).toEqual(tree);
    expect(lstatSync(join(tree.rootfs, "a")).ino).toBe(inode);
    expect(readFileSync(rendered, "utf8")).toBe("synced");
    expect(t.store.renderedTree(key)).toEqual(tree);
  });

  test("a tree of which a power failure took a part is made again", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, { files: { a: "1" } });
    const { rootfs, id } = await t.store.renderTree(key);
    writeFileSync(join(rootfs, "../rendered"), "another-boot");
    truncateSync(join(rootfs, "a"), 0);
    writeFileSync(join(rootfs, "../hash"), "");
    await t.store.renderTree(key);
    expect(contents(rootfs)).toEqual({ a: "1" });
    expect(await t.store.checkTree(id)).toStartWith("sha512-");
  });

  test("a tree of rkt 1.x, whose mark is empty, is ready", async () => {
    using t = testStore();
    const { key } = await addImage(t.store);
    const tree = await t.store.renderTree(key);
    writeFileSync(join(tree.rootfs, "../rendered"), "");
    expect(t.store.renderedTree(key)).toEqual(tree);
  });

  test("gc settles the trees of this boot", async () => {
    using t = testStore();
    const { key } = await addImage(t.store);
    const { rootfs } = await t.store.renderTree(key);
    expect(t.store.removeStale({ now: new Date(), gracePeriodMs: 0 })).toEqual([]);
    expect(readFileSync(join(rootfs, "../rendered"), "utf8")).toBe("synced");
  });

  test("an image that comes back finds the size of the tree that stayed", async () => {
    using t = testStore();
    const image = { files: { a: "123" } };
    const { key } = await addImage(t.store, image);
    await t.store.renderTree(key);
    t.store.removeImage(key);
    await addImage(t.store, image);
    expect(t.store.record(key).treeSize).toBe(3);
    t.store[Symbol.dispose]();
    rmSync(t.store.paths.index);
    expect(t.reopen().record(key).treeSize).toBe(3);
  });

  test("trees are listed and removed", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, { files: { a: "1" } });
    const { id } = await t.store.renderTree(key);
    expect(t.store.listTrees()).toEqual([{ id, rendered: true, image: key }]);
    t.store.removeTree(id);
    expect(t.store.listTrees()).toEqual([]);
    expect(t.store.record(key).treeSize).toBe(0);
    expect(readdirSync(join(t.dir, "cas/treestorelocks"))).toEqual([]);
  });

  test.if(isRoot)("owners, setuid bits and times are the image's, shifted on request", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, {
      files: {
        d: { kind: "directory", uid: 5, gid: 6, mode: 0o2775, time: 1_000 },
        "d/su": { text: "x", uid: 7, gid: 8, mode: 0o4755, time: 2_000 },
        "d/link": { kind: "hardlink", linkName: "rootfs/d/su" },
      },
    });
    const { rootfs } = await t.store.renderTree(key);
    const file = lstatSync(join(rootfs, "d/su"));
    expect([file.uid, file.gid, file.mode & 0o7777, file.mtimeMs, file.nlink]).toEqual([
      7, 8, 0o4755, 2_000_000, 2,
    ]);
    const directory = lstatSync(join(rootfs, "d"));
    expect([directory.uid, directory.gid, directory.mode & 0o7777, directory.mtimeMs]).toEqual([
      5, 6, 0o2775, 1_000_000,
    ]);
    expect(t.store.record(key).treeSize).toBe(1);
    mkdirSync(join(t.dir, "pod"));
    await t.store.renderInto(key, join(t.dir, "pod"), { uidShift: 65536, gidShift: 131072 });
    const shifted = lstatSync(join(t.dir, "pod/rootfs/d/su"));
    expect([shifted.uid, shifted.gid]).toEqual([65543, 131080]);
    expect(JSON.parse(readFileSync(join(t.dir, "pod/manifest"), "utf8")).name).toBe(
      "example.com/app",
    );
  });

  test("extractInto gives the image as it is, without its dependencies", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, {
      dependencies: [{ imageName: "example.com/missing" }],
      files: { a: "1" },
    });
    const out = join(t.dir, "out");
    mkdirSync(out);
    await t.store.extractInto(key, out);
    expect(Object.keys(contents(out))).toEqual(["manifest", "rootfs/a"]);
  });
});

describe("dependencies", () => {
  test("upper images win, links mask, whitelists bind, times of shared directories stay", async () => {
    using t = testStore();
    const base = await addImage(t.store, {
      name: "example.com/base",
      files: {
        etc: { kind: "directory", time: 1_000 },
        "etc/os": "base",
        "etc/shared": "base",
        lib: { kind: "directory" },
        "lib/x": "base",
        hidden: "base",
      },
    });
    await addImage(t.store, {
      name: "example.com/middle",
      dependencies: [{ imageName: "example.com/base", imageID: base.id }],
      pathWhitelist: ["/etc", "/etc/os", "/etc/shared", "/lib", "/lib/x"],
      files: { etc: { kind: "directory", time: 2_000 }, "etc/shared": "middle", dropped: "middle" },
    });
    const { key } = await addImage(t.store, {
      dependencies: [{ imageName: "example.com/middle", labels: [{ name: "os", value: "linux" }] }],
      files: {
        etc: { kind: "directory", time: 3_000 },
        "etc/app": "app",
        lib: { kind: "symlink", linkName: "etc" },
      },
    });
    const { rootfs, id } = await t.store.renderTree(key);
    expect(contents(rootfs)).toEqual({
      "etc/app": "app",
      "etc/os": "base",
      "etc/shared": "middle",
      lib: "special",
    });
    expect(lstatSync(join(rootfs, "etc")).mtimeMs).toBe(3_000_000);
    expect(t.reopen().treeID(key)).toBe(id);
    expect(t.store.renderedTree(key)?.id).toBe(id);
  });

  test("a hard link whose target an upper image replaced keeps its own content", async () => {
    using t = testStore();
    await addImage(t.store, {
      name: "example.com/base",
      files: { a: "base", b: { kind: "hardlink", linkName: "rootfs/a" } },
    });
    const { key } = await addImage(t.store, {
      dependencies: [{ imageName: "example.com/base" }],
      files: { a: "app" },
    });
    const { rootfs } = await t.store.renderTree(key);
    expect(contents(rootfs)).toEqual({ a: "app", b: "base" });
  });

  test("a missing dependency is named", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, { dependencies: [{ imageName: "example.com/base" }] });
    const error = await failure(() => t.store.renderTree(key));
    expect(error.message).toBe(
      'dependency "example.com/base" of image "example.com/app" is not in the store',
    );
    expect(error.code).toBe("DEPENDENCY_MISSING");
  });

  test("images that need each other are an error", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, {
      name: "example.com/a",
      dependencies: [{ imageName: "example.com/b" }],
    });
    await addImage(t.store, {
      name: "example.com/b",
      dependencies: [{ imageName: "example.com/a" }],
    });
    expect((await failure(() => t.store.renderTree(key))).code).toBe("DEPENDENCY_CYCLE");
  });

  test("a dependency whose verification is unknown is not used", async () => {
    using t = testStore();
    const base = await addImage(t.store, { name: "example.com/base" });
    const { key } = await addImage(t.store, {
      dependencies: [{ imageName: "example.com/base", imageID: base.id }],
    });
    rmSync(keyedPath(t.store.paths.records, base.key));
    expect((await failure(() => t.store.renderTree(key))).code).toBe("IMAGE_UNVERIFIED");
  });
});

describe("tree hash", () => {
  function tree(): { readonly dir: string } & Disposable {
    const dir = mkdtempSync(join(tmpdir(), "rkt-hash-"));
    return { dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
  }

  test("is sha512 over the reference's JSON and the content, in lexical order", () => {
    using t = tree();
    mkdirSync(join(t.dir, "rootfs"), { mode: 0o755 });
    chmodSync(join(t.dir, "rootfs"), 0o755);
    writeFileSync(join(t.dir, "rootfs/<f>"), "hello", { mode: 0o644 });
    symlinkSync("f", join(t.dir, "rootfs/l"));
    linkSync(join(t.dir, "rootfs/<f>"), join(t.dir, "rootfs/z"));
    for (const name of ["manifest", "hash", "rendered", "image", "rendered.0.tmp"])
      writeFileSync(join(t.dir, name), name);
    const [uid, gid] = [process.geteuid?.() ?? 0, lstatSync(t.dir).gid];
    const header = (name: string, mode: number, rest: string): string =>
      `{"Name":"${name}","Mode":${mode},"Uid":${uid},"Gid":${gid},${rest},"Devmajor":0,"Devminor":0,"Xattrs":[]}`;
    const text = [
      header("rootfs", 0o755, '"Size":0,"Typeflag":53,"Linkname":""'),
      header("rootfs/\\u003cf\\u003e", 0o644, '"Size":5,"Typeflag":48,"Linkname":""'),
      "hello",
      header("rootfs/l", 0o777, '"Size":0,"Typeflag":50,"Linkname":"f"'),
      header("rootfs/z", 0o644, '"Size":0,"Typeflag":49,"Linkname":"rootfs/\\u003cf\\u003e"'),
    ].join("");
    const digest = createHash("sha512").update(text).digest("hex");
    expect(hashTree(t.dir)).toEqual({ hash: `sha512-${digest.slice(0, 64)}`, size: 5 });
  });

  test("does not depend on times", () => {
    using t = tree();
    mkdirSync(join(t.dir, "rootfs"));
    writeFileSync(join(t.dir, "rootfs/f"), "x");
    const before = hashTree(t.dir);
    utimesSync(join(t.dir, "rootfs/f"), 1, 1);
    expect(hashTree(t.dir)).toEqual(before);
  });

  test("tells names apart that are not UTF-8", () => {
    using t = tree();
    const path = (byte: number): Buffer =>
      Buffer.concat([Buffer.from(`${t.dir}/rootfs/`), Buffer.from([byte])]);
    mkdirSync(join(t.dir, "rootfs"));
    writeFileSync(path(0xfe), "x");
    const one = hashTree(t.dir);
    rmSync(path(0xfe));
    writeFileSync(path(0xff), "x");
    expect(hashTree(t.dir).hash).not.toBe(one.hash);
    expect(hashTree(t.dir).size).toBe(1);
  });

  test("a big file does not need big memory", () => {
    using t = tree();
    mkdirSync(join(t.dir, "rootfs"));
    writeFileSync(join(t.dir, "rootfs/f"), "");
    truncateSync(join(t.dir, "rootfs/f"), 64 << 20);
    expect(hashTree(t.dir).size).toBe(64 << 20);
  });

  test("is the same for an image however it was compressed", async () => {
    using a = testStore();
    using b = testStore();
    const bytes = makeAci({ files: { "a/b": "1", c: "2".repeat(300_000) } });
    const one = await a.store.renderTree((await addBytes(a.store, bytes)).key);
    const two = await b.store.renderTree((await addBytes(b.store, gzipSync(bytes))).key);
    expect(await a.store.checkTree(one.id)).toBe((await b.store.checkTree(two.id)) ?? "");
  });
});
