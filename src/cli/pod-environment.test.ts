// SPDX-License-Identifier: Apache-2.0
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inheritedEnvironment, readEnvironmentFiles } from "./pod-environment.ts";

const directory = mkdtempSync(join(tmpdir(), "rkt-env-"));
afterAll(() => rmSync(directory, { recursive: true }));

function read(...contents: readonly string[]) {
  const files = contents.map((content, i) => {
    writeFileSync(join(directory, `${i}`), content);
    return `${i}`;
  });
  return readEnvironmentFiles(files, directory);
}

test("lines of files become variables, comments and blank lines do not", () => {
  expect(read("A=1\n\n# B=2\n;C=3\n D=x=y \n", "E=")).toEqual([
    { name: "A", value: "1" },
    { name: "D", value: "x=y" },
    { name: "E", value: "" },
  ]);
});

test("what is wrong in a file is said with the file's name", () => {
  const malformed = 'environment variable must be specified as name=value (file "0")';
  expect(() => read("A")).toThrow(malformed);
  expect(() => read("=A")).toThrow(malformed);
  expect(() => read("A=1", "A=2")).toThrow('environment variable "A" already set (file "1")');
  expect(() => read("1A=1")).toThrow(
    'environment variable does not have valid identifier "1A" (file "0")',
  );
  expect(() => readEnvironmentFiles(["none"], directory)).toThrow(
    'cannot read --set-env-file "none"',
  );
});

test("the caller's variables are inherited when an app may have their names", () => {
  expect(inheritedEnvironment({ A: "1", "BASH_FUNC_f%%": "()", B: undefined })).toEqual([
    { name: "A", value: "1" },
  ]);
});
