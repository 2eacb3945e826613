// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { knownCommands } from "./command-table.ts";
import { findCommand } from "./find-command.ts";

function find(...words: readonly string[]): [string | undefined, readonly string[]] {
  const { command, words: rest } = findCommand(words, knownCommands({}));
  return [command?.name, rest];
}

test("the first word that is not a flag is the command", () => {
  expect(find("list", "--full")).toEqual(["list", ["--full"]]);
  expect(find("--debug", "list")).toEqual(["list", ["--debug"]]);
  expect(find("--dir", "list", "list")).toEqual(["list", ["--dir", "list"]]);
  expect(find("--pull-policy=new", "fetch", "X")).toEqual(["fetch", ["--pull-policy=new", "X"]]);
  expect(find("--no-store", "--debug", "fetch", "X")).toEqual([
    "fetch",
    ["--no-store", "--debug", "X"],
  ]);
  expect(find("-h", "run")).toEqual(["run", ["-h"]]);
  expect(find("--help", "run")).toEqual(["run", ["--help"]]);
  expect(find()).toEqual([undefined, []]);
});

test("a long flag that is not a global boolean takes the next word with it", () => {
  expect(() => find("--no-store", "fetch", "X")).toThrow('unknown command "X" for "rkt"');
});

test("sub-commands follow their group", () => {
  expect(find("image", "list")).toEqual(["image list", []]);
  expect(find("image", "--debug", "rm", "x")).toEqual(["image rm", ["--debug", "x"]]);
  expect(find("image")).toEqual(["image", []]);
  expect(() => find("image", "bogus")).toThrow('unknown command "bogus" for "rkt image"');
});

test("commands may be shortened as long as that is unambiguous", () => {
  expect(find("li")).toEqual(["list", []]);
  expect(find("im", "ca", "x")).toEqual(["image cat-manifest", ["x"]]);
  expect(find("run")).toEqual(["run", []]);
  expect(() => find("r")).toThrow("\trm\n\trun\n\trun-prepared\n");
  expect(() => find("api")).toThrow("unknown command");
});

test("an unknown command names those that are close", () => {
  const message = (word: string): unknown => {
    try {
      return find(word);
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(message("ps")).toBe('unknown command "ps" for "rkt"\n\nDid you mean this?\n\tlist\n');
  expect(message("lsit")).toBe('unknown command "lsit" for "rkt"\n\nDid you mean this?\n\tlist\n');
  expect(message("something-else")).toBe('unknown command "something-else" for "rkt"');
});
