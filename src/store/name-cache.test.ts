// SPDX-License-Identifier: Apache-2.0

import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { type TempDir, tempDir } from "../../tests/support/temp.ts";
import { ensureLayout, type StorePaths, storePaths } from "./layout.ts";
import { askByName } from "./name-cache.ts";

let dir: TempDir;
let paths: StorePaths;
let asked = 0;

beforeEach(() => {
  dir = tempDir("name-cache");
  paths = storePaths(dir.join("data"));
  ensureLayout(paths);
  asked = 0;
  change("CREATE TABLE t (x)");
});
afterEach(() => dir[Symbol.dispose]());

function change(sql: string): void {
  using db = new Database(paths.index);
  db.run(sql);
}

const accept = (value: unknown): string | undefined =>
  typeof value === "string" ? value : undefined;

function ask(name: string, answer = `answer ${name}`): string {
  return askByName(paths, name, {
    accept,
    ask: () => {
      asked++;
      return answer;
    },
  });
}

test("an index that has not changed is asked once for each name", () => {
  for (let i = 0; i < 3; i++) {
    expect(ask("a")).toBe("answer a");
    expect(ask("b")).toBe("answer b");
  }
  expect(asked).toBe(2);
  expect(statSync(paths.nameCache).mode & 0o777).toBe(0o660);
});

test("any transaction makes the index be asked again", () => {
  ask("a");
  change("INSERT INTO t VALUES (1)");
  expect(ask("a", "new")).toBe("new");
  expect(ask("a", "newer")).toBe("new");
  expect(asked).toBe(2);
});

test("an answer that is older than a change made meanwhile is not kept", () => {
  const answer = askByName(paths, "a", {
    accept,
    ask: () => {
      change("INSERT INTO t VALUES (1)");
      return "old";
    },
  });
  expect(answer).toBe("old");
  expect(ask("a", "new")).toBe("new");
});

test("a damaged cache, or one that means something else, is made again", () => {
  ask("a");
  const good = readFileSync(paths.nameCache, "utf8");
  const state = JSON.parse(good).index;
  const bad = [
    "",
    good.slice(0, -3),
    `${good}}`,
    "null",
    "[]",
    "7",
    '{"index":1,"names":{}}',
    JSON.stringify({ index: state, names: null }),
    JSON.stringify({ index: state, names: { a: 7 } }),
    JSON.stringify({ index: "0 0 0", names: { a: "of another index" } }),
  ];
  for (const text of bad) {
    writeFileSync(paths.nameCache, text);
    expect(ask("a", "new")).toBe("new");
    expect(ask("a", "newer")).toBe("new");
  }
});

test("names that are properties of every object are only names", () => {
  for (const name of ["__proto__", "constructor", "toString"]) {
    expect(ask(name)).toBe(`answer ${name}`);
    expect(ask(name, "again")).toBe(`answer ${name}`);
  }
});

test("the cache stays small", () => {
  for (let i = 0; i < 40; i++) ask(`name-${i}`);
  expect(Object.keys(JSON.parse(readFileSync(paths.nameCache, "utf8")).names)).toHaveLength(16);
  const large = "x".repeat(70_000);
  expect(ask("large", large)).toBe(large);
  expect(ask("name-39", "asked again")).toBe("answer name-39");
});

test("without an index, or without the right to write, there is no cache", () => {
  const elsewhere = { ...paths, index: dir.join("none") };
  expect(askByName(elsewhere, "a", { accept, ask: () => "x" })).toBe("x");
  expect(existsSync(paths.nameCache)).toBe(false);
  if (process.geteuid?.() === 0) return;
  chmodSync(paths.db, 0o500);
  expect(ask("a")).toBe("answer a");
});
