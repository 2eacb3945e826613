// SPDX-License-Identifier: Apache-2.0
// The temporary file of one URL, cas/tmp/KEY with KEY made of the sha512 of the URL. Whoever holds its
// lock downloads; what a broken download left in it is continued by the next one. Beside it, KEY.etag holds the
// ETag of what is being downloaded, and its time is when that download began.
import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { isStillAt, tryLockFd } from "../sys/lock.ts";
import { removeFile } from "../sys/remove-file.ts";

export interface PartialFile extends Disposable {
  readonly fd: number;
  readonly path: string;
  /** Whether somebody else was at it before: then the store may have the image by now. */
  readonly waited: boolean;
  size(): number;
  /** What is known of the content from when its download began; undefined when nothing is. */
  origin(): Origin | undefined;
  /** Empties the file and notes what will be written to it from now on. */
  restart(etag: string): void;
  /** Keeps the file for a later attempt when it is disposed; otherwise it is removed then. */
  keep: boolean;
}

export interface Origin {
  /** A strong ETag, or "". */
  readonly etag: string;
  readonly startedMs: number;
}

const POLL_MS = 50;

/** Waits for the file's lock without blocking the process; `onWait` is called once if it has to. */
export async function lockPartialFile(
  directory: string,
  url: string,
  onWait: () => void,
): Promise<PartialFile> {
  const digest = createHash("sha512").update(url).digest("hex");
  const path = join(directory, `sha512-${digest.slice(0, 64)}`);
  for (let waited = false; ; ) {
    const fd = open(path);
    try {
      while (!tryLockFd(fd, "exclusive")) {
        if (!waited) onWait();
        waited = true;
        await Bun.sleep(POLL_MS);
      }
      // The holder before us removed the file when it was done: then there is a new one to lock.
      if (isStillAt(fd, path)) return own(fd, path, waited);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
  }
}

/** 0660 whatever the umask: members of the group continue each other's downloads. */
function open(path: string): number {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o660);
  if (fstatSync(fd).uid === process.geteuid?.()) fchmodSync(fd, 0o660);
  return fd;
}

function own(fd: number, path: string, waited: boolean): PartialFile {
  const etagPath = `${path}.etag`;
  let open = true;
  return {
    fd,
    path,
    waited,
    keep: false,
    size: () => fstatSync(fd).size,
    origin() {
      try {
        const startedMs = statSync(etagPath).mtimeMs;
        return { etag: readFileSync(etagPath, "utf8").slice(0, 4096).trim(), startedMs };
      } catch (error) {
        if (isErrno(error, "ENOENT")) return undefined;
        throw error;
      }
    },
    restart(etag) {
      ftruncateSync(fd, 0);
      removeFile(etagPath);
      writeFileSync(etagPath, isStrongEtag(etag) ? etag : "", { mode: 0o660, flag: "wx" });
    },
    [Symbol.dispose]() {
      if (!open) return;
      open = false;
      try {
        if (!this.keep || fstatSync(fd).size === 0) {
          removeFile(etagPath);
          // An import may have moved the file to its place: what is there now is not ours.
          if (isStillAt(fd, path)) removeFile(path);
        }
      } finally {
        closeSync(fd);
      }
    },
  };
}

/** Only a strong ETag promises the same bytes (RFC 9110 §8.8.1). */
export function isStrongEtag(etag: string): boolean {
  return /^"[\x21\x23-\x7e\x80-\xff]*"$/.test(etag) && etag.length <= 4096;
}
