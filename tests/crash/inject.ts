// SPDX-License-Identifier: Apache-2.0
// Kills a command at its state-changing system calls, one after the other, or makes them fail. It is strace that
// injects the fault, so the executable is the one that users have, and nothing in it knows of the test.
import { readFileSync } from "node:fs";
import type { Result, Rkt, RunOptions } from "../support/rkt.ts";

/** What changes what others see or what is on disk. A name without "/" is one call exactly. */
const CALLS = [
  ...["rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"],
  ...["mkdir", "mkdirat", "mknod", "mknodat", "unlink", "unlinkat", "rmdir"],
  ...["open", "openat", "write", "pwrite64", "writev", "copy_file_range", "ftruncate", "fallocate"],
  ...["fsync", "fdatasync", "syncfs", "flock"],
  ...["chmod", "fchmod", "fchmodat", "chown", "lchown", "fchown", "fchownat", "utimensat"],
  ...["setxattr", "lsetxattr", "fsetxattr"],
  ...["mount", "umount2", "move_mount", "pivot_root", "unshare", "setns", "clone3", "execve"],
] as const;

/** One call of a command: the `nth` of that name in its thread. */
export interface Place {
  readonly call: string;
  readonly nth: number;
  /** The call and what it is about, without what differs from run to run: equal for the same line of code. */
  readonly about: string;
}

export type Fault = "KILL" | "ENOSPC" | "EIO";

export interface Injected {
  readonly result: Result;
  /** What the fault really hit; undefined when the command ended before it came to the place. */
  readonly hit: string | undefined;
}

function strace(log: string, extra: readonly string[] = []): readonly string[] {
  const trace = ["-e", `trace=${CALLS.join(",")}`];
  return ["strace", "-f", "-y", "--seccomp-bpf", "-o", log, ...trace, ...extra];
}

/** Runs the command to its end, which must be good, and gives its places in the order in which they come. */
export async function findPlaces(
  rkt: Rkt,
  args: readonly string[],
  options: RunOptions = {},
): Promise<readonly Place[]> {
  const log = `${rkt.work}/strace.log`;
  await rkt.ok(args, { ...options, under: strace(log) });
  return readPlaces(readFileSync(log, "latin1"), baseOf(rkt));
}

export async function inject(
  rkt: Rkt,
  args: readonly string[],
  options: RunOptions & { readonly place: Place; readonly fault: Fault },
): Promise<Injected> {
  const { place, fault, ...runOptions } = options;
  const log = `${rkt.work}/strace.log`;
  const what = fault === "KILL" ? "signal=KILL" : `error=${fault}`;
  const expression = `inject=${place.call}:${what}:when=${place.nth}`;
  const result = await rkt.run(args, { ...runOptions, under: strace(log, ["-e", expression]) });
  const lines = readFileSync(log, "latin1").split("\n");
  const base = baseOf(rkt);
  if (fault !== "KILL") {
    const line = lines.find((each) => each.includes("(INJECTED)"));
    return { result, hit: line === undefined ? undefined : aboutCall(line, base) };
  }
  const killed = lines.find((each) => each.endsWith("+++ killed by SIGKILL +++"))?.split(" ")[0];
  // The kernel skips a call at whose entry the caller is killed: it is the thread's last line.
  const line = lines.findLast((each) => each.startsWith(`${killed} `) && each.includes("("));
  return { result, hit: line === undefined ? undefined : aboutCall(line, base) };
}

function baseOf(rkt: Rkt): string {
  return rkt.work.slice(0, rkt.work.lastIndexOf("/"));
}

const LINE = /^(\d+) +([a-z0-9_]+)\(/;

/** The places in the log of a whole run. Counts as strace does: per thread and per name of a call. */
export function readPlaces(log: string, base: string): readonly Place[] {
  const counts = new Map<string, number>();
  const places: Place[] = [];
  for (const line of log.split("\n")) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, thread, call = ""] = match;
    const counter = `${thread} ${call}`;
    const nth = (counts.get(counter) ?? 0) + 1;
    counts.set(counter, nth);
    if (changesSomething(line, call, base))
      places.push({ call, nth, about: aboutCall(line, base) });
  }
  return places;
}

function changesSomething(line: string, call: string, base: string): boolean {
  if (/ = -1 E/.test(line)) return false;
  if (call === "open" || call === "openat") return line.includes("O_CREAT");
  if (call === "write" || call === "pwrite64" || call === "writev") {
    return line.includes(`(`) && new RegExp(`\\(\\d+<(${base}|/memfd:)`).test(line);
  }
  return true;
}

/** `rename /data/cas/tmp/import-R /data/cas/blob/sha512/AB/K`. */
function aboutCall(line: string, base: string): string {
  const call = LINE.exec(line)?.[2] ?? "";
  const isWrite = /^p?write|^copy_file_range/.test(call);
  const words = [...line.matchAll(/\d+<([^>]*)>|"([^"]*)"/g)]
    .map(([, file, text]) => file ?? (isWrite ? undefined : text))
    .filter((word) => word !== undefined && word !== "" && word !== "/");
  const text = words
    .join(" ")
    .replaceAll(base, "")
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "UUID")
    .replaceAll(/sha512-[0-9a-f]{32,128}(\.\.\.)?/g, "KEY")
    .replaceAll(/\/sha512\/[0-9a-f]{2}\b/g, "/sha512/AB")
    .replaceAll(/\b(import-)?[0-9a-f]{12,24}\b/g, "$1RANDOM")
    .replaceAll(/\b(\/proc)\/\d+/g, "$1/PID")
    .replaceAll(/(cas\/tree\/deps-KEY\/rootfs)\/[^ ]*/g, "$1/*")
    .replaceAll(/(stage2\/[^/ ]+\/rootfs)\/[^ ]*/g, "$1/*");
  return `${call} ${text}`.slice(0, 240);
}

/**
 * One place of each kind: the first, the last and the middle one of what a loop does. What is left out does
 * the same to another file.
 */
export function choosePlaces(places: readonly Place[]): readonly Place[] {
  const kinds = new Map<string, Place[]>();
  const seen = new Set<string>();
  for (const place of places) {
    const id = `${place.call} ${place.nth}`;
    // The same number in another thread would be the same injection.
    if (seen.has(id)) continue;
    seen.add(id);
    kinds.set(place.about, [...(kinds.get(place.about) ?? []), place]);
  }
  return [...kinds.values()].flatMap((kind) => {
    const [first, last, middle] = [kind[0], kind.at(-1), kind[kind.length >> 1]];
    return [...new Set([first, middle, last])].filter((place) => place !== undefined);
  });
}
