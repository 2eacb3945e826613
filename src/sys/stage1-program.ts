// SPDX-License-Identifier: Apache-2.0
// The C program inside the executable (inside build/ in a checkout: `make -C stage1` puts it there).
import { readFileSync } from "node:fs";
// @ts-expect-error the bundler's file loader: the default export is the file's path
import program from "../../build/stage1" with { type: "file" };

/** The ELF file's bytes. */
export function stage1Program(): Uint8Array {
  return readFileSync(program as string);
}
