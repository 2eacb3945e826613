// SPDX-License-Identifier: Apache-2.0
import { RktError } from "../lib/errors.ts";

export type PodErrorCode =
  | "POD_NOT_FOUND"
  | "POD_AMBIGUOUS"
  | "POD_STATE"
  | "POD_BROKEN"
  | "POD_BUSY"
  | "POD_MANIFEST"
  | "POD_IO";

export class PodError extends RktError<PodErrorCode> {}
