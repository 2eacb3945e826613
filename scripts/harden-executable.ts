// SPDX-License-Identifier: Apache-2.0
// Makes the compiled executable deaf to the runtime's own environment variables. Bun obeys BUN_BE_BUN=1 (run
// any script as `bun` would), BUN_OPTIONS and BUN_INSPECT* (open a debugger): fine for a runtime, not for a
// program that root runs. There is no build flag against it, so each name in the executable gets an
// `=` in it, which no environment variable's name can have.
//
// The copy is written in one piece: the kernel then caches it in large folios, as it does a file that was
// installed or read from disk, and a start maps them in fewer steps. As the compiler leaves the file, a start
// takes 1 ms (8 %) longer. Usage: bun scripts/harden-executable.ts COMPILED EXECUTABLE
import { readFileSync, writeFileSync } from "node:fs";

/** A name that is no longer there means that Bun has changed: look again before trusting this script. */
const NAMES = ["BUN_BE_BUN", "BUN_OPTIONS", "BUN_INSPECT"];

const [compiled, executable] = process.argv.slice(2);
if (compiled === undefined || executable === undefined) {
  throw new Error("usage: harden-executable.ts COMPILED EXECUTABLE");
}
const bytes = readFileSync(compiled);
for (const name of NAMES) {
  let count = 0;
  for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name, at + name.length)) {
    bytes.write("=", at + "BUN".length);
    count++;
  }
  if (count === 0) throw new Error(`${compiled}: the runtime no longer knows ${name}`);
}
writeFileSync(executable, bytes, { mode: 0o755 });
