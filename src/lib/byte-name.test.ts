// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeName, encodeName } from "./byte-name.ts";

test("encodeName gives back the bytes that decodeName was given, whatever they are", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.string({ unit: "binary" }).map((text) => new Uint8Array(Buffer.from(text))),
    // Many lead bytes and continuations, so that cut and overlong sequences occur.
    fc.array(
      fc.constantFrom(0x41, 0x80, 0xbf, 0xc0, 0xc3, 0xe0, 0xed, 0xa0, 0xef, 0xf0, 0xf4, 0x90),
    ),
  );
  fc.assert(
    fc.property(bytes, (list) => {
      const buffer = Buffer.from(list);
      expect(encodeName(decodeName(buffer)).equals(buffer)).toBe(true);
    }),
    { numRuns: 1000 },
  );
});

test("decodeName leaves UTF-8 alone and escapes other bytes one by one", () => {
  expect(decodeName(Buffer.from("größe \ufffd 😀"))).toBe("größe \ufffd 😀");
  expect(decodeName(Buffer.from([0x61, 0xe9, 0x62, 0xff]))).toBe("a\udce9b\udcff");
  // A surrogate in UTF-8 is not valid UTF-8 (CESU-8).
  expect(decodeName(Buffer.from([0xed, 0xb2, 0x80]))).toBe("\udced\udcb2\udc80");
});
