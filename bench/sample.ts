// SPDX-License-Identifier: Apache-2.0
// Taking samples: one command at a time, all contenders in turn, on a machine that is otherwise quiet.
import { readFileSync } from "node:fs";

export interface Sample {
  readonly milliseconds: number;
  /** Peak resident set of the command and the children that it waited for, in bytes. */
  readonly peakBytes: number;
}

export interface Contender {
  readonly name: string;
  /** The command line of the next sample; called outside the measured time. */
  readonly command: () => readonly string[];
  /** Puts things back after all samples, as collection by a timer does; outside the measured time. */
  readonly after?: () => void;
}

export const TIMER = "build/bench/timer";

/** Builds the C helpers of this folder. */
export function buildHelpers(): void {
  must(["mkdir", "-p", "build/bench"]);
  must(["gcc", "-O2", "-Wall", "-o", TIMER, "bench/timer.c"]);
  must(["gcc", "-O2", "-Wall", "-static", "-s", "-o", "build/bench/payload", "bench/payload.c"]);
}

/** Runs a preparation step; its failure ends the benchmark with what it said. */
export function must(
  command: readonly string[],
  options: { cwd?: string; input?: string } = {},
): string {
  const run = Bun.spawnSync([...command], {
    stdin: options.input === undefined ? "ignore" : Buffer.from(options.input),
    stdout: "pipe",
    stderr: "pipe",
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  if (run.exitCode !== 0) {
    throw new Error(
      `${command.join(" ")}: status ${run.exitCode}: ${run.stderr.toString().trim()}`,
    );
  }
  return run.stdout.toString();
}

/** One sample of a command, after so many milliseconds of idleness. */
export function sample(command: readonly string[], idleMilliseconds = 0): Sample {
  const run = Bun.spawnSync([TIMER, String(idleMilliseconds), ...command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [nanoseconds, kilobytes, status] = run.stdout.toString().trim().split(" ").map(Number);
  if (run.exitCode !== 0 || status !== 0 || nanoseconds === undefined || kilobytes === undefined) {
    throw new Error(`${command.join(" ")}: status ${status}: ${run.stderr.toString().trim()}`);
  }
  return { milliseconds: nanoseconds / 1e6, peakBytes: kilobytes * 1024 };
}

/** `rounds` samples of each contender, interleaved: what disturbs one disturbs all. */
export function interleave(
  contenders: readonly Contender[],
  rounds: number,
  idleMilliseconds: number,
): Map<string, Sample[]> {
  const samples = new Map<string, Sample[]>(contenders.map((each) => [each.name, []]));
  for (let round = -1; round < rounds; round++) {
    for (const contender of contenders) {
      const one = sample(contender.command(), idleMilliseconds);
      // Round -1 warms caches and does not count.
      if (round >= 0) samples.get(contender.name)?.push(one);
    }
  }
  for (const contender of contenders) contender.after?.();
  return samples;
}

/** As `interleave`, but each contender's samples one right after the other. */
export function backToBack(
  contenders: readonly Contender[],
  rounds: number,
): Map<string, Sample[]> {
  return new Map(
    contenders.map((contender) => {
      const commands = Array.from({ length: rounds + 3 }, () => contender.command());
      const samples = commands.map((command) => sample(command)).slice(3);
      contender.after?.();
      return [contender.name, samples];
    }),
  );
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle];
  const lower = sorted.length % 2 === 0 ? sorted[middle - 1] : upper;
  if (upper === undefined || lower === undefined) throw new Error("median of nothing");
  return (lower + upper) / 2;
}

function busyTicks(): { busy: number; total: number } {
  const ticks = (readFileSync("/proc/stat", "utf8").split("\n")[0] ?? "")
    .split(/\s+/)
    .slice(1)
    .map(Number);
  const total = ticks.reduce((sum, value) => sum + value, 0);
  return { busy: total - (ticks[3] ?? 0) - (ticks[4] ?? 0), total };
}

/** Waits until the processors are idle (under 4 % over a second); says so when they will not be. */
export async function quiet(patience = 120): Promise<boolean> {
  for (let second = 0; second < patience; second++) {
    const before = busyTicks();
    await Bun.sleep(1000);
    const after = busyTicks();
    if ((after.busy - before.busy) / (after.total - before.total) < 0.04) return true;
    if (second === 5) console.error("bench: waiting for a quiet machine");
  }
  console.error("bench: the machine is not quiet; the figures are not worth much");
  return false;
}
