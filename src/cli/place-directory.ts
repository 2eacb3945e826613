// SPDX-License-Identifier: Apache-2.0
// An output directory that is complete or not there: filled beside its place, then renamed into it.
import { lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { mountPointsBelow } from "../sys/mounts.ts";
import { UsageError } from "./usage-error.ts";

export interface Placing {
  readonly overwrite: boolean;
  /** Only `rootfs` of what `fill` makes becomes the target. */
  readonly rootfsOnly: boolean;
}

/** Calls `fill` with an empty directory and makes the result `target`. Throws before that when it may not. */
export async function placeDirectory(
  target: string,
  options: Placing,
  fill: (directory: string) => Promise<void>,
): Promise<void> {
  const path = resolve(target);
  if (path === "/") refuse("this would delete your root filesystem. Refusing.");
  const existing = exists(path);
  if (existing && !options.overwrite) refuse("output directory exists (try --overwrite)");
  const [mount] = existing ? mountPointsBelow(path) : [];
  if (mount !== undefined) {
    refuse(`cannot replace ${quote(path)}: something is mounted at ${quote(mount)}`);
  }
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    // Beside the target, because a rename must not cross file systems.
    const temporary = mkdtempSync(join(dirname(path), `.${basename(path)}.`));
    try {
      const made = join(temporary, "new");
      mkdirSync(made, { mode: 0o755 });
      await fill(made);
      if (existing) renameSync(path, join(temporary, "old"));
      renameSync(options.rootfsOnly ? join(made, "rootfs") : made, path);
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
  } catch (error) {
    if (!isErrno(error, "EACCES", "EPERM", "ENOSPC", "EROFS", "ENOTDIR", "EBUSY", "EEXIST")) {
      throw error;
    }
    throw new UsageError("OUTPUT_FAILED", `cannot write to ${quote(path)}`, { cause: error });
  }
}

function refuse(message: string): never {
  throw new UsageError("ARGUMENT_INVALID", message);
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
