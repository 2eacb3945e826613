// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { goFlagUsage, parseGoFlags } from "./go-flags.ts";

const SPECS = {
  on: { default: false, usage: "a switch" },
  text: { default: "x", usage: "a text" },
} as const;

test("parseGoFlags() takes one dash or two, and a value behind = or as the next word", () => {
  const values = { on: true, text: "a b" };
  for (const words of [
    ["-on", "-text", "a b"],
    ["--on", "--text=a b"],
    ["-on=true", "-text=a b"],
    ["--on=1", "--text", "a b"],
  ]) {
    expect(parseGoFlags(words, SPECS)).toEqual({ kind: "parsed", values, args: [] });
  }
  expect(parseGoFlags(["-text="], SPECS)).toMatchObject({ values: { on: false, text: "" } });
  expect(parseGoFlags(["-text=a=b\nc"], SPECS)).toMatchObject({ values: { text: "a=b\nc" } });
});

test("parseGoFlags() stops at the first other word", () => {
  expect(parseGoFlags(["-on", "a", "-text", "b"], SPECS)).toMatchObject({
    args: ["a", "-text", "b"],
  });
  expect(parseGoFlags(["--", "-on"], SPECS)).toMatchObject({ args: ["-on"] });
  expect(parseGoFlags(["-", "-on"], SPECS)).toMatchObject({ args: ["-", "-on"] });
  expect(parseGoFlags(["-on", "false"], SPECS)).toMatchObject({
    values: { on: true },
    args: ["false"],
  });
});

test.each([
  ["-none", "flag provided but not defined: -none"],
  ["-constructor", "flag provided but not defined: -constructor"],
  ["---on", "bad flag syntax: ---on"],
  ["-=x", "bad flag syntax: -=x"],
  ["-text", "flag needs an argument: -text"],
  ["-on=maybe", 'invalid boolean value "maybe" for -on: parse error'],
])("parseGoFlags() says what is wrong with %s", (word, sentence) => {
  expect(parseGoFlags([word], SPECS)).toEqual({ kind: "wrong", sentence });
});

test("parseGoFlags() knows -h and -help", () => {
  for (const word of ["-h", "--h", "-help", "--help"]) {
    expect(parseGoFlags([word], SPECS)).toEqual({ kind: "help" });
  }
});

test("goFlagUsage() lists flags as Go does", () => {
  expect(goFlagUsage(SPECS)).toBe(
    '  -on\n    \ta switch\n  -text string\n    \ta text (default "x")\n',
  );
});
