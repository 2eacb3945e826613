// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram } from "./run-program.ts";

const shell = (script: string, timeoutMs: number) =>
  runProgram({
    path: "/bin/sh",
    args: ["-c", script],
    env: { PATH: "/usr/bin:/bin" },
    stdin: "in",
    timeoutMs,
    maxStdout: 1000,
  });

test.each([
  ["ended", "echo out; echo err >&2; exit 3", 60_000, { kind: "exited", status: 3 }],
  ["was killed", "echo out; echo err >&2; exec sleep 1000", 500, { kind: "timeout" }],
])(
  "what left its session and keeps the output open is not waited for: the program %s",
  async (_, script, timeoutMs, end) => {
    const directory = mkdtempSync(join(tmpdir(), "run-program-"));
    try {
      // Without the time that the rest has, this would take the 1000 s of `sleep`, and the test would not end.
      const left = `setsid sh -c 'echo $$ >${directory}/pid; exec sleep 1000' & while [ ! -s ${directory}/pid ]; do sleep 0.01; done`;
      const outcome = await shell(`${left}; ${script}`, timeoutMs);
      expect(outcome).toEqual({ end, stdout: "out\n", stderr: "err\n" } as typeof outcome);
    } finally {
      process.kill(Number(readFileSync(join(directory, "pid"), "utf8")), "SIGKILL");
      rmSync(directory, { recursive: true });
    }
  },
  30_000,
);

test("more output than is wanted ends the program, and what was read stays", async () => {
  const { end, stdout } = await shell("while :; do echo 0123456789; done", 60_000);
  expect(end).toEqual({ kind: "too-much-output" });
  expect(stdout.length).toBe(1000);
});
