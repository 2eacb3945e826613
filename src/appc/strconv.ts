// SPDX-License-Identifier: Apache-2.0
// Numbers and booleans in parameters, with the syntax and the sentences of Go's strconv, which people who
// use rkt have seen for years.

import { parseGoBool } from "../lib/go-bool.ts";
import { quote } from "../lib/text.ts";
import { ManifestError } from "./errors.ts";

export function parseBool(text: string): boolean {
  const value = parseGoBool(text);
  if (value === undefined) throw failure("ParseBool", text, "invalid syntax");
  return value;
}

/** A signed decimal integer that a JavaScript number holds exactly. */
export function parseInteger(text: string): number {
  if (!/^[+-]?[0-9]+$/.test(text)) throw failure("Atoi", text, "invalid syntax");
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw failure("Atoi", text, "value out of range");
  return value === 0 ? 0 : value;
}

/** An unsigned decimal integer of 16 bits. */
export function parseUint16(text: string): number {
  if (!/^[0-9]+$/.test(text)) throw failure("ParseUint", text, "invalid syntax");
  const value = Number(text);
  if (value > 0xffff) throw failure("ParseUint", text, "value out of range");
  return value;
}

function failure(func: string, text: string, reason: string): ManifestError {
  return new ManifestError(
    "PARAMETER_INVALID",
    `strconv.${func}: parsing ${quote(text)}: ${reason}`,
  );
}
