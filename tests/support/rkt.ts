// SPDX-License-Identifier: Apache-2.0
// Runs dist/rkt as a user would, with directories of its own and a fixed environment, and answers for
// what the run leaves behind: mounts, processes, cgroups, files.
import { expect, onTestFinished } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { constants } from "node:os";
import { join, resolve } from "node:path";
import { exists, mountsBelow, removeTree, tempDir } from "./temp.ts";

export const PROJECT = resolve(import.meta.dir, "../..");
/** The executable under test; another one than the build's when RKT_EXECUTABLE names it. */
export const RKT = process.env["RKT_EXECUTABLE"] ?? join(PROJECT, "dist/rkt");

/** The environment of every run: nothing of the caller's but PATH. */
export const FIXED_ENV: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  LC_ALL: "C",
  TZ: "Etc/UTC",
  NO_COLOR: "1",
};

export interface Result {
  readonly stdout: string;
  readonly stderr: string;
  /** Exit status, 128+n for a signal. */
  readonly status: number;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string | Uint8Array;
  /** Milliseconds until the run is killed and the test fails; not a promise about speed. */
  readonly timeout?: number;
  /** Another program that gets rkt's command line: setpriv, strace, ... */
  readonly under?: readonly string[];
}

/** An rkt with its own data, system and local configuration directories. */
export interface Rkt extends AsyncDisposable {
  readonly data: string;
  readonly local: string;
  readonly system: string;
  /** Scratch space beside them. */
  readonly work: string;
  /** Runs `rkt ARGS`; never throws for a failing status. */
  run(args: readonly string[], options?: RunOptions): Promise<Result>;
  /** As `run`, and expects status 0 (its stderr is in the failure). Gives stdout. */
  ok(args: readonly string[], options?: RunOptions): Promise<string>;
  /** As `run`, and expects a failure of rkt's own: status 254, and this text in stderr. */
  fails(
    args: readonly string[],
    text: string | RegExp,
    options?: RunOptions & { status?: number },
  ): Promise<Result>;
  /** Starts `rkt ARGS` and does not wait. */
  spawn(args: readonly string[], options?: RunOptions): Running;
  /** Names of the entries below the data directory that no finished command should leave. */
  leftovers(): string[];
}

export interface Running extends AsyncDisposable {
  readonly pid: number;
  readonly stdin: import("bun").FileSink;
  stdout(): string;
  stderr(): string;
  kill(signal?: NodeJS.Signals): void;
  /** Waits for the end. */
  readonly finished: Promise<Result>;
  /** Waits until stdout (or with "stderr" that) contains the text; fails when the process ends first. */
  until(text: string | RegExp, stream?: "stdout" | "stderr"): Promise<void>;
}

const DEFAULT_TIMEOUT = 60_000;

function statusOf(exitCode: number | null, signalCode: number | string | null): number {
  if (exitCode !== null) return exitCode;
  if (typeof signalCode === "number") return 128 + signalCode;
  return 128 + (constants.signals[signalCode as NodeJS.Signals] ?? 0);
}

function start(command: readonly string[], options: RunOptions): Running {
  const child = Bun.spawn([...command], {
    env: { ...FIXED_ENV, ...options.env },
    cwd: options.cwd ?? "/",
    stdin: options.stdin === undefined ? "pipe" : Buffer.from(options.stdin as string),
    stdout: "pipe",
    stderr: "pipe",
  });
  const text = { stdout: "", stderr: "" };
  const waiters = new Set<() => void>();
  const collect = async (name: "stdout" | "stderr"): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of child[name]) {
      text[name] += decoder.decode(chunk, { stream: true });
      for (const wake of waiters) wake();
    }
  };
  const readers = Promise.all([collect("stdout"), collect("stderr")]);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, options.timeout ?? DEFAULT_TIMEOUT);
  const finished = (async (): Promise<Result> => {
    await child.exited;
    clearTimeout(timer);
    // A pod that outlives its killed parent keeps the pipes open: do not wait for their end for ever.
    await Promise.race([readers, Bun.sleep(5000)]);
    for (const wake of waiters) wake();
    if (timedOut) {
      throw new Error(
        `timed out: ${command.join(" ")}\nstdout: ${text.stdout}\nstderr: ${text.stderr}`,
      );
    }
    return {
      ...text,
      status: statusOf(child.exitCode, child.signalCode),
    };
  })();
  finished.catch(() => undefined);
  return {
    pid: child.pid,
    stdin: child.stdin as unknown as import("bun").FileSink,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    kill: (signal = "SIGTERM") => {
      child.kill(signal);
    },
    finished,
    async until(wanted, stream = "stdout") {
      const found = (): boolean =>
        typeof wanted === "string" ? text[stream].includes(wanted) : wanted.test(text[stream]);
      while (!found()) {
        if (child.exitCode !== null || child.signalCode !== null) {
          await finished;
          if (found()) return;
          throw new Error(`ended before ${String(wanted)} came: ${text.stdout}${text.stderr}`);
        }
        const woken = Promise.withResolvers<void>();
        waiters.add(woken.resolve);
        await woken.promise;
        waiters.delete(woken.resolve);
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      const ended = await Promise.race([finished.then(() => true), Bun.sleep(10_000)]);
      if (ended !== true) child.kill("SIGKILL");
      await finished;
    },
  };
}

export interface RktOptions {
  /** Another data directory than a new one. */
  readonly data?: string;
  /** A broken download stays in cas/tmp, to be resumed: that is no leftover here. */
  readonly keepsPartial?: boolean;
  /** A program that gets every command line of this rkt: nsenter, for a host in namespaces of its own. */
  readonly under?: readonly string[];
}

/** `await using rkt = newRkt()`: at the end everything is collected and checked, then removed. */
export function newRkt(options: RktOptions = {}): Rkt {
  const base = tempDir("rkt-cli");
  const [data, local, system, work] = ["data", "local", "system", "work"].map((name) => {
    mkdirSync(base.join(name));
    return base.join(name);
  }) as [string, string, string, string];
  const dataDir = options.data ?? data;
  const pods = new Set<string>();
  // Leftovers fail the test after its end, not at the end of the block: an error thrown there would hide
  // the test's own (the runner prints a SuppressedError without what is in it).
  const left: string[] = [];
  onTestFinished(() => {
    if (left.length > 0) throw new Error(`left behind:\n  ${left.join("\n  ")}`);
  });
  const notePods = (): void => {
    for (const state of ["prepare", "prepared", "run", "exited-garbage", "garbage"]) {
      if (!exists(join(dataDir, "pods", state))) continue;
      for (const uuid of readdirSync(join(dataDir, "pods", state))) pods.add(uuid);
    }
  };
  const command = (args: readonly string[], under: readonly string[] = []): string[] => [
    ...(options.under ?? []),
    ...under,
    RKT,
    `--dir=${dataDir}`,
    `--local-config=${local}`,
    `--system-config=${system}`,
    ...args,
  ];
  const rkt: Rkt = {
    data: dataDir,
    local,
    system,
    work,
    async run(args, runOptions = {}) {
      const result = await start(command(args, runOptions.under), {
        ...runOptions,
        stdin: runOptions.stdin ?? "",
      }).finished;
      notePods();
      return result;
    },
    async ok(args, runOptions) {
      const result = await rkt.run(args, runOptions);
      expect({
        args,
        status: result.status,
        stderr: result.status === 0 ? "" : result.stderr,
      }).toEqual({
        args,
        status: 0,
        stderr: "",
      });
      return result.stdout;
    },
    async fails(args, text, failOptions = {}) {
      const result = await rkt.run(args, failOptions);
      if (typeof text === "string") expect(result.stderr).toContain(text);
      else expect(result.stderr).toMatch(text);
      expect(result.status).toBe(failOptions.status ?? 254);
      // One sentence for a person, never a stack.
      expect(result.stderr).not.toMatch(/^\s+at .*\(?.*:\d+:\d+\)?$/m);
      expect(result.stderr).not.toContain("this is a bug");
      return result;
    },
    spawn(args, runOptions = {}) {
      const running = start(command(args, runOptions.under), runOptions);
      running.finished.then(notePods, notePods);
      return running;
    },
    leftovers() {
      const found: string[] = [];
      for (const dir of ["cas/tmp", "tmp", "pods/embryo", "pods/prepare"]) {
        if (!exists(join(dataDir, dir))) continue;
        for (const name of readdirSync(join(dataDir, dir))) {
          const partial = dir === "cas/tmp" && /^sha512-[0-9a-f]{64}(\.etag)?$/.test(name);
          if (!(partial && options.keepsPartial)) found.push(join(dir, name));
        }
      }
      return found;
    },
    async [Symbol.asyncDispose]() {
      notePods();
      let problems: string[] = [];
      if (process.getuid?.() === 0 && exists(join(dataDir, "pods"))) {
        for (const uuid of pods) {
          if (exists(join(dataDir, "pods/run", uuid))) await rkt.run(["stop", "--force", uuid]);
        }
        const gc = await rkt.run(["gc", "--grace-period=0s", "--expire-prepared=0s"]);
        if (gc.status !== 0) problems.push(`gc ended with ${gc.status}: ${gc.stderr}`);
        for (const state of ["prepare", "run", "exited-garbage", "garbage"]) {
          if (!exists(join(dataDir, "pods", state))) continue;
          for (const name of readdirSync(join(dataDir, "pods", state))) {
            problems.push(`pod left in ${state}: ${name}`);
          }
        }
      }
      problems = [
        ...problems,
        ...rkt.leftovers().map((name) => `file left: ${name}`),
        ...mountsBelow(base.path).map((name) => `mount left: ${name}`),
        ...processesBelow(base.path).map((name) => `process left: ${name}`),
        ...cgroupsOf(pods).map((name) => `cgroup left: ${name}`),
      ];
      left.push(...problems);
      // What is still mounted there is for a person to look at.
      if (mountsBelow(base.path).length === 0) removeTree(base.path);
    },
  };
  return rkt;
}

/** Processes whose command line, root or working directory lies below `path`. */
export function processesBelow(path: string): string[] {
  const found: string[] = [];
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      const links = ["cwd", "root"].map((name) => readlinkSync(`/proc/${pid}/${name}`));
      if (line.includes(path) || links.some((link) => link.startsWith(path))) {
        if (statSync(`/proc/${pid}`).isDirectory()) found.push(`${pid} ${line}`);
      }
    } catch (error) {
      // The process ended while it was looked at, or is a zombie without links.
      if (!["ENOENT", "ESRCH", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? ""))
        throw error;
    }
  }
  return found;
}

/** Control groups whose path names one of the pods. */
export function cgroupsOf(pods: ReadonlySet<string>): string[] {
  if (pods.size === 0) return [];
  const found: string[] = [];
  const walk = (dir: string, depth: number): void => {
    let entries: import("node:fs").Dirent[];
    try {
      entries = readdirSync(dir, { withFileTypes: true });
    } catch (error) {
      if (["ENOENT", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "")) return;
      throw error;
    }
    for (const entry of entries) {
      if (!entry.isDirectory()) continue;
      const path = join(dir, entry.name);
      const plain = entry.name.replaceAll("\\x2d", "-");
      if ([...pods].some((uuid) => plain.includes(uuid))) found.push(path);
      else if (depth > 0) walk(path, depth - 1);
    }
  };
  walk("/sys/fs/cgroup", 5);
  return found;
}

/**
 * Runs `rkt ARGS` and gives its peak memory as well. Through time(1), because the figure that the kernel
 * keeps for a direct child begins with what this process has.
 */
export async function runMeasured(
  rkt: Rkt,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Result & { peakBytes: number }> {
  const file = join(rkt.work, "peak");
  const result = await rkt.run(args, { ...options, under: ["time", "-q", "-o", file, "-f", "%M"] });
  return { ...result, peakBytes: Number(readFileSync(file, "utf8").trim()) * 1024 };
}
