// SPDX-License-Identifier: Apache-2.0
// Decompressing and unpacking a layer in processes without power over anything else (docs/decisions/0009). One only
// decompresses: it has no files at all, and its output is hashed here. Another has the layer's directory, which is a
// mount of its own, and the archive with the right hash. What either says is checked like all that comes from outside.
import { closeSync, openSync, write, writeSync } from "node:fs";
import { availableParallelism } from "node:os";
import { isErrno } from "../lib/errors.ts";
import { openBelow } from "../sys/at.ts";
import {
  CAPABILITY,
  type ConfinedChild,
  type ConfinedEnd,
  NOBODY,
  startConfined,
} from "../sys/confined-child.ts";
import { O_DIRECTORY, O_RDONLY, OPAQUE_XATTR } from "../sys/constants.ts";
import { copyMount } from "../sys/mount-copy.ts";
import { makePipe } from "../sys/pipe.ts";
import { setXattr } from "../sys/tree.ts";
import type { ConfinedFailure, ConfinedOutcome } from "./confined-job.ts";
import { cleanName, MAX_ENTRIES } from "./entry.ts";
import { ArchiveError, type ArchiveErrorCode } from "./errors.ts";
import type { LargeFiles, LowerLayers } from "./extract-layer.ts";
import { type InflateThread, startInflate } from "./inflate-thread.ts";
import type { Compression } from "./stream.ts";

/** So many at once: each has a heap of its own. */
const AT_ONCE = Math.max(2, availableParallelism());
let running = 0;
const waiting: (() => void)[] = [];

/** Does work that takes both of the processes below, when there are not too many of them. */
export async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (running < AT_ONCE) running++;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await work();
  } finally {
    // Whoever waits takes this turn over.
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  }
}

/** A tar archive as it comes out of the process that decompresses it. */
export interface ConfinedArchive extends Disposable {
  /** The next bytes, until the next call; undefined at the end. */
  next(): Buffer | undefined;
  /** Of all bytes, those not yet taken too. Throws what was wrong with the compressed data. */
  digest(): Promise<string>;
}

export interface ArchiveSource {
  readonly fd: number;
  readonly kind: Compression | "tar";
  readonly algorithm: "sha256" | "sha512";
  readonly maxBytes: number;
}

/**
 * `source.fd` must stay open until the result is disposed. No process is needed for an archive that is not compressed,
 * and none can be made by a user who is not root, and so has no power to take away.
 */
export function openArchive({ fd, kind, algorithm, maxBytes }: ArchiveSource): ConfinedArchive {
  if (kind === "tar" || process.geteuid?.() !== 0) {
    const thread = startInflate({ fd, kind, algorithm, maxBytes });
    return {
      next: () => thread.next(),
      digest: async () => digestOf(thread),
      [Symbol.dispose]: () => thread[Symbol.dispose](),
    };
  }
  const pipe = makePipe();
  const child = startConfined({
    words: ["decompress", kind, String(maxBytes)],
    capabilities: [],
    id: NOBODY,
    descriptors: [fd],
    output: pipe.write,
  });
  closeSync(pipe.write);
  const thread = startInflate({ fd: pipe.read, kind: "pipe", algorithm, maxBytes });
  return {
    next: () => thread.next(),
    async digest() {
      const digest = digestOf(thread);
      outcomeOf(await child.ended);
      return digest;
    },
    [Symbol.dispose]() {
      // First: the thread waits for its output.
      child.kill();
      thread[Symbol.dispose]();
      closeSync(pipe.read);
    },
  };
}

/** Other work of this process gets its turn so often. */
const SLICE_MS = 20;

/** Writes the archive to a file at its position and gives its digest. */
export async function writeArchive(archive: ConfinedArchive, fd: number): Promise<string> {
  let turn = performance.now();
  for (let chunk = archive.next(); chunk !== undefined; chunk = archive.next()) {
    for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
    if (performance.now() - turn > SLICE_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      turn = performance.now();
    }
  }
  return await archive.digest();
}

function digestOf(thread: InflateThread): string {
  while (thread.next() !== undefined);
  return thread.digest();
}

/** What restoring owners, modes, devices, and capabilities of files takes. */
const UNPACKING = [
  CAPABILITY.CHOWN,
  CAPABILITY.DAC_OVERRIDE,
  CAPABILITY.FOWNER,
  CAPABILITY.FSETID,
  CAPABILITY.MKNOD,
  CAPABILITY.SETFCAP,
];

export interface ConfinedLayer {
  readonly archive: ConfinedArchive;
  /** Throws unless the whole archive is the right one. */
  readonly check: () => Promise<void>;
  /** An empty directory. */
  readonly directory: string;
  /** A mount in which nothing can be changed and no device be opened. */
  readonly lower: LowerLayers;
}

/**
 * As `extractLayer`, with its opaque directories marked. Undefined: with lower layers `unknown`, it needs them. When it
 * throws, anything may be in the directory. Needs root.
 */
export async function extractConfined(layer: ConfinedLayer): Promise<LargeFiles | undefined> {
  const { archive, check, directory, lower } = layer;
  const child = startExtraction(directory, lower);
  try {
    const isTaken = await feed(archive, child.input);
    // Why an archive is cut is said by who decompresses it, before the one that notices.
    if (isTaken) await check();
    const outcome = outcomeOf(await child.ended);
    if ("needsLowerLayers" in outcome) return undefined;
    if (!isTaken) await check();
    markOpaque(directory, outcome.opaque);
    return new Map(outcome.large.map(([inode, digest]) => [inode, Buffer.from(digest, "hex")]));
  } finally {
    child.kill();
    // Nobody writes to the directory any more.
    await child.ended;
  }
}

interface Extraction extends ConfinedChild {
  /** Where the archive goes. */
  readonly input: number;
}

function startExtraction(directory: string, lower: LowerLayers): Extraction {
  const isKnown = typeof lower === "object";
  const root = copyMount(directory);
  const pipe = makePipe();
  try {
    const child = startConfined({
      words: ["extract", isKnown ? "here" : lower],
      capabilities: UNPACKING,
      id: 0,
      descriptors: isKnown ? [root, pipe.read, lower.fd] : [root, pipe.read],
    });
    return { ...child, input: pipe.write };
  } catch (error) {
    closeSync(pipe.write);
    throw error;
  } finally {
    closeSync(root);
    closeSync(pipe.read);
  }
}

/** Closes `fd`. False when the reader went away before the end, as it does behind the archive's end marker. */
async function feed(archive: ConfinedArchive, fd: number): Promise<boolean> {
  try {
    for (let chunk = archive.next(); chunk !== undefined; chunk = archive.next()) {
      for (let at = 0; at < chunk.length; ) at += await writeTo(fd, chunk, at);
    }
    return true;
  } catch (error) {
    if (isErrno(error, "EPIPE")) return false;
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** Not on this thread: the reader may be slow, or never read. */
const writeTo = (fd: number, chunk: Buffer, at: number): Promise<number> =>
  new Promise((resolve, reject) => {
    write(fd, chunk, at, chunk.length - at, null, (error, written) => {
      if (error === null) resolve(written);
      else reject(error);
    });
  });

const YES = new Uint8Array([0x79]);

/** The one thing in a layer that takes CAP_SYS_ADMIN. The paths come from the child, and lead nowhere but below. */
function markOpaque(directory: string, paths: readonly string[]): void {
  const rootFd = openSync(directory, O_RDONLY | O_DIRECTORY);
  try {
    for (const path of paths) {
      const fd = openBelow(rootFd, path, O_RDONLY | O_DIRECTORY, { resolve: "in-root" });
      try {
        setXattr(fd, OPAQUE_XATTR, YES);
      } finally {
        closeSync(fd);
      }
    }
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
    throw new Error("a confined process named a directory that is not there", { cause: error });
  } finally {
    closeSync(rootFd);
  }
}

const MAX_CAUSES = 8;

type ConfinedSuccess = Exclude<ConfinedOutcome, { readonly failed: unknown }>;

function outcomeOf({ status, report }: ConfinedEnd): ConfinedSuccess {
  const outcome = status === 0 ? parseOutcome(report) : undefined;
  if (outcome === undefined) {
    const said = report.slice(0, 500).trim();
    throw new ArchiveError(
      "ARCHIVE_IO",
      `a process that unpacks a layer ended with status ${status}${said === "" ? "" : `: ${said}`}`,
    );
  }
  if ("failed" in outcome) throw errorOf(outcome.failed);
  return outcome;
}

function parseOutcome(report: string): ConfinedOutcome | undefined {
  let value: unknown;
  try {
    value = JSON.parse(report);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  if ("needsLowerLayers" in value) return { needsLowerLayers: true };
  if ("opaque" in value && "large" in value) {
    const { opaque, large } = value;
    if (!Array.isArray(opaque) || !Array.isArray(large)) return undefined;
    if (opaque.length > MAX_ENTRIES || large.length > MAX_ENTRIES) return undefined;
    return opaque.every(isClean) && large.every(isDigest) ? { opaque, large } : undefined;
  }
  if ("failed" in value && Array.isArray(value.failed)) {
    const { failed } = value;
    if (failed.length === 0 || failed.length > MAX_CAUSES) return undefined;
    return failed.every(isFailure) ? { failed } : undefined;
  }
  return undefined;
}

function isClean(path: unknown): path is string {
  return (
    typeof path === "string" && path !== "" && !path.startsWith("/") && cleanName(path) === path
  );
}

function isDigest(value: unknown): value is readonly [number, string] {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [inode, digest] = value;
  return Number.isSafeInteger(inode) && typeof digest === "string" && /^[0-9a-f]{64}$/.test(digest);
}

function isFailure(value: unknown): value is ConfinedFailure {
  if (typeof value !== "object" || value === null) return false;
  if (!("kind" in value && "code" in value && "message" in value)) return false;
  return (
    (value.kind === "archive" || value.kind === "system" || value.kind === "bug") &&
    typeof value.code === "string" &&
    typeof value.message === "string"
  );
}

/** The same sentences as if it had happened here. */
function errorOf([first, ...causes]: readonly ConfinedFailure[]): Error | undefined {
  if (first === undefined) return undefined;
  const cause = errorOf(causes);
  if (first.kind === "archive" && isArchiveCode(first.code)) {
    return new ArchiveError(first.code, first.message, { cause });
  }
  const error = new Error(first.message, { cause });
  return first.kind === "system" ? Object.assign(error, { code: first.code }) : error;
}

const CODES: Readonly<Record<ArchiveErrorCode, true>> = {
  ARCHIVE_CORRUPT: true,
  ARCHIVE_TRUNCATED: true,
  ARCHIVE_UNSUPPORTED: true,
  ARCHIVE_UNSAFE: true,
  ARCHIVE_LIMIT: true,
  ARCHIVE_INVALID: true,
  ARCHIVE_IO: true,
};

const isArchiveCode = (code: string): code is ArchiveErrorCode => Object.hasOwn(CODES, code);
