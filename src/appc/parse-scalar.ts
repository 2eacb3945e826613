// SPDX-License-Identifier: Apache-2.0
// Numbers and booleans in parameters, with the syntax of Go's strconv.

import { parseGoBool } from "../lib/go-bool.ts";
import { quote } from "../lib/text.ts";
import { ManifestError } from "./errors.ts";

export function parseBool(text: string): boolean {
  const value = parseGoBool(text);
  if (value === undefined) throw failure(text, "is neither true nor false");
  return value;
}

/** A signed decimal integer that a JavaScript number holds exactly. */
export function parseInteger(text: string): number {
  if (!/^[+-]?[0-9]+$/.test(text)) throw failure(text, "is not a whole number");
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw failure(text, "is too large a number");
  return value === 0 ? 0 : value;
}

/** An unsigned decimal integer of 16 bits. */
export function parseUint16(text: string): number {
  if (!/^[0-9]+$/.test(text)) throw failure(text, "is not a whole number of 0 or more");
  const value = Number(text);
  if (value > 0xffff) throw failure(text, "is more than 65535");
  return value;
}

function failure(text: string, problem: string): ManifestError {
  return new ManifestError("PARAMETER_INVALID", `${quote(text)} ${problem}`);
}
