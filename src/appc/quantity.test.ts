// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseQuantity } from "./quantity.ts";

const MAX = 2n ** 63n - 1n;

test("canonical form keeps the family, has no fraction and the biggest suffix", () => {
  for (const [text, canonical] of [
    ["0", "0"],
    ["0Gi", "0"],
    ["1.5", "1500m"],
    ["1.5Gi", "1536Mi"],
    ["128974848", "128974848"],
    ["125952Ki", "123Mi"],
    ["1000", "1k"],
    ["0.5Ki", "512"],
    ["1.1Ki", "1126400m"],
    ["1023Ki", "1023Ki"],
    [".5", "500m"],
    ["5.", "5"],
    ["+5", "5"],
    ["-1.5", "-1500m"],
    ["-2Gi", "-2Gi"],
    ["12e6", "12e6"],
    ["12E6", "12e6"],
    ["1e-3", "1e-3"],
    ["1e1", "10"],
    ["1E", "1E"],
    ["0.1n", "1n"],
    ["1e-999999999", "1e-9"],
  ] as const) {
    expect(parseQuantity(text).toString()).toBe(canonical);
  }
});

test("values round up", () => {
  expect(parseQuantity("1G").value()).toBe(1_000_000_000n);
  expect(parseQuantity("123Mi").value()).toBe(128_974_848n);
  expect(parseQuantity("500m").value()).toBe(1n);
  expect(parseQuantity("500m").milliValue()).toBe(500n);
  expect(parseQuantity("1u").milliValue()).toBe(1n);
  expect(parseQuantity(1.5).milliValue()).toBe(1500n);
  expect(parseQuantity(1e21).value()).toBe(MAX);
});

test("magnitude is capped, however big the exponent", () => {
  for (const huge of ["9223372036854775808", "100E", "16Ei", "1e999999999", "9".repeat(120)]) {
    expect(parseQuantity(huge).value()).toBe(MAX);
  }
  expect(parseQuantity("-1e99").value()).toBe(-MAX);
});

test("bad quantities have the reference's sentences", () => {
  const form =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
  for (const bad of ["", "abc", "1 G", "--1", "1Gb", "k", "NaN", "9".repeat(1000)]) {
    expect(() => parseQuantity(bad)).toThrow(form);
  }
  for (const bad of [".", "1.2.3", "+."]) {
    expect(() => parseQuantity(bad)).toThrow("unable to parse numeric part of quantity");
  }
  for (const bad of ["1K", "1kk", "1e", "1k5", "1mi", "1e+", "1e99999999999"]) {
    expect(() => parseQuantity(bad)).toThrow("unable to parse quantity's suffix");
  }
});

test("writing and reading again keeps the value and is stable", () => {
  const suffix = fc.oneof(
    fc.constantFrom(
      "n",
      "u",
      "m",
      "",
      "k",
      "M",
      "G",
      "T",
      "P",
      "E",
      "Ki",
      "Mi",
      "Gi",
      "Ti",
      "Pi",
      "Ei",
    ),
    fc.integer({ min: -12, max: 20 }).map((exponent) => `e${exponent}`),
  );
  const quantity = fc
    .tuple(fc.constantFrom("", "-", "+"), fc.nat(), fc.stringMatching(/^(\.[0-9]{0,12})?$/), suffix)
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(quantity, (text) => {
      const first = parseQuantity(text);
      const again = parseQuantity(first.toString());
      expect(again.equals(first)).toBe(true);
      expect(again.toString()).toBe(first.toString());
      expect(first.toString()).not.toInclude(".");
    }),
  );
});
