// SPDX-License-Identifier: Apache-2.0
// A system tool, run to its end with a text on its stdin.

/** Where the system has its tools, whatever the caller's PATH says. */
const PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

export function findTool(name: string): string | undefined {
  return Bun.which(name, { PATH }) ?? undefined;
}

export interface ToolResult {
  readonly status: number;
  readonly stderr: string;
}

export function runTool(argv: readonly string[], input = ""): ToolResult {
  const { exitCode, stderr } = Bun.spawnSync([...argv], {
    env: { PATH, LC_ALL: "C" },
    stdin: Buffer.from(input),
    stdout: "ignore",
    stderr: "pipe",
  });
  return { status: exitCode, stderr: stderr.toString("utf8", 0, 4096).trim() };
}
