// SPDX-License-Identifier: Apache-2.0
// Looking into the store where "it is not there" is an answer.
import type { ImageKey } from "../appc/index.ts";
import { type ImageRecord, type Store, StoreError } from "../store/index.ts";

export function findStored(store: Store, key: ImageKey): ImageRecord | undefined {
  try {
    return store.record(key);
  } catch (error) {
    if (error instanceof StoreError && error.code === "IMAGE_NOT_FOUND") return undefined;
    throw error;
  }
}
