// SPDX-License-Identifier: Apache-2.0
// The life of a pod as renames under a lock (rkt-runtime §2.2). The lock is flock(2) on the pod's own
// directory, so it moves with it, and the kernel drops it when the holder dies.
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { type PodUUID, parseUUID } from "../appc/index.ts";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { fsyncDir, syncFileSystem } from "../sys/durable.ts";
import { lookupGroup } from "../sys/groups.ts";
import { isStillAt, type Lock, lockDirectory, tryLockDirectory } from "../sys/lock.ts";
import { randomUUID } from "../sys/random-name.ts";
import { PodError } from "./errors.ts";
import { POD_DIRECTORIES, type PodDirectory, type PodState, podState } from "./state.ts";

/** Where a pod was when we looked. It may have moved on since: operations take its lock first. */
export interface PodRef {
  readonly uuid: PodUUID;
  readonly directory: PodDirectory;
  readonly path: string;
  readonly state: PodState;
}

/** A pod whose exclusive lock we hold; disposing it releases the lock. */
export interface LockedPod extends Disposable {
  readonly uuid: PodUUID;
  readonly path: string;
  readonly lock: Lock;
}

export function podsDirectory(dataDir: string, directory: PodDirectory): string {
  return join(dataDir, "pods", directory);
}

/**
 * Makes the folders that are missing: `pods` and the six below it, mode 2750, owned by root and group
 * rkt where the machine has one (rkt-cli §1.6).
 */
export function ensurePodDirectories(dataDir: string): void {
  if (isMade(podsDirectory(dataDir, "garbage"))) return;
  const gid = lookupGroup("rkt");
  const folders = [join(dataDir, "pods"), ...POD_DIRECTORIES.map((d) => podsDirectory(dataDir, d))];
  for (const folder of folders) {
    try {
      mkdirSync(folder, { mode: 0o750 });
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      if (isMade(folder)) continue;
    }
    if (gid !== undefined) chownSync(folder, 0, gid);
    chmodSync(folder, 0o2750);
  }
}

/** The mode comes last: without the setgid bit a folder was left half made by a process that died. */
function isMade(folder: string): boolean {
  const stat = statSync(folder, { throwIfNoEntry: false });
  return stat !== undefined && (stat.mode & 0o2000) !== 0;
}

/** Each attempt can only be lost to a `gc` that looks at this very moment. */
const ATTEMPTS = 10;

/** new: mkdir in embryo, lock, rename to prepare. The pod is `preparing` while the lock is held. */
export function createPod(dataDir: string): LockedPod {
  for (let attempt = 1; ; attempt++) {
    const uuid = parseUUID(randomUUID());
    const embryo = join(podsDirectory(dataDir, "embryo"), uuid);
    const path = join(podsDirectory(dataDir, "prepare"), uuid);
    mkdirSync(embryo, { mode: 0o750 });
    let lock: Lock | undefined;
    try {
      lock = lockDirectory(embryo, "exclusive");
      renameSync(embryo, path);
      const held = lock;
      return { uuid, path, lock, [Symbol.dispose]: () => held[Symbol.dispose]() };
    } catch (error) {
      lock?.[Symbol.dispose]();
      removeEmbryo(embryo);
      // Between mkdir and flock gc may have taken the embryo for one that a crash left.
      if (!isErrno(error, "ENOENT") || attempt === ATTEMPTS) throw error;
    }
  }
}

function removeEmbryo(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

/**
 * prepare/U → run/U with the lock kept: the pod is `running`. Not followed by an fsync: a pod that was
 * running when the power failed is over either way, and `gc` understands both places.
 */
export function moveToRun(dataDir: string, pod: LockedPod): LockedPod {
  return move(pod, podsDirectory(dataDir, "run"));
}

/** prepare/U → prepared/U, on disk before the lock is released: a prepared pod survives a power cut. */
export function moveToPrepared(dataDir: string, pod: LockedPod): PodRef {
  syncFileSystem(pod.path);
  const parent = podsDirectory(dataDir, "prepared");
  const moved = move(pod, parent);
  fsyncDir(parent);
  moved.lock[Symbol.dispose]();
  return { uuid: pod.uuid, directory: "prepared", path: moved.path, state: "prepared" };
}

/**
 * A prepared pod for run-prepared alone: locked where it is, so that neither another run-prepared nor gc touches
 * it while its plan is made. Never waits: whoever has the lock starts the pod or throws it away. Throws
 * POD_STATE when somebody came first.
 */
export function takePrepared(pod: PodRef): LockedPod {
  const lock = tryLockPod(pod.path);
  if (lock === undefined) throw notPrepared(pod.uuid);
  // A pod that has run, and is over by now, can be locked too: but not here.
  if (!existsSync(pod.path)) {
    lock[Symbol.dispose]();
    throw notPrepared(pod.uuid);
  }
  return { uuid: pod.uuid, path: pod.path, lock, [Symbol.dispose]: () => lock[Symbol.dispose]() };
}

export function notPrepared(uuid: PodUUID, state?: PodState): PodError {
  return new PodError("POD_STATE", `pod "${uuid}" is not prepared`, {
    details: { state },
    remedy: "rkt prepare makes one ready; rkt list shows those that are",
  });
}

function tryLockPod(path: string): Lock | undefined {
  try {
    return tryLockDirectory(path, "exclusive");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

function move(pod: LockedPod, parent: string): LockedPod {
  const path = join(parent, pod.uuid);
  renameSync(pod.path, path);
  return {
    uuid: pod.uuid,
    path,
    lock: pod.lock,
    [Symbol.dispose]: () => pod.lock[Symbol.dispose](),
  };
}

/**
 * Moves a pod that nobody works on towards its end: exited → exited-garbage, aborted and expired
 * prepares → garbage. Undefined when somebody else moved or locked it first. Not followed by an fsync: who
 * marks pods that are to stay marked calls `syncGarbage` after the last one.
 */
export function markGarbage(dataDir: string, pod: PodRef): PodRef | undefined {
  const to: PodDirectory = pod.directory === "run" ? "exited-garbage" : "garbage";
  let lock: Lock | undefined;
  try {
    lock = tryLockDirectory(pod.path, "exclusive");
    if (lock === undefined) return undefined;
    const parent = podsDirectory(dataDir, to);
    const path = join(parent, pod.uuid);
    renameSync(pod.path, path);
    return { uuid: pod.uuid, directory: to, path, state: podState(to, false) };
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  } finally {
    lock?.[Symbol.dispose]();
  }
}

/**
 * Keeps a pod that has ended where it is: nobody moves or deletes it as long as this is held. It waits for whoever
 * works on it, and finds the pod where that left it. Throws POD_BUSY when it is about to go, or gone.
 */
export function holdEnded(dataDir: string, pod: PodRef): Disposable & { readonly pod: PodRef } {
  let at: PodRef | undefined = pod;
  while (at !== undefined && at.directory !== "garbage") {
    const lock = waitForPod(at.path);
    // The lock is on the directory itself, which may have moved before we had it.
    if (lock !== undefined && isStillAt(lock.fd, at.path)) {
      return { pod: at, [Symbol.dispose]: () => lock[Symbol.dispose]() };
    }
    lock?.[Symbol.dispose]();
    at = findPod(dataDir, pod.uuid);
  }
  throw new PodError("POD_BUSY", `pod "${pod.uuid}" is being removed`);
}

function waitForPod(path: string): Lock | undefined {
  try {
    return lockDirectory(path, "shared");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/** Puts what was marked on disk: the time for which a pod was kept survives a power cut. */
export function syncGarbage(dataDir: string): void {
  for (const directory of ["exited-garbage", "garbage"] as const) {
    const path = podsDirectory(dataDir, directory);
    if (existsSync(path)) fsyncDir(path);
  }
}

/** Looks at one place: is the pod there, and is it locked? */
function probe(dataDir: string, directory: PodDirectory, uuid: PodUUID): PodRef | undefined {
  const path = join(podsDirectory(dataDir, directory), uuid);
  if (directory === "embryo" || directory === "prepared") {
    return existsSync(path)
      ? { uuid, directory, path, state: podState(directory, false) }
      : undefined;
  }
  try {
    const lock = tryLockDirectory(path, "shared");
    lock?.[Symbol.dispose]();
    return { uuid, directory, path, state: podState(directory, lock === undefined) };
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/**
 * Finds a pod wherever it is. Pods only move forward through POD_DIRECTORIES, so one pass in that order
 * misses none. Undefined when it is nowhere (never was, or was deleted).
 */
export function findPod(dataDir: string, uuid: PodUUID): PodRef | undefined {
  for (const directory of POD_DIRECTORIES) {
    const found = probe(dataDir, directory, uuid);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What a folder holds: pods by UUID, in its order; names that are none are left out, files are reported. */
export interface FolderListing {
  readonly pods: readonly PodUUID[];
  readonly unrecognized: readonly string[];
}

export function listFolder(dataDir: string, directory: PodDirectory): FolderListing {
  const pods: PodUUID[] = [];
  const unrecognized: string[] = [];
  let entries: ReturnType<typeof readFolder>;
  try {
    entries = readFolder(podsDirectory(dataDir, directory));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return { pods, unrecognized };
    throw explainFolder(error, dataDir);
  }
  for (const entry of entries) {
    if (!entry.isDirectory()) {
      unrecognized.push(entry.name);
      continue;
    }
    if (/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(entry.name)) {
      pods.push(entry.name as PodUUID);
    }
  }
  return { pods: pods.sort(), unrecognized };
}

function explainFolder(error: unknown, dataDir: string): unknown {
  if (!isErrno(error, "EACCES", "ENOTDIR")) return error;
  return new PodError("POD_IO", `cannot read the pods of the data directory ${quote(dataDir)}`, {
    cause: error,
    remedy: isErrno(error, "EACCES")
      ? "run as root or as a member of the group rkt, or choose another directory with --dir"
      : undefined,
  });
}

function readFolder(path: string) {
  return readdirSync(path, { withFileTypes: true });
}

/** All pods in these folders, each probed for its state. A pod that moves meanwhile appears once. */
export function listPods(dataDir: string, directories: readonly PodDirectory[]): PodRef[] {
  const found = new Map<PodUUID, PodRef>();
  for (const directory of directories) {
    for (const uuid of listFolder(dataDir, directory).pods) {
      const pod = probe(dataDir, directory, uuid);
      if (pod !== undefined) found.set(uuid, pod);
    }
  }
  return [...found.values()];
}

/** Folders in which a UUID prefix is looked for (rkt-cli §5.5: embryo and garbage are not). */
const SEARCHED: readonly PodDirectory[] = ["prepare", "prepared", "run", "exited-garbage"];

/** The pod that a person means by a UUID or the beginning of one, in any case. */
export function resolvePod(dataDir: string, text: string): PodRef {
  const prefix = text.trim().toLowerCase();
  const matches = new Set<PodUUID>();
  if (/^[0-9a-f-]+$/.test(prefix)) {
    for (const directory of SEARCHED) {
      for (const uuid of listFolder(dataDir, directory).pods) {
        if (uuid.startsWith(prefix)) matches.add(uuid);
      }
    }
  }
  const [only] = matches;
  if (matches.size > 1) {
    throw new PodError("POD_AMBIGUOUS", `ambiguous uuid, ${matches.size} matches`, {
      details: { uuid: text, matches: [...matches] },
    });
  }
  const pod = only === undefined ? undefined : findPod(dataDir, only);
  if (pod === undefined) {
    throw new PodError("POD_NOT_FOUND", `no matches found for ${JSON.stringify(text)}`, {
      remedy: "rkt list shows the pods of this data directory",
    });
  }
  return pod;
}
