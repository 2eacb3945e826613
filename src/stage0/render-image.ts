// SPDX-License-Identifier: Apache-2.0
// Rendering an image that may have come just now. One that cannot be unpacked is of no use to anybody, and
// would be found by its name the next time: it does not stay in the store.
import type { ImageKey } from "../appc/index.ts";
import { errorChain } from "../lib/errors.ts";
import { type Store, StoreError } from "../store/index.ts";
import { ArchiveError } from "../tar/errors.ts";

export interface NewImage {
  readonly store: Store;
  readonly key: ImageKey;
  /** When this command began: what was imported before is not ours to remove. */
  readonly since: Date;
}

/** The result of `render`, which unpacks the image and its dependencies. */
export async function renderOrForget<T>(image: NewImage, render: () => Promise<T>): Promise<T> {
  try {
    return await render();
  } catch (error) {
    if (isContent(error)) forget(image);
    throw error;
  }
}

/** The archive's fault, not the disk's. */
function isContent(error: unknown): boolean {
  return errorChain(error).some(
    (one) =>
      (one instanceof ArchiveError && one.code !== "ARCHIVE_IO") ||
      (one instanceof StoreError && one.code === "LAYER_INVALID"),
  );
}

/** The error does not say which of the images was at fault: those that are good can be fetched again. */
function forget({ store, key, since }: NewImage): void {
  for (const image of store.flatten(key)) {
    try {
      if (store.record(image).importTime >= since) store.removeImage(image);
    } catch (error) {
      // Another process was faster.
      if (!(error instanceof StoreError && error.code === "IMAGE_NOT_FOUND")) throw error;
    }
  }
}
