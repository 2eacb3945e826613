// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatDuration, parseDuration } from "./duration.ts";

test.each([
  ["0", 0],
  ["30m0s", 1_800_000],
  ["24h0m0s", 86_400_000],
  ["1.5h", 5_400_000],
  ["-1m", -60_000],
  ["+5s", 5000],
  ["100ms", 100],
  ["1us", 0.001],
  ["1µs", 0.001],
  ["2ns", 0.000002],
  [".5s", 500],
  ["1.s", 1000],
  ["1h1m1s1ms", 3_661_001],
])("parseDuration reads %s as Go does", (text, milliseconds) => {
  expect(parseDuration(text)).toBeCloseTo(milliseconds, 9);
});

test.each([
  ["", 'time: invalid duration ""'],
  ["-", 'time: invalid duration "-"'],
  ["5", 'time: missing unit in duration "5"'],
  ["1h5", 'time: missing unit in duration "1h5"'],
  ["5x", 'time: unknown unit "x" in duration "5x"'],
  ["s", 'time: invalid duration "s"'],
  [".s", 'time: invalid duration ".s"'],
  ["1h.", 'time: invalid duration "1h."'],
  ["5toString", 'time: unknown unit "toString" in duration "5toString"'],
  ["9999999999h", 'time: invalid duration "9999999999h"'],
])("parseDuration refuses %p", (text, message) => {
  expect(() => parseDuration(text)).toThrow(message);
});

test.each([
  [0, "0s"],
  [1, "1ms"],
  [1.5, "1.5ms"],
  [0.25, "250µs"],
  [0.000001, "1ns"],
  [1500, "1.5s"],
  [60_000, "1m0s"],
  [1_800_000, "30m0s"],
  [86_400_000, "24h0m0s"],
  [-90_000, "-1m30s"],
  [3_661_001, "1h1m1.001s"],
])("formatDuration writes %p ms as Go does", (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});

test("a duration of whole milliseconds survives being written and read", () => {
  fc.assert(
    fc.property(fc.integer({ min: -(10 ** 12), max: 10 ** 12 }), (milliseconds) => {
      expect(parseDuration(formatDuration(milliseconds))).toBeCloseTo(milliseconds, 3);
    }),
  );
});

test("no text makes parseDuration fail in another way than by its error", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        expect(Number.isFinite(parseDuration(text))).toBe(true);
      } catch (error) {
        expect(error).toHaveProperty("code", "DURATION_INVALID");
      }
    }),
  );
});
