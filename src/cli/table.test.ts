// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { alignTabs, formatTable } from "./table.ts";

test("columns are as wide as their widest cell, in steps of eight", () => {
  expect(
    formatTable([
      ["UUID", "APP", "STATE"],
      ["0b2e1a3c", "busybox", "running"],
      ["deadbeef", "a-long-app-name", "exited"],
    ]),
  ).toBe("UUID\t\tAPP\t\tSTATE\n0b2e1a3c\tbusybox\t\trunning\ndeadbeef\ta-long-app-name\texited\n");
});

test("a cell of seven characters leaves one tab, one of eight moves the column", () => {
  expect(formatTable([["1234567", "x"]])).toBe("1234567\tx\n");
  expect(
    formatTable([
      ["12345678", "x"],
      ["1", "x"],
    ]),
  ).toBe("12345678\tx\n1\t\tx\n");
});

test("a column ends at a line that does not have it", () => {
  expect(alignTabs("a\tb\nno column\na-much-longer-cell\tb")).toBe(
    "a\tb\nno column\na-much-longer-cell\tb",
  );
});

test("the last cell of a line does not widen its column", () => {
  expect(alignTabs("a\tb\tc\naa\tvery long last cell\nx\ty\tz")).toBe(
    "a\tb\tc\naa\tvery long last cell\nx\ty\tz",
  );
});

test("an empty cell keeps its column", () => {
  expect(
    formatTable([
      ["a", "", "c"],
      ["", "b", ""],
    ]),
  ).toBe("a\t\tc\n\tb\t\n");
});

test("a cell cannot bring its own tabs and line breaks", () => {
  expect(formatTable([["a\tb\nc", "d"]])).toBe("a b c\td\n");
});
