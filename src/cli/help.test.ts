// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { allCommands } from "./command-table.ts";
import { helpText } from "./help.ts";

test("help of rkt", () => {
  expect(helpText(undefined, allCommands())).toMatchSnapshot();
});

for (const command of allCommands().filter((entry) => !entry.hidden)) {
  test(`help of rkt ${command.name}`, () => {
    expect(helpText(command, allCommands())).toMatchSnapshot();
  });
}

test("hidden commands and hidden or deprecated flags are not shown", () => {
  const root = helpText(undefined, allCommands());
  for (const name of ["api-service", "attach", "app sandbox", "image fetch", "cpuprofile"]) {
    expect(root).not.toContain(name);
  }
  const run = allCommands().find((entry) => entry.name === "run");
  const text = helpText(run, allCommands());
  for (const flag of ["store-only", "cap-retain", "--stdin"]) expect(text).not.toContain(flag);
  expect(text).toContain('      --hostname=""\t');
  expect(text).toContain("      --net[=default]\t");
  expect(text).toContain("  -h, --help[=false]\t");
});

test("the table is in order, and every command that is there has a module", async () => {
  const names = allCommands().map((entry) => entry.name);
  expect(names).toEqual([...names].sort());
  for (const { unavailable, group, hidden, description, name } of allCommands()) {
    if (unavailable) expect(hidden).toBe(true);
    if (!hidden && !group) expect([name, description]).not.toEqual([name, ""]);
  }
});

test("what a command refers to exists", () => {
  const names = new Set(allCommands().map((entry) => entry.name));
  for (const { seeAlso } of allCommands())
    for (const name of seeAlso) expect(names).toContain(name);
});
