// SPDX-License-Identifier: Apache-2.0
// What the table says of a validator that finds something, or does not come to its end.
import { expect, test } from "bun:test";
import { table, verdict } from "./verdict.ts";

const row = (text: string, what: string): string =>
  text.split("\n").find((line) => line.includes(what)) ?? "";

test("a complaint is its row's, and the rest of that program is not known", () => {
  const found = verdict(
    "prestart OK\nmain FAIL\nsidekick OK\npoststop OK\n",
    '==> "/db" is not a mount point\n==> AC_METADATA_URL is not set\n',
  );
  expect(found.complaints).toEqual(['"/db" is not a mount point', "AC_METADATA_URL is not set"]);
  expect(found.onlySlow).toBe(false);
  const text = table(new Map([["way", found]]));
  expect(row(text, "mounted, and writable")).toEndWith("FAILED");
  expect(row(text, "UUID, annotations")).toEndWith("FAILED");
  expect(row(text, "signs and verifies")).toEndWith("?");
  expect(row(text, "prestart")).toEndWith("ok");
  expect(row(text, "the main app's too")).toEndWith("ok");
});

test("nothing printed is nothing known", () => {
  const { answers, onlySlow } = verdict("", "run: no such image");
  expect(new Set(answers)).toEqual(new Set(["?"]));
  expect(onlySlow).toBe(false);
});

test("a request that timed out may be tried again, and not beside another complaint", () => {
  const slow =
    '==> Get "http://h/acMetadata/v1/pod/uuid": context deadline exceeded (Client.Timeout exceeded while awaiting headers)\n';
  expect(verdict("main FAIL", slow).onlySlow).toBe(true);
  expect(verdict("main FAIL", `${slow}==> PATH is wrong`).onlySlow).toBe(false);
});
