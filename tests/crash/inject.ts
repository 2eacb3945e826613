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
  /** How many with the same `about` came before it. */
  readonly before: number;
  /** Where the file has the same name in every run: the `nth` call on that file, below the test's directory. */
  readonly onFile?: { readonly file: string; readonly nth: number };
}

export interface Injected extends Result {
  /** How many processes and threads the fault hit: each counts for itself. */
  readonly hits: number;
}

export type Fault = "KILL" | "ENOSPC" | "EIO";

function strace(log: string, extra: readonly string[]): readonly string[] {
  const trace = ["-e", `trace=${CALLS.join(",")}`];
  return ["strace", "-f", "-y", "-o", log, ...trace, ...extra];
}

/** Stops only at the calls that are asked for: much faster, but strace cannot inject a signal then. */
const FAST = ["--seccomp-bpf"];

/** Runs the command to its end, which must be good, and gives its places in the order in which they come. */
export async function findPlaces(
  rkt: Rkt,
  args: readonly string[],
  options: RunOptions = {},
): Promise<readonly Place[]> {
  const log = `${rkt.work}/strace.log`;
  await rkt.ok(args, { ...options, under: strace(log, FAST) });
  return readPlaces(readFileSync(log, "latin1"), baseOf(rkt));
}

/** Disturbs the command at the place. Gives undefined when it was not reached. */
export async function inject(
  rkt: Rkt,
  args: readonly string[],
  options: RunOptions & { readonly place: Place; readonly fault: Fault },
): Promise<Injected | "missed"> {
  const { place, fault, ...runOptions } = options;
  const log = `${rkt.work}/strace.log`;
  const what = fault === "KILL" ? "signal=KILL" : `error=${fault}`;
  const { nth, onFile } = place;
  const only =
    onFile === undefined
      ? []
      : ["-P", SHARED.test(onFile.file) ? onFile.file : `${baseOf(rkt)}${onFile.file}`];
  const expression = `inject=${place.call}:${what}:when=${onFile?.nth ?? nth}`;
  const extra = [...(fault === "KILL" ? [] : FAST), ...only, "-e", expression];
  const result = await rkt.run(args, { ...runOptions, under: strace(log, extra) });
  const text = readFileSync(log, "latin1");
  if (fault === "KILL") {
    return text.includes("+++ killed by SIGKILL +++") ? { ...result, hits: 1 } : "missed";
  }
  const [first, ...more] = text.split("\n").filter((line) => line.includes("(INJECTED)"));
  if (first === undefined || aboutCall(first, baseOf(rkt)) !== place.about) return "missed";
  return { ...result, hits: 1 + more.length };
}

/** The place in the run before, where the runtime's own calls may have shifted it. */
export function findAgain(rkt: Rkt, place: Place): Place | undefined {
  const text = readFileSync(`${rkt.work}/strace.log`, "latin1");
  return readPlaces(text, baseOf(rkt)).find(
    (each) => each.about === place.about && each.before === place.before && each.nth !== place.nth,
  );
}

/** Files of networks, which no data directory has to itself. */
const SHARED = /^\/(run\/rkt|var\/lib\/cni)\//;

function baseOf(rkt: Rkt): string {
  return rkt.work.slice(0, rkt.work.lastIndexOf("/"));
}

/** The one file of a call that works on a descriptor, or of an open. */
const FILE_OF_CALL =
  /^\d+ +(?:(?:p?write(?:64|v)?|fsync|ftruncate)\(\d+<([^>]*)>|open(?:at)?\((?:[^"]*, )?"([^"]*)")/;

const LINE = /^(\d+) +([a-z0-9_]+)\(/;

/** The places in the log of a whole run. Counts as strace does: per thread and per name of a call. */
export function readPlaces(log: string, base: string): readonly Place[] {
  const counts = new Map<string, number>();
  const count = (what: string): number => {
    const before = counts.get(what) ?? 0;
    counts.set(what, before + 1);
    return before;
  };
  const places: Place[] = [];
  for (const line of log.split("\n")) {
    const match = LINE.exec(line);
    // strace does not count the execve that starts the command.
    if (match === null || (match[2] === "execve" && counts.size === 0)) continue;
    const [, thread, call = ""] = match;
    const nth = count(`${thread} ${call}`) + 1;
    const [, opened, named] = FILE_OF_CALL.exec(line) ?? [];
    const file = (opened ?? named ?? "").replace(base, "");
    const nthOnFile = count(`${thread} ${call} ${file}`) + 1;
    if (!changesSomething(line, call, base)) continue;
    const about = aboutCall(line, base);
    const isStable =
      (file.startsWith("/data/") || SHARED.test(file)) && !/UUID|RANDOM|PID|ADDRESS/.test(about);
    places.push({
      call,
      nth,
      about,
      before: count(about),
      ...(isStable && { onFile: { file, nth: nthOnFile } }),
    });
  }
  return places;
}

function changesSomething(line: string, call: string, base: string): boolean {
  if (/ = -1 E/.test(line) && !line.includes("(INJECTED)")) return false;
  if (call === "open" || call === "openat") return line.includes("O_CREAT");
  if (call === "write" || call === "pwrite64" || call === "writev") {
    return new RegExp(`\\(\\d+<(${base}|/memfd:|/run/rkt/|/var/lib/cni/|/proc/sys/)`).test(line);
  }
  return true;
}

/** `rename /data/cas/tmp/import-R /data/cas/blob/sha512/AB/K`. */
function aboutCall(line: string, base: string): string {
  // Without the result: it names the file once more, or an error.
  const call = LINE.exec(line)?.[2] ?? "";
  const isWrite = /^p?write|^copy_file_range/.test(call);
  const words = [...line.replace(/\) += [^=]*$/, ")").matchAll(/\d+<([^>]*)>|"([^"]*)"/g)]
    .map(([, file, text]) => file ?? (isWrite ? undefined : text))
    .filter((word) => word !== undefined && word !== "" && word !== "/");
  const text = words
    .join(" ")
    .replaceAll(base, "")
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "UUID")
    .replaceAll(/sha512-[0-9a-f]{32,128}(\.\.\.)?/g, "KEY")
    .replaceAll(/\/sha512\/[0-9a-f]{2}\b/g, "/sha512/AB")
    .replaceAll(/sha256([/-])[0-9a-f]{64}\b/g, "sha256$1DIGEST")
    .replaceAll(/\b(import-)?[0-9a-f]{12,24}\b/g, "$1RANDOM")
    .replaceAll(/\/proc\/\d+/g, "/proc/PID")
    .replaceAll(/\b(\d+\.){3}\d+(:\d+)?/g, "ADDRESS")
    .replaceAll(/\brkt-[0-9a-f]{8}-\d+\b/g, "LINK")
    .replaceAll(/machine-rkt[-\\0-9a-fx]+\.scope/g, "SCOPE")
    .replaceAll(/\bexport-[A-Za-z0-9]{6}\b/g, "export-RANDOM")
    .replaceAll(/\.\d+\.tmp\b/g, ".PID.tmp")
    .replace(
      /^(\/data\/pods\/[a-z-]+\/UUID\/(stage1|overlay))\/.*/,
      isRemoval(call) ? "$1/*" : "$&",
    )
    .replace(/^\/data\/((cas|pods)(\/[a-zA-Z-]+)?|tmp|locks)$/, "/data/LAYOUT")
    .replace(/((cas\/tree\/deps-KEY|stage2\/[^/ ]+)\/rootfs)[/ ].*/, "$1/*")
    .replace(/(cas\/oci\/layer\/sha256\/DIGEST\/diff)[/ ].*/, "$1/*");
  return `${call} ${text}`.slice(0, 240);
}

function isRemoval(call: string): boolean {
  return call === "unlink" || call === "unlinkat" || call === "rmdir";
}

/** One place of each kind: the first and the last of what a loop does. The others do the same to other files. */
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
    return [...new Set([kind[0], kind.at(-1)])].filter((place) => place !== undefined);
  });
}
