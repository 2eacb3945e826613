// SPDX-License-Identifier: Apache-2.0
// Files that are being written, in cas/tmp. The writer holds a lock on its file; the kernel drops it when
// the writer dies, however it dies, and that is how gc tells a leftover from work in progress.
import { closeSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { isStillAt, tryLockFd } from "../sys/lock.ts";
import { randomName } from "../sys/random-name.ts";
import { createSharedFile } from "./layout.ts";

/** Names that start so belong to a running import: without a lock on them they are waste. */
export const IMPORT_PREFIX = "import-";

/** A new file, locked; disposing it closes it and removes what is still at its path. */
export interface TemporaryFile extends Disposable {
  readonly fd: number;
  readonly path: string;
}

export function createTemporary(directory: string): TemporaryFile {
  for (;;) {
    const path = join(directory, `${IMPORT_PREFIX}${randomName(12)}`);
    const fd = createSharedFile(path);
    // Between open and flock gc may have taken the file for a leftover: then there is a next one.
    if (tryLockFd(fd, "exclusive") && isStillAt(fd, path)) return own(fd, path);
    closeSync(fd);
  }
}

function own(fd: number, path: string): TemporaryFile {
  return {
    fd,
    path,
    [Symbol.dispose]() {
      try {
        if (isStillAt(fd, path)) unlinkSync(path);
      } catch (error) {
        if (!isErrno(error, "ENOENT")) throw error;
      } finally {
        closeSync(fd);
      }
    },
  };
}
