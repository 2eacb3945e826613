// SPDX-License-Identifier: Apache-2.0
// The host's own group file. (Images are never looked up here: see stage1/resolve-user.ts.)
import { readFileSync } from "node:fs";
import { isErrno } from "../lib/errors.ts";

/** The gid of a group of this host by its name in /etc/group; undefined when there is none. */
export function lookupGroup(name: string): number | undefined {
  let text: string;
  try {
    text = readFileSync("/etc/group", "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  const start = text.startsWith(`${name}:`) ? 0 : text.indexOf(`\n${name}:`) + 1;
  if (start === 0 && !text.startsWith(`${name}:`)) return undefined;
  const gid = Number(text.slice(start, text.indexOf("\n", start) + 1 || undefined).split(":")[2]);
  return Number.isInteger(gid) ? gid : undefined;
}
