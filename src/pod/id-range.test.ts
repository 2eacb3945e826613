// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseIdRange } from "../lib/id-range.ts";
import { chooseRange } from "./id-range.ts";

const LAST = 0x7ffd * 65_536;

test("a range begins at a multiple of 65536, where the search starts", () => {
  expect(chooseRange([], 0)).toEqual({ first: 65_536, count: 65_536 });
  expect(chooseRange([], 0.999999)).toEqual({ first: LAST, count: 65_536 });
});

test("a range touches none that somebody has", () => {
  const taken = [
    { first: 100_000, count: 65_536 },
    { first: 196_608, count: 1 },
  ];
  expect(chooseRange(taken, 0)).toEqual({ first: 262_144, count: 65_536 });
});

test("the search goes round, and ends when everything is taken", () => {
  const but = (slot: number) => [
    { first: 65_536, count: (slot - 1) * 65_536 },
    { first: (slot + 1) * 65_536, count: LAST },
  ];
  expect(chooseRange(but(7), 0.9)?.first).toBe(7 * 65_536);
  expect(chooseRange([{ first: 1, count: 0xffff_fff0 }], 0.5)).toBeUndefined();
});

test("chosen ranges are disjoint, however many there are", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { maxLength: 50 }),
      (starts) => {
        const ranges: { first: number; count: number }[] = [];
        for (const start of starts) {
          const range = chooseRange(ranges, start);
          if (range !== undefined) ranges.push(range);
        }
        const sorted = ranges.toSorted((a, b) => a.first - b.first);
        sorted.forEach((range, i) => {
          const next = sorted[i + 1]?.first ?? Number.POSITIVE_INFINITY;
          expect(range.first + range.count).toBeLessThanOrEqual(next);
        });
      },
    ),
  );
});

test("a range is FIRST:COUNT and never has the host's root", () => {
  expect(parseIdRange("65536:65536\n")).toEqual({ first: 65_536, count: 65_536 });
  for (const text of ["", "0:65536", "1:0", "a:1", "1", "4294967295:2", "1:2:3"]) {
    expect(parseIdRange(text)).toBeUndefined();
  }
});
