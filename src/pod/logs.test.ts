// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PodUUID } from "../appc/index.ts";
import type { PodRef } from "./directory.ts";
import { AppLog, logTime, nextRecord } from "./logs.ts";

let pod: PodRef;

beforeEach(() => {
  const path = mkdtempSync(join(tmpdir(), "rkt-logs-"));
  mkdirSync(join(path, "logs"));
  pod = { uuid: "u" as PodUUID, directory: "run", path, state: "running" };
});

afterEach(() => rmSync(pod.path, { recursive: true }));

const at = (second: number) => `2026-01-01T00:00:${String(second).padStart(2, "0")}.000000000Z`;
const line = (second: number, text: string, tag = "F") => `${at(second)} stdout ${tag} ${text}\n`;
const file = (name: string) => join(pod.path, "logs", name);

function drain(logs: readonly AppLog[], since = ""): string[] {
  const texts: string[] = [];
  for (let r = nextRecord(logs, since); r !== undefined; r = nextRecord(logs, since)) {
    texts.push(`${r.app}:${r.text}${r.partial ? "…" : ""}`);
  }
  return texts;
}

test("the logs of several apps are merged by time", () => {
  writeFileSync(file("a"), line(1, "one") + line(3, "three"));
  writeFileSync(file("b"), line(2, "two", "P"));
  using a = new AppLog(pod, "a");
  using b = new AppLog(pod, "b");
  expect(drain([a, b])).toEqual(["a:one", "b:two…", "a:three"]);
});

test("records before --since are left out", () => {
  writeFileSync(file("a"), line(1, "one") + line(2, "two"));
  using a = new AppLog(pod, "a");
  expect(drain([a], logTime(new Date(at(2))))).toEqual(["a:two"]);
});

test("the file that was turned over comes first", () => {
  writeFileSync(file("a.1"), line(1, "old"));
  writeFileSync(file("a"), line(2, "new"));
  using a = new AppLog(pod, "a");
  expect(drain([a])).toEqual(["a:old", "a:new"]);
});

test("a follower sees what is appended, also across a turn-over, and half a line only when whole", () => {
  writeFileSync(file("a"), line(1, "one"));
  using a = new AppLog(pod, "a");
  expect(drain([a])).toEqual(["a:one"]);
  appendFileSync(file("a"), line(2, "two").slice(0, -3));
  expect(drain([a])).toEqual([]);
  appendFileSync(file("a"), line(2, "two").slice(-3));
  renameSync(file("a"), file("a.1"));
  writeFileSync(file("a"), line(3, "three"));
  expect(drain([a])).toEqual(["a:two", "a:three"]);
});

test("an app that printed nothing, and a file that is no log, give nothing", () => {
  writeFileSync(file("b"), "not a log\n\n".repeat(1000));
  using a = new AppLog(pod, "a");
  using b = new AppLog(pod, "b");
  expect(drain([a, b])).toEqual([]);
});
