// SPDX-License-Identifier: Apache-2.0
// Directories that last as long as the block that asked for them.
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export interface TempDir extends Disposable {
  readonly path: string;
  /** An absolute path inside; nothing is created. */
  join(...parts: readonly string[]): string;
  /** Writes a file inside and gives its absolute path. */
  write(name: string, content: string | Uint8Array, mode?: number): string;
}

/** `using dir = tempDir()`: removed at the end of the block, unless something is still mounted there. */
export function tempDir(name = "rkt-test"): TempDir {
  const path = mkdtempSync(join(tmpdir(), `${name}-`));
  return {
    path,
    join: (...parts) => join(path, ...parts),
    write(file, content, mode = 0o644) {
      const target = join(path, file);
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, content, { mode });
      return target;
    },
    [Symbol.dispose]() {
      removeTree(path);
    },
  };
}

/** Mount points at or below `path` in this process's mount namespace, deepest last. */
export function mountsBelow(path: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => (line.split(" ")[4] ?? "").replaceAll("\\040", " "))
    .filter((point) => point === path || point.startsWith(`${path}/`));
}

/** Removes a tree that has no mount in it: one that has is a leak, and deleting through it is worse. */
export function removeTree(path: string): void {
  const mounts = mountsBelow(path);
  if (mounts.length > 0) throw new Error(`still mounted below ${path}: ${mounts.join(", ")}`);
  rmSync(path, { recursive: true, force: true });
}

export function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
