// SPDX-License-Identifier: Apache-2.0
// Writes the manual pages, made from the command table, into a directory: bun scripts/man.ts DIRECTORY
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { manualPages } from "../src/cli/man.ts";

const directory = process.argv[2];
if (directory === undefined) throw new Error("usage: man.ts DIRECTORY");
mkdirSync(directory, { recursive: true });
for (const [name, text] of manualPages()) writeFileSync(join(directory, name), text);
