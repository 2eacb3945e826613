// SPDX-License-Identifier: Apache-2.0
// Makes the compiled executable deaf to the runtime's own environment variables. Bun obeys BUN_BE_BUN=1 (run
// any script as `bun` would), BUN_OPTIONS and BUN_INSPECT* (open a debugger): fine for a runtime, not for a
// program that root runs. There is no build flag against it, so each name in the executable gets an
// `=` in it, which no environment variable's name can have. Usage: bun scripts/harden-executable.ts FILE
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";

/** A name that is no longer there means that Bun has changed: look again before trusting this script. */
const NAMES = ["BUN_BE_BUN", "BUN_OPTIONS", "BUN_INSPECT"];

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error("usage: harden-executable.ts FILE");
const bytes = readFileSync(path);
const fd = openSync(path, "r+");
for (const name of NAMES) {
  let count = 0;
  for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name, at + name.length)) {
    writeSync(fd, "=", at + "BUN".length);
    count++;
  }
  if (count === 0) throw new Error(`${path}: the runtime no longer knows ${name}`);
}
closeSync(fd);
