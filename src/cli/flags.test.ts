// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { bool, choice, duration, type FlagSpecs, int, parseFlags, text, texts } from "./flags.ts";

const SPECS = {
  debug: bool("talk"),
  dir: text("where", { initial: "/var" }),
  count: int("how many"),
  grace: duration("how long", 1000),
  net: text("network", { initial: "default", implied: "default" }),
  order: choice("order", ["asc", "desc"], "asc"),
  list: texts("more"),
  help: bool("help", { short: "h" }),
  old: bool("old", { deprecated: "use new" }),
} as const satisfies FlagSpecs;

function parse(words: readonly string[], interspersed = true) {
  const { values, given, rest, deprecated } = parseFlags(words, SPECS, {
    cwd: "/",
    parsers: undefined,
    interspersed,
  });
  return { values, given: [...given], rest, deprecated };
}

test("a value follows after = or as the next word", () => {
  expect(parse(["--dir=/a", "--count", "3"]).values).toMatchObject({ dir: "/a", count: 3 });
  expect(parse(["--dir=a=b"]).values).toMatchObject({ dir: "a=b" });
  expect(parse(["--dir", "--debug"]).values).toMatchObject({ dir: "--debug", debug: false });
});

test("a flag with an implied value takes another one only after =", () => {
  expect(parse(["--debug", "false"])).toMatchObject({ values: { debug: true }, rest: ["false"] });
  expect(parse(["--debug=false"]).values).toMatchObject({ debug: false });
  expect(parse(["--net", "host"])).toMatchObject({ values: { net: "default" }, rest: ["host"] });
  expect(parse(["--net=host"]).values).toMatchObject({ net: "host" });
});

test("the last value of a flag counts, a list keeps all", () => {
  expect(parse(["--dir=/a", "--dir=/b"]).values).toMatchObject({ dir: "/b" });
  expect(parse(["--list=a", "--list=b"]).values).toMatchObject({ list: ["a", "b"] });
});

test("flags may stand between the arguments unless the command forbids it", () => {
  expect(parse(["a", "--debug", "b"])).toMatchObject({ values: { debug: true }, rest: ["a", "b"] });
  expect(parse(["--debug", "a", "--dir=x"], false)).toMatchObject({
    values: { debug: true, dir: "/var" },
    rest: ["a", "--dir=x"],
  });
});

test("a lone -- ends the flags; - is an argument", () => {
  expect(parse(["a", "--", "--debug"])).toMatchObject({
    values: { debug: false },
    rest: ["a", "--debug"],
  });
  expect(parse(["-"]).rest).toEqual(["-"]);
  expect(parse(["--", "x"], false).rest).toEqual(["--", "x"]);
});

test("-h is --help", () => {
  expect(parse(["-h"]).values).toMatchObject({ help: true });
  expect(parse(["-h=false"]).values).toMatchObject({ help: false });
});

test("which flags were given and which of them are deprecated is known", () => {
  expect(parse(["--old", "--count=0"])).toMatchObject({
    given: ["old", "count"],
    deprecated: ["old"],
  });
});

test.each([
  [["--x"], "unknown flag: --x"],
  [["--x=1"], "unknown flag: --x"],
  [["--toString"], "unknown flag: --toString"],
  [["-x"], "unknown shorthand flag: 'x' in -x"],
  [["-hx"], "unknown shorthand flag: 'x' in -hx"],
  [["--dir"], "flag needs an argument: --dir"],
  [["---"], "bad flag syntax: ---"],
  [["--=x"], "bad flag syntax: --=x"],
  [["--count=a"], 'invalid argument "a" for --count: not a whole number'],
  [["--debug=maybe"], 'invalid argument "maybe" for --debug: neither true nor false'],
  [["--grace=5"], 'invalid argument "5" for --grace: time: missing unit in duration "5"'],
  [
    ["--order=up"],
    'invalid argument "up" for --order: unknown value "up", must be one of: asc, desc',
  ],
])("%p is refused", (words, message) => {
  expect(() => parse(words)).toThrow(message);
});

test("flags written as words are read back, wherever the arguments stand", () => {
  const word = fc.string({ minLength: 1 }).filter((text) => !text.startsWith("-"));
  const flag = fc.oneof(
    fc.record({ name: fc.constant("debug" as const), value: fc.boolean() }),
    fc.record({ name: fc.constant("dir" as const), value: fc.string() }),
    fc.record({ name: fc.constant("count" as const), value: fc.maxSafeInteger() }),
    fc.record({ name: fc.constant("net" as const), value: fc.string() }),
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(flag, word)), (items) => {
      const words = items.map((item) =>
        typeof item === "string" ? item : `--${item.name}=${item.value}`,
      );
      const expected: Record<string, unknown> = {
        debug: false,
        dir: "/var",
        count: 0,
        net: "default",
      };
      for (const item of items) if (typeof item !== "string") expected[item.name] = item.value;
      const { values, rest } = parse(words);
      expect(values).toMatchObject(expected);
      expect(rest).toEqual(items.filter((item) => typeof item === "string"));
    }),
  );
});
