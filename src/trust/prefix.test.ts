// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { normalize, resolve } from "node:path";
import fc from "fast-check";
import { TrustError } from "./errors.ts";
import { parsePrefix } from "./prefix.ts";

test.each(["example.com", "example.com/a/b-c_d~e.f", "a", "1/2", "a--b", "a..b/c"])(
  "parsePrefix takes %s",
  (text) => {
    expect(parsePrefix(text) as string).toBe(text);
  },
);

test.each([
  ["", 'invalid prefix "": it is empty'],
  ["https://example.com", "--prefix must not contain a URL scheme, omit http://"],
  ["a/../b", "as a part"],
  ["a/./b", "as a part"],
  ["a//b", "as a part"],
  ["/etc", "lower-case"],
  ["a/", "lower-case"],
  ["..", "lower-case"],
  ["Example.com", "lower-case"],
  ["a\0b", "lower-case"],
  [`${"a/".repeat(600)}a`, "longer than 1024"],
  [`a/${"b".repeat(256)}`, "longer than 255"],
])("parsePrefix refuses %j", (text, message) => {
  expect(() => parsePrefix(text)).toThrow(TrustError);
  expect(() => parsePrefix(text)).toThrow(message);
});

test("what parsePrefix takes stays below the directory and is its own normal form", () => {
  const text = fc.string({ unit: fc.constantFrom(..."ab1./-_~".split("")), maxLength: 12 });
  fc.assert(
    fc.property(text, (candidate) => {
      let prefix: string;
      try {
        prefix = parsePrefix(candidate);
      } catch {
        return;
      }
      expect(normalize(prefix)).toBe(prefix);
      expect(resolve("/keys", prefix)).toBe(`/keys/${prefix}`);
    }),
    { numRuns: 2000 },
  );
});
