// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { closeSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { readTar } from "../tar/read.ts";
import { startHash } from "./hash-thread.ts";
import { type HashPart, predictTree } from "./predict-tree.ts";
import { addImage, type TestFile, type TestImage, testStore } from "./test-images.ts";
import { hashTree, matchHeaders, treeHashOf } from "./tree-hash.ts";

const isRoot = process.geteuid?.() === 0;

type Digest = (fd: number, parts: readonly HashPart[]) => string;

function digestInThread(fd: number, parts: readonly HashPart[]): string {
  using thread = startHash(fd, parts);
  return thread.digest() ?? "";
}

function digestHere(fd: number, parts: readonly HashPart[]): string {
  const blob = readFileSync(`/proc/self/fd/${fd}`);
  const hash = createHash("sha512");
  for (const part of parts) {
    if (typeof part === "string") hash.update(part);
    else hash.update(blob.subarray(part.offset, part.offset + part.length));
  }
  return hash.digest("hex");
}

/** The tree hash as predicted from the archive, and as the rendered tree has it. */
async function both(
  image: TestImage,
  digest: Digest = digestHere,
): Promise<{ readonly predicted: string; readonly actual: string }> {
  using t = testStore();
  const { key } = await addImage(t.store, image);
  const { rootfs } = await t.store.renderTree(key);
  const directory = join(rootfs, "..");
  const fd = t.store.openBlob(key);
  try {
    const parts = predictTree(readTar(fd));
    const headers = parts.filter((part) => typeof part === "string");
    const predicted = treeHashOf(digest(fd, parts));
    const { hash, size } = hashTree(directory);
    expect(matchHeaders(directory, headers.values())).toEqual({ size });
    expect(matchHeaders(directory, headers.slice(1).values())).toBeUndefined();
    expect(matchHeaders(directory, [...headers, ""].values())).toBeUndefined();
    return { predicted, actual: hash };
  } finally {
    closeSync(fd);
  }
}

test.if(isRoot)("every kind of entry is predicted as it is rendered", async () => {
  const { predicted, actual } = await both(
    {
      files: {
        "z/deep/file": { text: "no entries for the directories", uid: 3, gid: 4, mode: 0o4711 },
        d: { kind: "directory", mode: 0o1777, uid: 1, gid: 2 },
        "d/empty": "",
        "d/<&>": "escaped",
        "d/é\u{10000}\uffee": "order of bytes",
        "d/\udcff": "not UTF-8",
        "b/first": "linked",
        "a/link": { kind: "hardlink", linkName: "rootfs/b/first" },
        "c/chain": { kind: "hardlink", linkName: "rootfs/a/link" },
        sym: { kind: "symlink", linkName: "../\udcfe<x>", uid: 9 },
        fifo: { kind: "fifo", mode: 0o600 },
        fifo2: { kind: "hardlink", linkName: "rootfs/fifo" },
      },
    },
    digestInThread,
  );
  expect(predicted).toBe(actual);
});

test.if(isRoot)("a big image gets the hash that a check of its tree finds", async () => {
  using t = testStore();
  const { key } = await addImage(t.store, {
    files: { big: "0123456789abcdef".repeat(2 << 20), "bin/app": "x" },
  });
  const { id, rootfs } = await t.store.renderTree(key);
  expect(await t.store.checkTree(id)).toBe(readFileSync(join(rootfs, "../hash"), "utf8"));
});

const path = fc
  .array(fc.constantFrom("a", "b", "c.d", "c-"), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join("/"));

/** Files whose names do not clash: no file where another name needs a directory. */
const files = fc
  .uniqueArray(fc.tuple(path, fc.string({ maxLength: 5 }), fc.boolean()), {
    selector: ([name]) => name,
    maxLength: 8,
  })
  .map((entries) =>
    entries.filter(([name]) => !entries.some(([other]) => other.startsWith(`${name}/`))),
  )
  .map((entries) => {
    const result: Record<string, TestFile> = {};
    let previous: string | undefined;
    for (const [name, text, isLink] of entries) {
      const isHardlink = isLink && previous !== undefined;
      result[name] = isHardlink ? { kind: "hardlink", linkName: `rootfs/${previous}` } : { text };
      previous = name;
    }
    return result;
  });

test.if(isRoot)("property: the prediction is what is rendered", async () => {
  await fc.assert(
    fc.asyncProperty(files, async (each) => {
      const { predicted, actual } = await both({ files: each });
      expect(predicted).toBe(actual);
    }),
    { numRuns: 25 },
  );
});
