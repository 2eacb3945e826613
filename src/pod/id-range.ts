// SPDX-License-Identifier: Apache-2.0
// Which ids of the host a pod with a user namespace gets (rkt-runtime §20): 65536 of them that nobody else has, for
// as long as the pod's directory exists.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { formatIdRange, IDS_PER_POD, type IdRange, parseIdRange } from "../lib/id-range.ts";
import { lockDirectory } from "../sys/lock.ts";
import { type LockedPod, podsDirectory } from "./directory.ts";
import { PodError } from "./errors.ts";
import { POD_FILES, readPrivateUsers } from "./read.ts";
import { POD_DIRECTORIES } from "./state.ts";

/** rkt's bounds: multiples of 65536, from the first one up; below the range that systemd gives to foreign ids. */
const SLOTS = 0x7ffd;

const slotOf = (id: number): number => Math.floor(id / IDS_PER_POD);

/**
 * A range that touches none of these; undefined when there is none. `start`: from 0 to 1, where to look first.
 */
export function chooseRange(taken: Iterable<IdRange>, start: number): IdRange | undefined {
  const slots = new Set<number>();
  for (const { first, count } of taken) {
    const last = Math.min(slotOf(first + count - 1), SLOTS);
    for (let slot = slotOf(first); slot <= last; slot++) slots.add(slot);
  }
  const from = Math.floor(start * SLOTS);
  for (let i = 0; i < SLOTS; i++) {
    const slot = 1 + ((from + i) % SLOTS);
    if (!slots.has(slot)) return { first: slot * IDS_PER_POD, count: IDS_PER_POD };
  }
  return undefined;
}

/** Gives the pod a range and writes it into its directory, under a lock that all pods of the data directory share. */
export function reserveRange(dataDir: string, pod: LockedPod): IdRange {
  using _lock = lockDirectory(join(dataDir, "pods"), "exclusive");
  const taken = [...rangesOfPods(dataDir), ...rangesOfUsers(), ...rangesInUse()];
  const range = chooseRange(taken, Math.random());
  if (range === undefined) {
    throw new PodError("POD_IO", "cannot find 65536 user ids that nobody else has", {
      remedy: "rkt gc, which frees those of pods that ended",
    });
  }
  writeFileSync(join(pod.path, POD_FILES.privateUsers), formatIdRange(range), { mode: 0o640 });
  return range;
}

/** In the order in which a pod moves: one that moves meanwhile is seen where it goes. */
function* rangesOfPods(dataDir: string): Iterable<IdRange> {
  for (const directory of POD_DIRECTORIES) {
    const folder = podsDirectory(dataDir, directory);
    for (const name of readdirSync(folder)) {
      const range = readPrivateUsers(join(folder, name));
      if (range !== undefined) yield range;
    }
  }
}

/** Users and groups that the machine has, and the ids lent to them (subuid(5)). */
function* rangesOfUsers(): Iterable<IdRange> {
  for (const file of ["/etc/subuid", "/etc/subgid"]) {
    for (const line of linesOf(file)) {
      const [, first, count] = line.split(":");
      const range = parseIdRange(`${first}:${count}`);
      if (range !== undefined) yield range;
    }
  }
  for (const file of ["/etc/passwd", "/etc/group"]) {
    for (const line of linesOf(file)) {
      const range = parseIdRange(`${line.split(":")[2]}:1`);
      if (range !== undefined) yield range;
    }
  }
}

/** What user namespaces have now: pods of other data directories, and containers of other programs. */
function* rangesInUse(): Iterable<IdRange> {
  const seen = new Set<string>();
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    for (const file of ["uid_map", "gid_map"]) {
      for (const line of linesOf(`/proc/${pid}/${file}`)) {
        if (seen.has(line)) continue;
        seen.add(line);
        const [, inside, first, count] = /^\s*(\d+)\s+(\d+)\s+(\d+)$/.exec(line) ?? [];
        const range = parseIdRange(`${first}:${count}`);
        // The host's own map is of everything to itself.
        if (range !== undefined && inside !== first) yield range;
      }
    }
  }
}

/** None where there is no such file, or its process has just ended. */
function linesOf(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split("\n");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES", "EINVAL")) return [];
    throw error;
  }
}
