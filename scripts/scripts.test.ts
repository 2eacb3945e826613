// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { anchors, localLinks, withTable } from "./check-docs.ts";
import { checkFile, checkSentences } from "./check-style.ts";
import { platformOf } from "./fill-lockfile.ts";
import { readJunit, readNodeTest, readPrograms } from "./test.ts";

test("the counts of a JUnit file are read, skipped tests by name", () => {
  const xml = `<?xml version="1.0"?>
<testsuites name="bun test" tests="3" assertions="1" failures="1" skipped="1" time="0.1">
  <testsuite name="x" tests="3"><testcase name="a b" time="0"/>
    <testcase name="c" time="0"><failure type="E"/></testcase>
    <testcase name="d &amp; e" time="0"><skipped/></testcase></testsuite></testsuites>`;
  expect(readJunit(xml)).toEqual({
    count: { passed: 1, failed: 1, skipped: 1 },
    skippedNames: ["d &amp; e"],
  });
  expect(() => readJunit("<testsuites>")).toThrow();
});

test("the counts of other runners are read, and their absence is an error", () => {
  expect(readPrograms("test-a: ok\nFAILED something\ntest-b: ok\n")).toEqual({
    passed: 2,
    failed: 1,
    skipped: 0,
  });
  expect(readNodeTest("# pass 2\n# fail 0\n# skipped 1\n")).toEqual({
    passed: 2,
    failed: 0,
    skipped: 1,
  });
  expect(() => readPrograms("no count")).toThrow();
  expect(() => readNodeTest("ok")).toThrow();
});

test("an error sentence with a capital or a full stop is found, a name or a reference text is not", () => {
  const source = [
    'new TrustError("A", "Cannot do this")',
    "new StoreError(code, `cannot do it.`)",
    'new StoreError("B", "TLS verification failed")',
    '// reference text\nnew StoreError("B", "Only one.")',
    'new FetchError("C", "waiting...")',
  ].join("\n");
  expect(checkSentences(source).map((each) => each.line)).toEqual([1, 2]);
});

test("a file without an SPDX line or with an odd name is found", () => {
  expect(checkFile("src/a-b.ts", "// SPDX-License-Identifier: Apache-2.0\n")).toEqual([]);
  expect(checkFile("src/aB.ts", "")).toHaveLength(2);
});

test("links and headings are read from documents, and a table is put in its place", () => {
  expect(localLinks("[a](b.md#c) `[x](y)` [d](https://e)")).toEqual(["b.md#c"]);
  expect([...anchors("# One two\n## `rkt run` it!\n")]).toEqual(["one-two", "rkt-run-it"]);
  const page = "a\n<!-- options -->\nold\n<!-- /options -->\nb\n";
  expect(withTable(page, "new\n")).toBe("a\n<!-- options -->\nnew\n<!-- /options -->\nb\n");
  expect(withTable("a", "new")).toBeUndefined();
});

test("the platform of a package is read from its name", () => {
  expect(platformOf("@x/cli-linux-x64-musl")).toEqual({ os: "linux", cpu: "x64", libc: "musl" });
  expect(platformOf("@x/binding-linux-arm-musleabihf")).toEqual({
    os: "linux",
    cpu: "arm",
    libc: "musl",
  });
  expect(platformOf("left-pad")).toBeUndefined();
});
