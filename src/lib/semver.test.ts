// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import fc from "fast-check";
import { compareSemVer, formatSemVer, parseSemVer, type SemVer } from "./semver.ts";

const version: fc.Arbitrary<SemVer> = fc.record({
  major: fc.maxSafeNat(),
  minor: fc.nat(),
  patch: fc.nat(),
  preRelease: fc.stringMatching(/^([0-9a-z-]{1,4}(\.[0-9a-z-]{1,4}){0,2})?$/),
  metadata: fc.stringMatching(/^([0-9a-z.-]{1,6})?$/),
});

test("a version survives formatting and parsing", () => {
  fc.assert(
    fc.property(version, (v) => {
      expect(parseSemVer(formatSemVer(v))).toEqual(v);
    }),
  );
});

test("what is not three numbers is no version", () => {
  for (const bad of [
    "",
    "1",
    "1.2",
    "1.2.3.4",
    "a.b.c",
    "1.2.x",
    "-1.2.3",
    "1.-2.3",
    " 1.2.3",
    "1..2",
  ]) {
    expect(parseSemVer(bad)).toBeUndefined();
  }
  expect(parseSemVer(`${"9".repeat(19)}.0.0`)).toBeUndefined();
});

test("metadata begins at the first plus, the pre-release at the first dash before it", () => {
  expect(parseSemVer("1.2.3-a-b+c+d-e")).toMatchObject({ preRelease: "a-b", metadata: "c+d-e" });
  expect(parseSemVer("0.8.11+git-x")).toMatchObject({ preRelease: "", metadata: "git-x" });
});

test("precedence is the standard's", () => {
  const ordered = [
    "0.9.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.10.0",
    "2.0.0",
  ].map((text) => parseSemVer(text)!);
  const shuffled = [...ordered].reverse().sort(compareSemVer);
  expect(shuffled).toEqual(ordered);
  expect(compareSemVer(parseSemVer("1.0.0+a")!, parseSemVer("1.0.0+b")!)).toBe(0);
});

test("comparing is antisymmetric, and equal only without a difference but metadata", () => {
  fc.assert(
    fc.property(version, version, (a, b) => {
      expect(Math.sign(compareSemVer(a, b)) + Math.sign(compareSemVer(b, a))).toBe(0);
      expect(compareSemVer(a, { ...a, metadata: "x" })).toBe(0);
    }),
  );
});
