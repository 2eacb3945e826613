// SPDX-License-Identifier: Apache-2.0
import { RktError } from "../lib/errors.ts";

export type StoreErrorCode =
  | "STORE_PERMISSION"
  | "STORE_LAYOUT"
  | "INDEX_VERSION"
  | "INDEX_FAILED"
  | "IMAGE_ID_INVALID"
  | "IMAGE_NOT_FOUND"
  | "IMAGE_AMBIGUOUS"
  | "IMAGE_INVALID"
  | "IMAGE_CORRUPT"
  | "IMAGE_UNVERIFIED"
  | "IMAGE_IMPORT"
  | "IMAGE_REMOVE"
  | "DEPENDENCY_MISSING"
  | "DEPENDENCY_CYCLE"
  | "TREE_CORRUPT"
  | "TREE_FAILED"
  | "LAYER_INVALID"
  | "LAYER_MISSING"
  | "EXPORT_EXISTS"
  | "EXPORT_FAILED";

export class StoreError extends RktError<StoreErrorCode> {}
