// SPDX-License-Identifier: Apache-2.0
// Go's spelling of booleans, which rkt's flags and the volume and mount-point strings use.

const TRUE: ReadonlySet<string> = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const FALSE: ReadonlySet<string> = new Set(["0", "f", "F", "FALSE", "false", "False"]);

/** The value of `text`, or undefined when it is not one of Go's twelve spellings. */
export function parseGoBool(text: string): boolean | undefined {
  if (TRUE.has(text)) return true;
  if (FALSE.has(text)) return false;
  return undefined;
}
