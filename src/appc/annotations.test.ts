// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  checkAnnotations,
  getAnnotation,
  mergeAnnotations,
  parseDate,
  setAnnotation,
} from "./annotations.ts";
import { parseACIdentifier } from "./names.ts";
import type { Annotations } from "./types.ts";

function annotations(values: Record<string, string>): Annotations {
  return Object.entries(values).map(([name, value]) => ({ name: parseACIdentifier(name), value }));
}

test("annotations refuse duplicates, bad dates and bad URLs", () => {
  const twice = [...annotations({ a: "1" }), ...annotations({ a: "1" })];
  expect(() => checkAnnotations(twice)).toThrow(`duplicate annotations of name "a"`);
  expect(() => checkAnnotations(annotations({ created: "yesterday" }))).toThrow(
    `bad Date: parsing time "yesterday"`,
  );
  for (const name of ["homepage", "documentation"]) {
    expect(() => checkAnnotations(annotations({ [name]: "ftp://example.com" }))).toThrow(
      "bad URL scheme, must be http/https",
    );
    expect(() => checkAnnotations(annotations({ [name]: "http://a/%zz" }))).toThrow(
      `bad URL: parse "http://a/%zz"`,
    );
    expect(() =>
      checkAnnotations(annotations({ [name]: "HTTPS://example.com/a b" })),
    ).not.toThrow();
  }
  expect(() => checkAnnotations(annotations({ authors: "\u0000" }))).not.toThrow();
});

test("a timestamp is RFC 3339 with a T and a zone", () => {
  for (const good of [
    "2014-10-27T19:32:27.67021798Z",
    "2016-02-29T23:59:59+05:30",
    "0001-01-01T00:00:00Z",
  ]) {
    expect(parseDate(good).getTime()).toBe(Date.parse(good));
  }
  for (const bad of [
    "2014-10-27 19:32:27Z",
    "2014-10-27T19:32:27",
    "2014-10-27",
    "2014-13-27T19:32:27Z",
    "2015-02-29T00:00:00Z",
    "2015-02-28T24:00:00Z",
    "2015-02-28T23:59:60Z",
  ]) {
    expect(() => parseDate(bad)).toThrow("bad Date: ");
  }
});

test("every date of JavaScript with a four-digit year is read as it was written", () => {
  const years = { min: new Date("0000-01-01"), max: new Date("9999-12-31"), noInvalidDate: true };
  fc.assert(
    fc.property(fc.date(years), (date) => {
      expect(parseDate(date.toISOString()).getTime()).toBe(date.getTime());
    }),
  );
});

test("setting an annotation overwrites in place or appends; merging sets each", () => {
  const base = annotations({ a: "1", b: "2" });
  expect(setAnnotation(base, parseACIdentifier("a"), "9")).toEqual(annotations({ a: "9", b: "2" }));
  expect(mergeAnnotations(base, annotations({ c: "3", b: "x" }))).toEqual(
    annotations({ a: "1", b: "x", c: "3" }),
  );
  expect(getAnnotation(base, "b")).toBe("2");
  expect(getAnnotation(base, "z")).toBeUndefined();
});
