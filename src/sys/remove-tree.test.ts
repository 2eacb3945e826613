// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeTree } from "./remove-tree.ts";

let top: string;
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "rkt-remove-"));
});
afterEach(() => rmSync(top, { recursive: true, force: true }));

test("a tree goes with all kinds of entries, and nothing that its links lead to", () => {
  const kept = join(top, "kept");
  mkdirSync(kept);
  writeFileSync(join(kept, "file"), "x");
  const tree = join(top, "tree");
  mkdirSync(join(tree, "a/b/c"), { recursive: true });
  mkdirSync(join(tree, "a/d/e"), { recursive: true });
  for (const name of ["a/f", "a/b/g", "a/d/e/h"]) writeFileSync(join(tree, name), "x");
  symlinkSync(kept, join(tree, "a/link"));
  Bun.spawnSync(["mkfifo", join(tree, "a/fifo")]);
  Bun.spawnSync([
    "sh",
    "-c",
    `mkdir "$(printf '${tree}/\\377')" && : > "$(printf '${tree}/\\377/\\376')"`,
  ]);
  removeTree(tree);
  expect(readdirSync(top)).toEqual(["kept"]);
  expect(readdirSync(kept)).toEqual(["file"]);
});

test("a file, a link and nothing at all go as well", () => {
  writeFileSync(join(top, "file"), "x");
  symlinkSync(top, join(top, "link"));
  for (const name of ["file", "link", "none"]) removeTree(join(top, name));
  expect(readdirSync(top)).toEqual([]);
});

test("a tree far deeper than a path can be long goes", () => {
  const deep = join(top, "deep");
  mkdirSync(deep);
  const cwd = process.cwd();
  try {
    // Each chain hangs below the end of the one before: no path is ever too long for mkdir.
    process.chdir(deep);
    for (let i = 0; i < 200; i++) {
      const chain = Array.from({ length: 30 }, () => "d".repeat(100)).join("/");
      mkdirSync(chain, { recursive: true });
      process.chdir(top);
      Bun.spawnSync(["mv", join(deep, "d".repeat(100)), join(top, "below")]);
      mkdirSync(join(deep, chain), { recursive: true });
      Bun.spawnSync(["mv", join(top, "below"), join(deep, chain, "below")]);
      process.chdir(deep);
    }
  } finally {
    process.chdir(cwd);
  }
  removeTree(deep);
  expect(existsSync(deep)).toBe(false);
});
