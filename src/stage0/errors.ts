// SPDX-License-Identifier: Apache-2.0
import { RktError } from "../lib/errors.ts";

export type Stage0ErrorCode =
  | "POD_STATE"
  | "APP_SELECTION"
  | "OVERLAY_UNSUPPORTED"
  | "IMAGE_UNUSABLE"
  | "IMAGE_UNVERIFIED"
  | "EXPORT"
  | "TIMEOUT"
  | "UUID_FILE";

export class Stage0Error extends RktError<Stage0ErrorCode> {}
