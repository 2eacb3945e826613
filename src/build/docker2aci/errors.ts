// SPDX-License-Identifier: Apache-2.0
// The one error of docker2aci.
import { RktError } from "../../lib/errors.ts";

export type ConversionErrorCode =
  | "CONVERSION_INPUT"
  | "CONVERSION_SELECTION"
  | "CONVERSION_LAYER"
  | "CONVERSION_OUTPUT";

export class ConversionError extends RktError<ConversionErrorCode> {}
