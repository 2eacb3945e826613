// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { parseGoBool } from "./go-bool.ts";
import { parseInsecureOptions, SECURE } from "./insecure-options.ts";

test("nothing and none disable nothing", () => {
  expect(parseInsecureOptions("")).toEqual(SECURE);
  expect(parseInsecureOptions("none")).toEqual(SECURE);
});

test("words are taken together, whatever their case", () => {
  expect(parseInsecureOptions("Image,TLS")).toEqual({ ...SECURE, image: true, tls: true });
});

test("all-fetch, all-run and all stand for what they say", () => {
  const fetch = { image: true, tls: true, http: true, pubkey: true };
  const run = { capabilities: true, paths: true, seccomp: true };
  expect(parseInsecureOptions("all-fetch")).toEqual({ ...SECURE, ...fetch });
  expect(parseInsecureOptions("all-run")).toEqual({ ...SECURE, ...run });
  expect(parseInsecureOptions("all")).toEqual({ ...fetch, ...run, ondisk: true });
});

test("an unknown word and a word twice are refused", () => {
  expect(() => parseInsecureOptions("imag")).toThrow('unknown option "imag"');
  expect(() => parseInsecureOptions("toString")).toThrow('unknown option "tostring"');
  expect(() => parseInsecureOptions("image,image")).toThrow('duplicated option "image"');
  expect(() => parseInsecureOptions("image,")).toThrow('unknown option ""');
});

test("parseGoBool knows Go's twelve spellings and no other", () => {
  for (const text of ["1", "t", "T", "TRUE", "true", "True"]) expect(parseGoBool(text)).toBe(true);
  for (const text of ["0", "f", "F", "FALSE", "false", "False"])
    expect(parseGoBool(text)).toBe(false);
  for (const text of ["", "yes", "tRUE", "on", "2"]) expect(parseGoBool(text)).toBeUndefined();
});
