// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { manualPages, optionTables } from "./man.ts";

test("there is a page for rkt and for every command that is shown", () => {
  const names = [...manualPages().keys()];
  expect(names).toContain("rkt.1");
  expect(names).toContain("rkt-run.1");
  expect(names).toContain("rkt-image-list.1");
  expect(names).not.toContain("rkt-attach.1");
  expect(names).not.toContain("rkt-image.1");
});

test("the pages of rkt and of a command", () => {
  const pages = manualPages();
  expect(pages.get("rkt.1")).toMatchSnapshot();
  expect(pages.get("rkt-image-list.1")).toMatchSnapshot();
});

test.skipIf(Bun.which("groff") === null)("groff has nothing to say about any page", () => {
  for (const [name, text] of manualPages()) {
    const run = Bun.spawnSync(["groff", "-man", "-Tascii", "-ww", "-z"], {
      stdin: Buffer.from(text),
    });
    expect([name, run.stderr.toString()]).toEqual([name, ""]);
  }
});

test("the option tables for the documentation", () => {
  const tables = optionTables();
  expect(tables.get("")).toMatchSnapshot();
  expect(tables.get("run")).toMatchSnapshot();
  expect(tables.get("image list")).toMatchSnapshot();
  expect(tables.get("version")).toBe("This command has no options of its own.\n");
});
