// SPDX-License-Identifier: Apache-2.0
// cas/db/names.json: what the index last said of the names that were asked for. Opening SQLite and reading its
// schema takes 0.9 ms of a start, this takes 0.1. An answer counts only for the very state of the index that
// gave it: the same file, unchanged since, by SQLite's own count of changes. Whatever is wrong with the file
// means that the index is asked; nothing else depends on it.
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  writeSync,
} from "node:fs";
import { isErrno } from "../lib/errors.ts";
import { createSharedFile, type StorePaths } from "./layout.ts";

/** More than a few names at a time would make every start read about images that it does not use. */
const MAX_NAMES = 16;
const MAX_BYTES = 64 * 1024;

/** Bytes 24 to 27 of a database: incremented by every transaction (SQLite file format, section 1.3.7). */
const CHANGE_COUNTER = 24;

/** What may be wrong with a file that nobody depends on. */
const NOT_FATAL = ["ENOENT", "EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EIO"] as const;

interface Cache {
  readonly index: string;
  readonly names: Readonly<Record<string, unknown>>;
}

/** What tells one state of the index from any other; undefined when there is no index. */
function stateOf(index: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(index, "r");
  } catch (error) {
    if (isErrno(error, ...NOT_FATAL)) return undefined;
    throw error;
  }
  try {
    const { ino, mtimeMs } = fstatSync(fd);
    const counter = Buffer.alloc(4);
    if (readSync(fd, counter, 0, counter.length, CHANGE_COUNTER) !== counter.length) {
      return undefined;
    }
    return `${ino} ${mtimeMs} ${counter.readUInt32BE(0)}`;
  } finally {
    closeSync(fd);
  }
}

function readCache(path: string): Cache | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, ...NOT_FATAL)) return undefined;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    return isCache(value) ? value : undefined;
  } catch (error) {
    // Half written by somebody who died, or by two at once.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isCache(value: unknown): value is Cache {
  return (
    typeof value === "object" &&
    value !== null &&
    "index" in value &&
    typeof value.index === "string" &&
    "names" in value &&
    typeof value.names === "object" &&
    value.names !== null
  );
}

/**
 * The answer of `ask` for a name, from the cache where that is possible. `accept` checks and types what was
 * read; undefined means that it is not to be trusted.
 */
export function askByName<T>(
  paths: StorePaths,
  name: string,
  { accept, ask }: { readonly accept: (value: unknown) => T | undefined; readonly ask: () => T },
): T {
  const before = stateOf(paths.index);
  const cache = before === undefined ? undefined : readCache(paths.nameCache);
  const current = cache !== undefined && cache.index === before ? cache.names : {};
  if (Object.hasOwn(current, name)) {
    const known = accept(current[name]);
    if (known !== undefined) return known;
  }
  const answer = ask();
  // Unchanged on both sides of the question: the answer is about this state and no other.
  if (before !== undefined && stateOf(paths.index) === before) {
    const names = Object.entries(current)
      .filter(([other]) => other !== name)
      .slice(-(MAX_NAMES - 1));
    names.push([name, answer]);
    writeCache(
      paths.nameCache,
      JSON.stringify({ index: before, names: Object.fromEntries(names) }),
    );
  }
  return answer;
}

/** In one write(2), and not by way of a temporary file that a crash could leave. */
function writeCache(path: string, text: string): void {
  if (text.length > MAX_BYTES) return;
  try {
    try {
      closeSync(createSharedFile(path));
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
    const fd = openSync(path, "r+");
    try {
      ftruncateSync(fd, writeSync(fd, text));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    // A full disk, a reader who may not write: the next one asks the index again.
    if (!isErrno(error, ...NOT_FATAL)) throw error;
  }
}
