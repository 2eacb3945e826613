// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { formatJson, nanoseconds } from "./json.ts";

test("an empty list is null, as Go writes it", () => {
  expect(formatJson([], "json")).toBe("null");
  expect(formatJson([], "json-pretty")).toBe("null");
});

test("json is compact, json-pretty is indented with tabs", () => {
  expect(formatJson([{ id: "a", size: 1 }], "json")).toBe('[{"id":"a","size":1}]');
  expect(formatJson([{ id: "a" }], "json-pretty")).toBe('[\n\t{\n\t\t"id": "a"\n\t}\n]');
});

test("nanoseconds keep all their digits", () => {
  expect(formatJson({ t: 1_700_000_000_123_456_789n }, "json")).toBe('{"t":1700000000123456789}');
  expect(nanoseconds(new Date(1_700_000_000_123))).toBe(1_700_000_000_123_000_000n);
});

test("absent members are left out and Go's escapes are used", () => {
  expect(formatJson({ a: undefined, b: "<&>\u2028" }, "json")).toBe(
    '{"b":"\\u003c\\u0026\\u003e\\u2028"}',
  );
});
