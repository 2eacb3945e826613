// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import {
  type ImageID,
  type ImageKey,
  imageKey,
  type Labels,
  parseACIdentifier,
} from "../appc/index.ts";
import { type Verification, verifyImage } from "../trust/verified-image.ts";
import { parseRecord, serializeRecord } from "./image-record.ts";
import { keyedPath } from "./keys.ts";
import { explainSystem } from "./layout.ts";
import { openStore } from "./store.ts";
import { addBytes, addImage, failure, makeAci, rawFile, testStore } from "./test-images.ts";

const isRoot = process.geteuid?.() === 0;
const app = parseACIdentifier("example.com/app");

function labels(values: Readonly<Record<string, string>>): Labels {
  return Object.entries(values).map(([name, value]) => ({ name: parseACIdentifier(name), value }));
}

function mode(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

describe("layout", () => {
  test("a full disk is said with what to do about it", () => {
    const full = Object.assign(new Error("write: no space left on device"), { code: "ENOSPC" });
    expect(explainSystem(full, "IMAGE_IMPORT", "cannot store the image")).toMatchObject({
      message: "cannot store the image",
      remedy: "rkt gc and rkt image gc, or make room on the file system",
      cause: full,
    });
  });

  test("a new data directory has the modes that the group rkt needs", () => {
    using t = testStore();
    const modes = Object.fromEntries(
      [
        ".",
        "tmp",
        "locks",
        "cas",
        "cas/db",
        "cas/imagelocks",
        "cas/imageManifest",
        "cas/blob",
        "cas/tmp",
      ]
        .concat(["cas/imageRecord", "cas/tree", "cas/treestorelocks"])
        .map((path) => [path, mode(join(t.dir, path))]),
    );
    expect(modes).toEqual({
      ".": "2750",
      tmp: "2750",
      locks: "2750",
      cas: "2770",
      "cas/db": "2770",
      "cas/imagelocks": "2770",
      "cas/imageManifest": "2770",
      "cas/blob": "2770",
      "cas/tmp": "2770",
      "cas/imageRecord": "2770",
      "cas/tree": "2700",
      "cas/treestorelocks": "2700",
    });
  });

  test("files in cas are 0660 whatever the umask", async () => {
    const umask = process.umask(0o077);
    try {
      using t = testStore();
      const { key } = await addImage(t.store);
      const { paths } = t.store;
      for (const root of [paths.blobs, paths.manifests, paths.records]) {
        expect(mode(keyedPath(root, key))).toBe("660");
        expect(mode(join(root, "sha512"))).toBe("2770");
      }
      expect(mode(paths.index)).toBe("660");
      expect(mode(join(paths.imageLocks, key))).toBe("660");
      expect(mode(paths.prepareLock)).toBe("660");
    } finally {
      process.umask(umask);
    }
  });

  test("modes that an administrator changed stay", () => {
    using t = testStore();
    chmodSync(t.dir, 0o2755);
    t.reopen();
    expect(mode(t.dir)).toBe("2755");
  });

  test("opening a store makes no index", () => {
    using t = testStore();
    expect(existsSync(t.store.paths.index)).toBe(false);
  });

  test("a data directory below a file is a sentence", async () => {
    using t = testStore();
    const file = join(t.dir, "file");
    writeFileSync(file, "");
    const error = await failure(() => openStore(join(file, "data")));
    expect(error.message).toContain("a part of the path is not a directory");
    expect(error.code).toBe("STORE_LAYOUT");
  });
});

describe("import", () => {
  test("a plain tar becomes a blob under its own hash, without a copy", async () => {
    using t = testStore();
    const bytes = makeAci({ files: { "bin/app": "program" } });
    const hex = createHash("sha512").update(bytes).digest("hex");
    using raw = rawFile(t.store, bytes);
    const inode = statSync(raw.path).ino;
    const { acceptUnverified } = await import("../trust/verified-image.ts");
    const record = await t.store.importImage(acceptUnverified(raw, "test"), { latest: true });
    expect(record.id as string).toBe(`sha512-${hex}`);
    expect(record.key as string).toBe(`sha512-${hex.slice(0, 64)}`);
    expect(record.size).toBe(bytes.length);
    const blob = join(t.dir, "cas/blob/sha512", hex.slice(0, 2), record.key);
    expect(statSync(blob).ino).toBe(inode);
    expect(existsSync(raw.path)).toBe(false);
    expect(readdirSync(t.store.tmpDir)).toEqual([]);
  });

  for (const [name, compress] of [
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
  ] as const) {
    test(`a ${name} image has the ID of its tar, and nothing stays in cas/tmp`, async () => {
      using t = testStore();
      const bytes = makeAci({ files: { data: "x".repeat(3_000_000) } });
      const { key } = await addBytes(t.store, compress(bytes));
      expect(readFileSync(keyedPath(t.store.paths.blobs, key)).equals(bytes)).toBe(true);
      expect(key as string).toBe(
        imageKey(`sha512-${createHash("sha512").update(bytes).digest("hex")}`),
      );
      expect(readdirSync(t.store.tmpDir)).toEqual([]);
    });
  }

  test("the same image twice is one image with the newer time", async () => {
    using t = testStore();
    const first = await addImage(t.store);
    const second = await addBytes(t.store, gzipSync(makeAci({})));
    expect(second.key).toBe(first.key);
    expect(t.store.listImages().length).toBe(1);
    expect(second.importTime.getTime()).toBeGreaterThanOrEqual(first.importTime.getTime());
  });

  test("many imports of the same image at once are one image", async () => {
    using t = testStore();
    const stores = [t.store, t.reopen(), t.reopen()];
    await Promise.all(
      stores.flatMap((store) => [addImage(store), addBytes(store, gzipSync(makeAci({})))]),
    );
    expect(t.store.listImages().length).toBe(1);
    expect(readdirSync(t.store.tmpDir)).toEqual([]);
  });

  test("two processes that import the same image have one image", async () => {
    using t = testStore();
    const script = `
      const { openStore } = await import(${JSON.stringify(join(import.meta.dir, "store.ts"))});
      const { addImage } = await import(${JSON.stringify(join(import.meta.dir, "test-images.ts"))});
      using store = openStore(process.argv[1]);
      console.log((await addImage(store, { files: { a: "b" } })).key);`;
    const run = () => Bun.spawn([process.execPath, "-e", script, t.dir], { stderr: "inherit" });
    const processes = [run(), run(), run()];
    const keys = await Promise.all(processes.map(({ stdout }) => new Response(stdout).text()));
    expect(new Set(keys).size).toBe(1);
    expect(t.store.listImages().map(({ key }) => `${key}\n`)).toEqual([keys[0] ?? ""]);
  });

  for (const [what, bytes, message] of [
    ["text", Buffer.from("hello\n"), "error: unknown image filetype"],
    ["an empty file", Buffer.alloc(0), "error: unknown image filetype"],
    ["an archive without rootfs", makeAci({}).subarray(0, 0x400), ""],
    [
      "a manifest without a name",
      makeAci({ manifest: '{"acKind":"ImageManifest"}' }),
      "error extracting image manifest",
    ],
    ["a manifest that is no JSON", makeAci({ manifest: "{" }), "error extracting image manifest"],
    ["a cut gzip", gzipSync(makeAci({})).subarray(0, 100), ""],
  ] as const) {
    test(`${what} is refused and leaves only the caller's file`, async () => {
      using t = testStore();
      using raw = rawFile(t.store, bytes);
      const { acceptUnverified } = await import("../trust/verified-image.ts");
      const error = await failure(() =>
        t.store.importImage(acceptUnverified(raw, "test"), { latest: false }),
      );
      expect(error.message).toContain(message);
      expect(error.code).toBeString();
      expect(readdirSync(t.store.tmpDir)).toEqual([raw.path.slice(t.store.tmpDir.length + 1)]);
      expect(t.store.listImages()).toEqual([]);
      expect(existsSync(join(t.store.paths.blobs, "sha512"))).toBe(false);
    });
  }

  test("a file that was replaced after it was verified is refused", async () => {
    using t = testStore();
    using raw = rawFile(t.store, makeAci({}));
    const { acceptUnverified } = await import("../trust/verified-image.ts");
    const image = acceptUnverified(raw, "test");
    writeFileSync(`${raw.path}.other`, makeAci({ name: "example.com/evil" }));
    renameSync(`${raw.path}.other`, raw.path);
    const error = await failure(() => t.store.importImage(image, { latest: false }));
    expect(error.message).toContain("was replaced after it had been verified");
  });

  test("a value that did not come through the gate is refused", async () => {
    using t = testStore();
    using raw = rawFile(t.store, makeAci({}));
    const verification: Verification = { kind: "unverified", reason: "", acceptedAt: "" };
    const fake = { raw, verification } as unknown as Parameters<typeof t.store.importImage>[0];
    const error = await failure(() => t.store.importImage(fake, { latest: false }));
    expect(error.message).toContain("past the trust gate");
  });

  test("who let the image in stays with it", async () => {
    using t = testStore();
    const { key, verification } = await addImage(t.store);
    expect(verification).toMatchObject({ kind: "unverified", reason: "test" });
    expect(t.reopen().record(key).verification).toEqual(verification);
    expect(t.reopen().verification(key)).toEqual(verification);
  });

  test("an import without a signature does not undo a signature that was checked", async () => {
    using t = testStore();
    const { key } = await addImage(t.store);
    const path = keyedPath(t.store.paths.records, key);
    const record = parseRecord(readFileSync(path, "utf8"), key);
    if (record === undefined) throw new Error("no record");
    const verification: Verification = {
      kind: "openpgp",
      fingerprint: "ab".repeat(20),
      identities: ["A <a@example.com>"],
      prefix: "example.com",
      verifiedAt: "2026-01-01T00:00:00.000Z",
    };
    writeFileSync(path, serializeRecord({ ...record, verification }));
    expect((await addImage(t.store)).verification).toEqual(verification);
    expect(verifyImage).toBeFunction();
  });
});

describe("look-up", () => {
  test("a prefix of two digits or more finds the image; a full ID is cut to the key", async () => {
    using t = testStore();
    const { key, id } = await addImage(t.store);
    expect(t.store.resolveKey(key.slice(0, 9))).toBe(key);
    expect(t.store.resolveKey(key)).toBe(key);
    expect(t.store.resolveKey(id)).toBe(key);
    expect(existsSync(t.store.paths.index)).toBe(true);
  });

  test("a prefix that is too short, unknown, ambiguous or hostile is the reference's error", async () => {
    using t = testStore();
    const { key } = await addImage(t.store);
    const twin = `${key.slice(0, 20)}${"0".repeat(51)}` as ImageKey;
    writeFileSync(keyedPath(t.store.paths.blobs, twin), "");
    const message = async (prefix: string): Promise<string> =>
      (await failure(() => t.store.resolveKey(prefix))).message;
    expect(await message(key.slice(0, 8))).toBe("image ID too short");
    expect(await message("sha512-")).toBe("image ID too short");
    expect(await message(key.slice(0, 12))).toBe(`ambiguous image ID: "${key.slice(0, 12)}"`);
    expect(await message("sha512-zz")).toBe("no image IDs found");
    expect(await message("sha512-../../../../etc/passwd")).toBe("no image IDs found");
    expect(await message("sha512-0123456789")).toBe("no image IDs found");
    expect(await failure(() => t.store.resolveKey("sha512-0123456789"))).toMatchObject({
      remedy: 'look for "sha512-0123456789" in the list of: rkt image list --full',
      details: { image: "sha512-0123456789" },
    });
    expect(await failure(() => t.store.resolveKey("sha512-0"))).toHaveProperty(
      "remedy",
      'sha512- and at least 2 digits of the ID; got "sha512-0"',
    );
  });

  test("all requested labels must be there with these values", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, { labels: { version: "1.0.0" } });
    const find = (wanted: Readonly<Record<string, string>>) =>
      t.store.findByName(app, labels(wanted));
    expect(find({})).toBe(key);
    expect(find({ version: "1.0.0", os: "linux" })).toBe(key);
    expect(find({ version: "2.0.0" })).toBeUndefined();
    expect(find({ channel: "stable" })).toBeUndefined();
    expect(t.store.findByName(parseACIdentifier("example.com/ap"), [])).toBeUndefined();
  });

  test("without a version the image marked latest wins, with one the newest import", async () => {
    using t = testStore();
    const latest = await addImage(t.store, { labels: { version: "1.0.0" } }, { latest: true });
    await Bun.sleep(2);
    const old = await addImage(t.store, { labels: { version: "2.0.0" }, files: { a: "1" } });
    await Bun.sleep(2);
    const newer = await addImage(t.store, { labels: { version: "2.0.0" }, files: { a: "2" } });
    expect(t.store.findByName(app, [])).toBe(latest.key);
    expect(t.store.findByName(app, labels({ version: "2.0.0" }))).toBe(newer.key);
    await Bun.sleep(2);
    await addImage(t.store, { labels: { version: "2.0.0" }, files: { a: "1" } });
    expect(t.store.findByName(app, labels({ version: "2.0.0" }))).toBe(old.key);
  });

  test("IMAGE of rkt image is a hash or a name", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, { labels: { version: "1.0.0" } });
    expect(t.store.resolveImage(key.slice(0, 19))).toBe(key);
    expect(t.store.resolveImage("example.com/app:1.0.0")).toBe(key);
    expect(t.store.resolveImage("example.com/app,version=1.0.0,os=linux")).toBe(key);
    const missing = await failure(() => t.store.resolveImage("example.com/none"));
    expect(missing.message).toBe("cannot find image");
    expect((missing.cause as Error).message).toBe('no image "example.com/none" in the store');
    const unknown = await failure(() => t.store.resolveImage("sha512-00"));
    expect(unknown.message).toBe("cannot resolve image ID");
    expect((unknown.cause as Error).message).toBe("no image IDs found");
  });

  test("the manifest is what the image says", async () => {
    using t = testStore();
    const { key } = await addImage(t.store, { labels: { version: "1.0.0" } });
    expect(t.reopen().manifest(key).labels).toEqual(
      expect.arrayContaining([...labels({ version: "1.0.0" })]),
    );
    const error = await failure(() => t.store.manifest(imageKey(`sha512-${"0".repeat(64)}`)));
    expect(error.code).toBe("IMAGE_NOT_FOUND");
  });
});

describe("URLs", () => {
  test("a URL's record is replaced, and gone with its image", async () => {
    using t = testStore();
    const { key } = await addImage(t.store);
    const record = {
      url: "https://example.com/app.aci",
      signatureUrl: "https://example.com/app.aci.asc",
      etag: '"1"',
      maxAge: 60,
      key,
      downloadTime: new Date(1_700_000_000_000),
    };
    expect(t.store.remote(record.url)).toBeUndefined();
    t.store.putRemote(record);
    t.store.putRemote({ ...record, etag: '"2"' });
    expect(t.reopen().remote(record.url)).toEqual({ ...record, etag: '"2"' });
    t.store.removeImage(key);
    expect(t.store.remote(record.url)).toBeUndefined();
  });

  test("what is known of a URL is found without its user and password, and has neither", async () => {
    using t = testStore();
    const { key } = await addImage(t.store);
    const url = "https://user:secret@example.com/app.aci";
    t.store.putRemote({
      url,
      signatureUrl: `${url}.asc`,
      etag: '"1"',
      maxAge: 60,
      key,
      downloadTime: new Date(1_700_000_000_000),
    });
    expect(t.store.remote(url)?.key).toBe(key);
    expect(t.store.remote("https://user:changed@example.com/app.aci")?.key).toBe(key);
    expect(readFileSync(t.store.paths.index).includes("secret")).toBe(false);
  });
});

describe("removal and export", () => {
  test("removing an image leaves no file of it", async () => {
    using t = testStore();
    const { key } = await addImage(t.store);
    t.store.removeImage(key);
    expect(t.store.listImages()).toEqual([]);
    const { paths } = t.store;
    for (const root of [paths.blobs, paths.manifests, paths.records]) {
      expect(existsSync(keyedPath(root, key))).toBe(false);
    }
    expect(readdirSync(paths.imageLocks)).toEqual([]);
    expect((await failure(() => t.store.removeImage(key))).code).toBe("IMAGE_NOT_FOUND");
    expect((await failure(() => t.store.record(key))).code).toBe("IMAGE_NOT_FOUND");
  });

  test("export writes the tar, 0644, and marks the image as used", async () => {
    using t = testStore();
    const bytes = makeAci({});
    const { key, lastUsed } = await addBytes(t.store, bytes);
    await Bun.sleep(2);
    const out = join(t.dir, "out.aci");
    await t.store.exportBlob(key, out, { overwrite: false });
    expect(readFileSync(out).equals(bytes)).toBe(true);
    expect(mode(out)).toBe("644");
    expect(t.store.record(key).lastUsed.getTime()).toBeGreaterThan(lastUsed.getTime());
    const error = await failure(() => t.store.exportBlob(key, out, { overwrite: false }));
    expect(error.message).toBe("output ACI file exists (try --overwrite)");
    await t.store.exportBlob(key, out, { overwrite: true });
  });

  test("export of a damaged image is an error and leaves no file", async () => {
    using t = testStore();
    const { key } = await addImage(t.store);
    appendFileSync(keyedPath(t.store.paths.blobs, key), "x");
    const out = join(t.dir, "out.aci");
    const error = await failure(() => t.store.exportBlob(key, out, { overwrite: false }));
    expect(error.message).toContain("image hash does not match expected (");
    expect(readdirSync(t.dir).filter((name) => name.startsWith("out"))).toEqual([]);
  });

  test("openBlob gives the tar", async () => {
    using t = testStore();
    const { key, size } = await addImage(t.store);
    const fd = t.store.openBlob(key);
    expect(readFileSync(fd).length).toBe(size);
    closeSync(fd);
  });
});

describe("index", () => {
  test("a missing index is made again from the files, verification included", async () => {
    using t = testStore();
    await addImage(t.store, { labels: { version: "1.0.0" } }, { latest: true });
    await addImage(t.store, { name: "example.com/other" });
    const before = t.store.listImages();
    t.store[Symbol.dispose]();
    rmSync(t.store.paths.index);
    expect(t.reopen().listImages()).toEqual(before);
  });

  for (const [what, damage] of [
    ["of zeros", (path: string) => writeFileSync(path, Buffer.alloc(8192))],
    ["cut to nothing", (path: string) => writeFileSync(path, "")],
    ["of text", (path: string) => writeFileSync(path, "not a database".repeat(1000))],
    [
      "with a broken table page",
      (path: string) => {
        const bytes = readFileSync(path);
        writeFileSync(path, bytes.fill(0xff, 4096));
      },
    ],
  ] as const) {
    test(`an index ${what} is made again`, async () => {
      using t = testStore();
      const { key } = await addImage(t.store);
      t.store[Symbol.dispose]();
      damage(t.store.paths.index);
      const store = t.reopen();
      expect(store.findByName(app, [])).toBe(key);
      expect(store.listImages().map((image) => image.key)).toEqual([key]);
      expect(readdirSync(store.paths.db)).toEqual(["index.sqlite"]);
    });
  }

  test("an index of a newer rkt is left alone, with the reference's sentence", async () => {
    using t = testStore();
    await addImage(t.store);
    t.store[Symbol.dispose]();
    const { Database } = await import("bun:sqlite");
    const db = new Database(t.store.paths.index);
    db.run("UPDATE version SET version = 99");
    db.close();
    const error = await failure(() => t.reopen().listImages());
    expect(error.message).toBe(
      "current store db version: 99 (greater than the current rkt expected version: 8)",
    );
  });

  test("an image whose record is lost is listed as unknown, not found by name, and not used", async () => {
    using t = testStore();
    const { key } = await addImage(t.store);
    t.store[Symbol.dispose]();
    rmSync(keyedPath(t.store.paths.records, key));
    rmSync(t.store.paths.index);
    const store = t.reopen();
    expect(store.listImages()[0]?.verification).toEqual({ kind: "unknown" });
    expect(store.resolveKey(key)).toBe(key);
    expect(store.findByName(app, [])).toBeUndefined();
    for (const use of [() => store.renderTree(key), () => store.renderInto(key, t.dir)]) {
      const error = await failure(use);
      expect(error.code).toBe("IMAGE_UNVERIFIED");
      expect(error.message).toContain("no record of who verified it");
    }
    // Fetching it again settles the matter.
    await addImage(store);
    expect(store.findByName(app, [])).toBe(key);
  });

  test("a record of another image is no record", async () => {
    using t = testStore();
    const one = await addImage(t.store);
    const two = await addImage(t.store, { name: "example.com/other" });
    const { records } = t.store.paths;
    renameSync(keyedPath(records, one.key), keyedPath(records, two.key));
    expect(t.store.verification(two.key)).toEqual({ kind: "unknown" });
  });

  test("an old store of rkt 1.x opens: its images are unknown until they are fetched again", async () => {
    using t = testStore();
    const { key } = await addImage(t.store);
    t.store[Symbol.dispose]();
    rmSync(t.store.paths.records, { recursive: true });
    rmSync(t.store.paths.index);
    writeFileSync(join(t.store.paths.db, "ql.db"), "ql");
    const store = t.reopen();
    expect(store.listImages()).toMatchObject([{ key, id: key as string as ImageID, name: app }]);
  });
});

test("an image that a power failure cut off is not found by name or URL, and heals when it is fetched", async () => {
  using t = testStore();
  const { key } = await addImage(t.store);
  const url = "https://example.com/app.aci";
  const remote = { url, signatureUrl: "", etag: "", maxAge: 0, key, downloadTime: new Date() };
  t.store.putRemote(remote);
  truncateSync(keyedPath(t.store.paths.blobs, key), 1000);
  expect(t.store.findByName(app, [])).toBeUndefined();
  expect(t.store.remote(url)).toBeUndefined();
  await addImage(t.store);
  expect(t.store.findByName(app, [])).toBe(key);
  expect(t.store.remote(url)).toEqual(remote);
});

test.if(isRoot)("a member of the group reads the store, others get a sentence", async () => {
  using t = testStore();
  await addImage(t.store);
  t.store[Symbol.dispose]();
  chmodSync(join(t.dir, ".."), 0o755);
  const group = 4242;
  Bun.spawnSync(["chgrp", "-R", String(group), t.dir]);
  // chgrp clears no bits of directories, but the setgid bit of files it may: there are none.
  const script = `
    const { openStore } = await import(${JSON.stringify(join(import.meta.dir, "store.ts"))});
    const { addImage } = await import(${JSON.stringify(join(import.meta.dir, "test-images.ts"))});
    try {
      using store = openStore(process.argv[1]);
      await addImage(store, { files: { by: "member" } });
      { using lock = store.lockPrepare("exclusive"); store.collectTrees(new Set()); }
      store.removeStale({ now: new Date(), gracePeriodMs: 0 });
      console.log(store.listImages().length);
    } catch (error) { console.log(error.code, error.message); }`;
  // The project may lie below a directory that only root may enter.
  const readable =
    Bun.spawnSync([
      "setpriv",
      "--reuid=4243",
      "--regid=4242",
      "--clear-groups",
      "test",
      "-r",
      import.meta.path,
    ]).exitCode === 0;
  if (!readable) {
    console.log("skipped: an unprivileged user cannot read the project");
    return;
  }
  const as = (gid: number): string =>
    Bun.spawnSync(
      [
        "setpriv",
        "--reuid=4243",
        `--regid=${gid}`,
        "--clear-groups",
        process.execPath,
        "-e",
        script,
        t.dir,
      ],
      { stderr: "inherit", env: { ...process.env, HOME: "/nonexistent" } },
    ).stdout.toString();
  expect(as(4242)).toBe("2\n");
  expect(as(4243)).toBe(`STORE_PERMISSION cannot use the data directory "${t.dir}"\n`);
  // What the member wrote is root's and the group's to use.
  expect(t.reopen().listImages().length).toBe(2);
});
