// SPDX-License-Identifier: Apache-2.0
import { RktError } from "../lib/errors.ts";

export type Stage0ErrorCode =
  | "IMAGE_WORD"
  | "POD_STATE"
  | "APP_SELECTION"
  | "ENTER_DENIED"
  | "IMAGE_UNVERIFIED"
  | "VOLUME_SOURCE"
  | "VOLUME_CONTENT"
  | "ISOLATOR_INVALID"
  | "ISOLATOR_UNENFORCED"
  | "EXPORT"
  | "USER_NAMESPACE"
  | "PORT"
  | "METADATA_SERVICE"
  | "TIMEOUT";

export class Stage0Error extends RktError<Stage0ErrorCode> {}
