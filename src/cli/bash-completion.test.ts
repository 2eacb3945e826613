// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { bashCompletion } from "./bash-completion.ts";
import { allCommands } from "./command-table.ts";

const SCRIPT = bashCompletion(allCommands());

/** What bash offers for the last word; words are given as bash splits them, "=" on its own. */
function complete(...words: readonly string[]): string[] {
  const program = `${SCRIPT}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); __rkt_complete; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const run = Bun.spawnSync(["bash", "-c", program, "bash", ...words], { cwd: import.meta.dir });
  expect(run.stderr.toString()).toBe("");
  return run.stdout
    .toString()
    .split("\n")
    .filter((line) => line !== "");
}

test("bash accepts the script and registers it for rkt", () => {
  const run = Bun.spawnSync(["bash", "-c", `${SCRIPT}\ncomplete -p rkt`]);
  expect(run.stderr.toString()).toBe("");
  expect(run.stdout.toString()).toBe("complete -F __rkt_complete rkt\n");
});

test("commands and sub-commands are completed", () => {
  expect(complete("rkt", "fe")).toEqual(["fetch"]);
  expect(complete("rkt", "run")).toEqual(["run", "run-prepared"]);
  expect(complete("rkt", "image", "ex")).toEqual(["export", "extract"]);
  expect(complete("rkt", "help", "tr")).toEqual(["trust"]);
  expect(complete("rkt", "completion", "")).toEqual(["bash"]);
});

test("flags are completed, those of the command and the global ones", () => {
  expect(complete("rkt", "run", "--pull")).toEqual(["--pull-policy="]);
  expect(complete("rkt", "--debug", "image", "gc", "--gr")).toEqual(["--grace-period="]);
  expect(complete("rkt", "list", "--de")).toEqual(["--debug"]);
  expect(complete("rkt", "list", "--pull")).toEqual([]);
  expect(complete("rkt", "--dir", "x", "list", "--fu")).toEqual(["--full"]);
});

test("values are completed after = and as a word of their own", () => {
  expect(complete("rkt", "fetch", "--pull-policy", "=", "n")).toEqual(["never", "new"]);
  expect(complete("rkt", "fetch", "--pull-policy", "=")).toEqual(["never", "new", "update"]);
  expect(complete("rkt", "fetch", "--pull-policy", "u")).toEqual(["update"]);
  expect(complete("rkt", "list", "--format", "=", "json-")).toEqual(["json-pretty"]);
});

test("files are completed where files are expected", () => {
  expect(complete("rkt", "fetch", "bash-completion.t").sort()).toEqual([
    "bash-completion.test.ts",
    "bash-completion.ts",
  ]);
  expect(complete("rkt", "rm", "--uuid-file", "=", "flags.t")).toContain("flags.test.ts");
});
