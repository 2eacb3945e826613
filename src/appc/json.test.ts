// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import fc from "fast-check";
import { goJson, MAX_MANIFEST_BYTES, parseJson, prettyJson } from "./json.ts";
import { findSyntaxError } from "./json-syntax.ts";

function fault(text: string) {
  try {
    parseJson(text);
  } catch (error) {
    return error;
  }
  throw new Error("parsed");
}

test("a syntax error shows line, column and source, with a mark below the character", () => {
  expect(fault('{\n  "a": 1\n  "b": 2\n}')).toMatchObject({
    code: "MANIFEST_SYNTAX",
    message: `
Error at line 3, column 3
    2:   "a": 1
    3:   "
         ^
invalid character '"' after object key:value pair`,
    details: { line: 3, column: 3 },
  });
  expect(fault("[1,]")).toMatchObject({
    message: `
Error at line 1, column 4
    1: [1,]
          ^
invalid character ']' looking for beginning of value`,
  });
});

test("the reason of a syntax error is in the reference's words", () => {
  for (const [text, reason] of [
    ["", "unexpected end of JSON input"],
    ['{"a":', "unexpected end of JSON input"],
    ['{"a"', "unexpected end of JSON input"],
    ['"abc', "unexpected end of JSON input"],
    ["tru", "unexpected end of JSON input"],
    ["-", "unexpected end of JSON input"],
    ["{a", "invalid character 'a' looking for beginning of object key string"],
    ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
    ['{"a" 1}', "invalid character '1' after object key"],
    ['{"a":1 "b"', "invalid character '\"' after object key:value pair"],
    ["[1 2]", "invalid character '2' after array element"],
    ["{} x", "invalid character 'x' after top-level value"],
    ['"a\nb"', "invalid character '\\n' in string literal"],
    ['"\\x"', "invalid character 'x' in string escape code"],
    ['"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"],
    ["-a", "invalid character 'a' in numeric literal"],
    ["1.x", "invalid character 'x' after decimal point in numeric literal"],
    ["1e+x", "invalid character 'x' in exponent of numeric literal"],
    ["trap", "invalid character 'a' in literal true (expecting 'u')"],
    ["nulL", "invalid character 'L' in literal null (expecting 'l')"],
    ["'a'", "invalid character '\\'' looking for beginning of value"],
    ["\ufeff{}", "invalid character '\\ufeff' looking for beginning of value"],
  ] as const) {
    expect(findSyntaxError(text).reason).toBe(reason);
  }
});

test("the source line of an error is short and has no control characters", () => {
  const { message } = fault(`["\u009b31m${"x".repeat(100_000)}" y`) as Error;
  expect(message.length).toBeLessThan(400);
  expect(message).not.toInclude("\u009b");
});

test("a manifest that is too large is refused unread", () => {
  expect(() => parseJson(" ".repeat(MAX_MANIFEST_BYTES + 1))).toThrow(
    `manifest is larger than ${MAX_MANIFEST_BYTES} bytes`,
  );
});

test("bytes are read as UTF-8, what is invalid becomes U+FFFD, a byte order mark is an error", () => {
  const bytes = (...values: number[]) => Uint8Array.from(values);
  expect(parseJson(bytes(0x22, 0xc3, 0xa9, 0xff, 0x22))).toBe("é\ufffd");
  expect(() => parseJson(bytes(0xef, 0xbb, 0xbf, 0x31))).toThrow("looking for beginning of value");
});

test("output has the escapes of Go's encoder", () => {
  const text = `<a href="x">&\u2028\u2029\b\f\n\\b\\f\u0001`;
  const json = goJson({ text });
  expect(json).toBe(
    String.raw`{"text":"\u003ca href=\"x\"\u003e\u0026\u2028\u2029\u0008\u000c\n\\b\\f\u0001"}`,
  );
  expect(parseJson(json)).toEqual({ text });
});

test("pretty output is indented with tabs and keeps the escapes", () => {
  expect(prettyJson('{"a":[],"b":{},"c":["<"]}')).toBe(
    '{\n\t"a": [],\n\t"b": {},\n\t"c": [\n\t\t"\\u003c"\n\t]\n}',
  );
  expect(prettyJson("[1]", "  ")).toBe("[\n  1\n]");
});

test("any JSON value survives writing and reading", () => {
  fc.assert(
    fc.property(fc.json(), (json) => {
      const value: unknown = JSON.parse(json);
      expect(parseJson(goJson(value))).toEqual(value);
      expect(JSON.stringify(parseJson(prettyJson(json)))).toBe(JSON.stringify(value));
    }),
  );
});

test("the scanner finds a fault exactly where JSON.parse finds one", () => {
  const edit = fc.record({
    json: fc.json(),
    at: fc.nat(),
    remove: fc.integer({ min: 0, max: 2 }),
    insert: fc.constantFrom(
      "",
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"',
      "\\",
      "1",
      "-",
      ".",
      "e",
      "t",
      "\n",
    ),
  });
  fc.assert(
    fc.property(edit, ({ json, at, remove, insert }) => {
      const place = at % (json.length + 1);
      const text = json.slice(0, place) + insert + json.slice(place + remove);
      const accepted = (() => {
        try {
          JSON.parse(text);
          return true;
        } catch {
          return false;
        }
      })();
      expect([text, findSyntaxError(text).reason === "invalid JSON"]).toEqual([text, accepted]);
    }),
    { numRuns: 2000 },
  );
});

test("the scanner does not recurse", () => {
  expect(findSyntaxError("[".repeat(1_000_000)).reason).toBe("unexpected end of JSON input");
  expect(findSyntaxError('{"a":'.repeat(300_000)).reason).toBe("unexpected end of JSON input");
});
