// SPDX-License-Identifier: Apache-2.0
// What a person can get wrong on the command line.
import { RktError } from "../lib/errors.ts";

export type UsageCode =
  | "COMMAND_UNKNOWN"
  | "COMMAND_MISSING"
  | "COMMAND_UNAVAILABLE"
  | "FLAG_UNKNOWN"
  | "FLAG_SYNTAX"
  | "FLAG_VALUE_MISSING"
  | "FLAG_VALUE_INVALID"
  | "IMAGE_ARGUMENT_INVALID"
  | "ARGUMENT_INVALID"
  | "ARGUMENT_MISSING"
  | "NOT_PRIVILEGED"
  | "OUTPUT_FAILED";

/** A mistake in the words of the command line. */
export class UsageError extends RktError<UsageCode> {}
