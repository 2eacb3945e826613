// SPDX-License-Identifier: Apache-2.0
// A process that is not there: for tests, which read what was written as two strings.
import { realpathSync } from "node:fs";
import { runRkt } from "./cli.ts";
import type { Host } from "./context.ts";

export interface Result {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
}

/** Runs `rkt WORDS` in this process. */
export async function runWords(
  words: readonly string[],
  overrides: Partial<Omit<Host, "args" | "write">> = {},
): Promise<Result> {
  let stdout = "";
  let stderr = "";
  const status = await runRkt({
    env: {},
    cwd: "/",
    euid: 1000,
    isTTY: () => false,
    columns: () => 80,
    now: () => new Date("2026-01-02T03:04:05Z"),
    readLine: () => undefined,
    realpath: (path) => realpathSync(path),
    ...overrides,
    args: words,
    write(fd, text) {
      const decoded = typeof text === "string" ? text : Buffer.from(text).toString("utf8");
      if (fd === 1) stdout += decoded;
      else stderr += decoded;
    },
  });
  return { stdout, stderr, status };
}
