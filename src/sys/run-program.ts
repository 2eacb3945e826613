// SPDX-License-Identifier: Apache-2.0
// Runs a helper program to its end: with a text on its stdin, what it prints bounded, its time bounded, in
// a session of its own so that whatever it started ends with it.

export interface ProgramCall {
  readonly path: string;
  readonly args?: readonly string[];
  /** The whole environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
  readonly timeoutMs: number;
  /** More on stdout ends the program. What it says on stderr beyond 64 KiB is dropped. */
  readonly maxStdout: number;
}

export type ProgramEnd =
  | { readonly kind: "exited"; readonly status: number }
  | { readonly kind: "signaled"; readonly signal: string }
  | { readonly kind: "timeout" }
  | { readonly kind: "too-much-output" };

export interface ProgramOutcome {
  readonly end: ProgramEnd;
  readonly stdout: string;
  readonly stderr: string;
}

const MAX_STDERR = 64 * 1024;
/** How long its output is waited for when it has ended: what it left behind may hold the pipe open for ever. */
const REST_MS = 5000;

/** Throws the system's error when the program cannot be started at all (ENOENT, EACCES, ENOEXEC). */
export async function runProgram(call: ProgramCall): Promise<ProgramOutcome> {
  let early: ProgramEnd | undefined;
  const child = Bun.spawn([call.path, ...(call.args ?? [])], {
    cwd: "/",
    env: { ...call.env },
    stdin: Buffer.from(call.stdin, "utf8"),
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  const stop = (why: ProgramEnd) => {
    early ??= why;
    killGroup(child.pid);
  };
  const timer = setTimeout(() => stop({ kind: "timeout" }), call.timeoutMs);
  try {
    const outputs = [
      readUpTo(child.stdout, call.maxStdout, () => stop({ kind: "too-much-output" })),
      readUpTo(child.stderr, MAX_STDERR, () => undefined),
    ] as const;
    await child.exited;
    const rest = setTimeout(() => {
      for (const output of outputs) output.leave();
    }, REST_MS);
    const [stdout, stderr] = await Promise.all(outputs.map(({ text }) => text));
    clearTimeout(rest);
    return { end: early ?? endOf(child), stdout: stdout ?? "", stderr: stderr ?? "" };
  } finally {
    clearTimeout(timer);
  }
}

function endOf(child: {
  readonly exitCode: number | null;
  readonly signalCode: string | number | null;
}): ProgramEnd {
  return child.signalCode === null
    ? { kind: "exited", status: child.exitCode ?? -1 }
    : { kind: "signaled", signal: String(child.signalCode) };
}

interface Output {
  readonly text: Promise<string>;
  /** Waits for no more. */
  leave(): void;
}

/** The first `limit` bytes as text. The rest is read and dropped, so that the writer never blocks. */
function readUpTo(stream: ReadableStream<Uint8Array>, limit: number, onExcess: () => void): Output {
  const reader = stream.getReader();
  const read = async (): Promise<string> => {
    const kept: Uint8Array[] = [];
    let room = limit;
    for (;;) {
      const { value: chunk } = await reader.read();
      if (chunk === undefined) break;
      if (chunk.length > room) onExcess();
      if (room === 0) continue;
      const part = chunk.subarray(0, room);
      kept.push(part);
      room -= part.length;
    }
    return Buffer.concat(kept).toString("utf8");
  };
  return { text: read(), leave: () => void reader.cancel() };
}

/** The child leads its group (`detached`). While one of the group lives, the number is not given to another. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as { code?: string }).code !== "ESRCH") throw error;
  }
}
