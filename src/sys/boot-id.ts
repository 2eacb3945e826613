// SPDX-License-Identifier: Apache-2.0
// Which run of the machine this is: what the kernel has in memory is lost when the answer changes.
import { readFileSync } from "node:fs";
import { isErrno } from "../lib/errors.ts";

let known: string | undefined;

/** The kernel's random ID of this boot (random(4)); undefined where /proc does not tell. */
export function bootID(): string | undefined {
  if (known === undefined) {
    try {
      known = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    } catch (error) {
      if (!isErrno(error, "ENOENT", "EACCES")) throw error;
      known = "";
    }
  }
  return known === "" ? undefined : known;
}
