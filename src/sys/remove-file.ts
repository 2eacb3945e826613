// SPDX-License-Identifier: Apache-2.0
// unlink(2) where absence is success. Not rmSync: for a file that cannot be removed, the runtime's reports EFAULT
// whatever the kernel's reason was.
import { unlinkSync } from "node:fs";
import { isErrno } from "../lib/errors.ts";

export function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}
