// SPDX-License-Identifier: Apache-2.0
// Where things lie below the data directory, and who may touch them (rkt-cli §1.6, rkt-runtime §6.1).
// Members of the group rkt work in the store beside root: directories that they write to are setgid and
// group-writable, files are 0660 whatever the umask.
import {
  chmodSync,
  chownSync,
  closeSync,
  fchmodSync,
  mkdirSync,
  openSync,
  statSync,
  unlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { isErrno, RktError } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { lookupGroup } from "../sys/groups.ts";
import { lockFile } from "../sys/lock.ts";
import { StoreError, type StoreErrorCode } from "./errors.ts";

export interface StorePaths {
  readonly dataDir: string;
  readonly tmp: string;
  readonly locks: string;
  readonly prepareLock: string;
  readonly cas: string;
  readonly db: string;
  readonly index: string;
  readonly nameCache: string;
  readonly imageLocks: string;
  readonly manifests: string;
  readonly records: string;
  readonly blobs: string;
  readonly casTmp: string;
  readonly trees: string;
  readonly treeLocks: string;
}

export function storePaths(dataDir: string): StorePaths {
  const cas = join(dataDir, "cas");
  const db = join(cas, "db");
  const locks = join(dataDir, "locks");
  return {
    dataDir,
    tmp: join(dataDir, "tmp"),
    locks,
    prepareLock: join(locks, "prepareLock"),
    cas,
    db,
    index: join(db, "index.sqlite"),
    nameCache: join(db, "names.json"),
    imageLocks: join(cas, "imagelocks"),
    manifests: join(cas, "imageManifest"),
    records: join(cas, "imageRecord"),
    blobs: join(cas, "blob"),
    casTmp: join(cas, "tmp"),
    trees: join(cas, "tree"),
    treeLocks: join(cas, "treestorelocks"),
  };
}

const READABLE = 0o2750;
const SHARED = 0o2770;
const ROOT_ONLY = 0o2700;

/**
 * Makes what is missing. In the everyday case that is one stat(2), of the directory that is made last.
 * What exists already keeps its mode and owner: an administrator may have changed them.
 */
export function ensureLayout(paths: StorePaths): void {
  try {
    if (statSync(paths.records, { throwIfNoEntry: false })?.isDirectory() === true) return;
    makeLayout(paths);
  } catch (error) {
    if (isErrno(error, "ENOTDIR")) {
      throw new StoreError(
        "STORE_LAYOUT",
        `cannot use the data directory ${quote(paths.dataDir)}: a part of the path is not a directory`,
        { cause: error, details: { path: paths.dataDir } },
      );
    }
    throw explainSystem(
      explainAccess(error, paths),
      "STORE_LAYOUT",
      `cannot use the data directory ${quote(paths.dataDir)}`,
    );
  }
}

function makeLayout(paths: StorePaths): void {
  // The group may be missing (a machine without rkt's package): then root's own group has to do.
  const owner = process.geteuid?.() === 0 ? { uid: 0, gid: lookupGroup("rkt") ?? 0 } : undefined;
  mkdirSync(dirname(paths.dataDir), { recursive: true, mode: 0o755 });
  const make = (path: string, mode: number): void => {
    try {
      mkdirSync(path, { mode: mode & 0o777 });
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      // The data directory may be somebody's own choice. One of ours without the setgid bit was left half
      // made by a process that died.
      if (path === paths.dataDir || (statSync(path).mode & 0o2000) !== 0) return;
    }
    if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
    chmodSync(path, mode);
  };
  for (const path of [paths.dataDir, paths.tmp, paths.locks]) make(path, READABLE);
  for (const path of [paths.cas, paths.db, paths.imageLocks, paths.manifests, paths.blobs]) {
    make(path, SHARED);
  }
  for (const path of [paths.trees, paths.treeLocks]) make(path, ROOT_ONLY);
  // Members of the group take this lock, but may not make files in its directory.
  lockFile(paths.prepareLock, "shared")[Symbol.dispose]();
  // cas/imageRecord last: ensureLayout takes its presence as a sign that all of them are there.
  for (const path of [paths.casTmp, paths.records]) make(path, SHARED);
}

/** A permission problem of the data directory as a sentence; other errors as they are. */
export function explainAccess(error: unknown, paths: StorePaths): unknown {
  if (isErrno(error, "EACCES", "EPERM", "EROFS")) {
    return new StoreError(
      "STORE_PERMISSION",
      `cannot use the data directory ${quote(paths.dataDir)}`,
      {
        cause: error,
        remedy: isRootOnly(error, paths)
          ? "run as root"
          : "run as root or as a member of the group rkt, or choose another directory with --dir",
        details: { path: paths.dataDir },
      },
    );
  }
  return error;
}

/** Whether the error is about the rendered trees, which the group has no part in. */
function isRootOnly(error: unknown, paths: StorePaths): boolean {
  const path = error instanceof Error && "path" in error ? String(error.path) : "";
  return [paths.trees, paths.treeLocks].some((top) => path === top || path.startsWith(`${top}/`));
}

/** A failed system call on the way as a sentence (a full disk, say); other errors as they are. */
export function explainSystem(error: unknown, code: StoreErrorCode, sentence: string): unknown {
  const isSystem =
    error instanceof Error &&
    !(error instanceof RktError) &&
    "code" in error &&
    typeof error.code === "string" &&
    /^E[A-Z0-9]+$/.test(error.code);
  if (!isSystem) return error;
  // The kernel's message would show thousands of bytes of path.
  const isTooLong = error.code === "ENAMETOOLONG";
  return new StoreError(code, isTooLong ? `${sentence}: a path in it is too long` : sentence, {
    cause: isTooLong ? undefined : error,
    remedy: isErrno(error, "ENOSPC", "EDQUOT")
      ? "rkt gc and rkt image gc, or make room on the file system"
      : undefined,
    details: { errno: error.code },
  });
}

/** Makes a directory (and its missing parents below the store) that the group may write to. */
export function makeSharedDirectory(path: string): void {
  // The setgid bit and the group come from the parent. The mode has to be right at once: nobody would
  // repair it after a crash.
  const umask = process.umask(0);
  try {
    mkdirSync(path, { recursive: true, mode: 0o770 });
  } finally {
    process.umask(umask);
  }
}

/** Opens a new file 0660 for reading and writing whatever the umask says; EEXIST when it is there. */
export function createSharedFile(path: string): number {
  const fd = openSync(path, "wx+", 0o660);
  try {
    fchmodSync(fd, 0o660);
    return fd;
  } catch (error) {
    closeSync(fd);
    unlinkSync(path);
    throw error;
  }
}
