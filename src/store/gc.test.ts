// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { lockFile } from "../sys/lock.ts";
import { keyedPath } from "./keys.ts";
import { createTemporary } from "./temporary.ts";
import { addImage, testStore } from "./test-images.ts";

const HOUR = 3_600_000;
const now = () => new Date();

test("a temporary file of a dead import goes, one of a living import stays", () => {
  using t = testStore();
  using living = createTemporary(t.store.tmpDir);
  const dead = join(t.store.tmpDir, "import-dead");
  writeFileSync(dead, "x");
  expect(t.store.removeStale({ now: now(), gracePeriodMs: HOUR })).toEqual([dead]);
  expect(existsSync(living.path)).toBe(true);
});

test("a broken-off download is kept for the grace period, and while somebody has it locked", () => {
  using t = testStore();
  const path = join(t.store.tmpDir, `sha512-${"0".repeat(64)}`);
  writeFileSync(path, "half");
  const stale = () => t.store.removeStale({ now: now(), gracePeriodMs: HOUR });
  expect(stale()).toEqual([]);
  utimesSync(path, 1, 1);
  {
    using _lock = lockFile(path, "exclusive");
    utimesSync(path, 1, 1);
    expect(stale()).toEqual([]);
  }
  expect(stale()).toEqual([path]);
});

test("links and FIFOs that somebody put there are removed, not opened", () => {
  using t = testStore();
  const elsewhere = join(t.dir, "elsewhere");
  mkdirSync(elsewhere);
  writeFileSync(join(elsewhere, "kept"), "x");
  const at = (name: string) => join(t.store.tmpDir, name);
  symlinkSync(elsewhere, at("import-a"));
  symlinkSync("/nonexistent", at("import-b"));
  Bun.spawnSync(["mkfifo", at("import-c")]);
  const removed = t.store.removeStale({ now: now(), gracePeriodMs: HOUR });
  expect(removed).toEqual(["import-a", "import-b", "import-c"].map(at));
  expect(readdirSync(elsewhere)).toEqual(["kept"]);
});

test("a link in place of an image's lock leads nowhere", async () => {
  using t = testStore();
  const { key } = await addImage(t.store);
  const lock = join(t.store.paths.imageLocks, key);
  rmSync(lock);
  symlinkSync(join(t.dir, "made-elsewhere"), lock);
  expect(() => t.store.removeImage(key)).toThrow();
  expect(existsSync(join(t.dir, "made-elsewhere"))).toBe(false);
});

test("an import that died before its blob was in place leaves nothing", async () => {
  using t = testStore();
  const { key } = await addImage(t.store);
  const { paths } = t.store;
  t.store.removeImage(key);
  const left = [
    keyedPath(paths.manifests, key),
    keyedPath(paths.records, key),
    `${keyedPath(paths.records, key)}.tmp`,
  ];
  for (const path of left) writeFileSync(path, "x");
  writeFileSync(join(paths.imageLocks, key), "");
  const removed = t.store.removeStale({ now: now(), gracePeriodMs: HOUR });
  expect([...removed].sort()).toEqual([...left, join(paths.imageLocks, key)].sort());
});

test("an import that died before its index row was written is found again by gc", async () => {
  using t = testStore();
  const { key } = await addImage(t.store);
  t.store[Symbol.dispose]();
  const { Database } = await import("bun:sqlite");
  const db = new Database(t.store.paths.index);
  db.run("DELETE FROM aciinfo");
  db.close();
  const store = t.reopen();
  expect(store.listImages()).toEqual([]);
  store.reconcile();
  expect(store.listImages().map((image) => image.key)).toEqual([key]);
});

test("a removal that died after the blob was gone is finished by gc", async () => {
  using t = testStore();
  const { key } = await addImage(t.store);
  rmSync(keyedPath(t.store.paths.blobs, key));
  expect(t.store.listImages()).toEqual([]);
  t.store.collectImages({ inUse: new Set(), gracePeriodMs: HOUR, now: now() });
  t.store.removeStale({ now: now(), gracePeriodMs: HOUR });
  for (const root of [t.store.paths.manifests, t.store.paths.records]) {
    expect(existsSync(keyedPath(root, key))).toBe(false);
    expect(readdirSync(dirname(keyedPath(root, key)))).toEqual([]);
  }
  expect(t.store.remote("https://example.com")).toBeUndefined();
});

test("images go when they were not used for the grace period, the oldest first, used ones never", async () => {
  using t = testStore();
  const keys = [];
  for (const name of ["a", "b", "c"]) {
    keys.push((await addImage(t.store, { name: `example.com/${name}` })).key);
    await Bun.sleep(2);
  }
  const [a, b, c] = keys;
  if (a === undefined || b === undefined || c === undefined) throw new Error("no images");
  const collect = (at: number, inUse: readonly (typeof a)[] = []) =>
    t.store.collectImages({ inUse: new Set(inUse), gracePeriodMs: HOUR, now: new Date(at) });
  expect(collect(Date.now())).toEqual([]);
  const middle = t.store.record(b).lastUsed.getTime() + HOUR;
  expect(collect(middle, [a])).toEqual([b]);
  expect(t.store.listImages().map(({ key }) => key)).toEqual([a, c]);
  expect(collect(Date.now() + 2 * HOUR)).toEqual([a, c]);
  expect(readdirSync(t.store.paths.imageLocks)).toEqual([]);
});

test("trees that no pod uses go; half-made ones too", async () => {
  using t = testStore();
  const used = await t.store.renderTree((await addImage(t.store, { name: "example.com/a" })).key);
  const other = await addImage(t.store, { name: "example.com/b", files: { f: "123" } });
  const unused = await t.store.renderTree(other.key);
  expect(t.store.record(other.key).treeSize).toBe(3);
  const half = join(t.dir, "cas/tree", `deps-sha512-${"0".repeat(64)}`);
  mkdirSync(half);
  {
    using _lock = t.store.lockPrepare("exclusive");
    expect([...t.store.collectTrees(new Set([used.id]))].sort()).toEqual(
      [unused.id, half.slice(-76) as typeof unused.id].sort(),
    );
  }
  expect(readdirSync(join(t.dir, "cas/tree"))).toEqual([used.id]);
  expect(t.store.record(other.key).treeSize).toBe(0);
});

test("a tree that somebody renders now is left alone", async () => {
  using t = testStore();
  const { key } = await addImage(t.store);
  const { id, rootfs } = await t.store.renderTree(key);
  renameSync(join(rootfs, "../rendered"), join(rootfs, "../was-rendered"));
  {
    using _lock = lockFile(join(t.dir, "cas/treestorelocks", id), "exclusive");
    expect(t.store.removeStale({ now: now(), gracePeriodMs: 0 })).toEqual([]);
    expect(t.store.collectTrees(new Set())).toEqual([]);
  }
  expect(t.store.removeStale({ now: now(), gracePeriodMs: 0 })).toEqual([
    join(t.dir, "cas/tree", id),
  ]);
});

test("gc of an empty store, and of one with odd files, does nothing", () => {
  using t = testStore();
  mkdirSync(join(t.store.paths.blobs, "sha512", "ab"), { recursive: true });
  writeFileSync(join(t.store.paths.blobs, "sha512", "ab", "README"), "");
  writeFileSync(join(t.dir, "cas/tree", "README"), "");
  const options = { now: now(), gracePeriodMs: 0 };
  expect(t.store.collectImages({ ...options, inUse: new Set() })).toEqual([]);
  expect(t.store.collectTrees(new Set())).toEqual([]);
  expect(t.store.removeStale(options)).toEqual([]);
});
