// SPDX-License-Identifier: Apache-2.0
// The image store, for the layers above. See store.ts.

export { StoreError, type StoreErrorCode } from "./errors.ts";
export type { RemoteRecord } from "./image-index.ts";
export type { ImageVerification } from "./image-record.ts";
export type { StoredLayer, StoredOci } from "./oci-record.ts";
export {
  type CollectImages,
  type ImageRecord,
  openStore,
  type RenderOptions,
  type Store,
} from "./store.ts";
export { createTemporary, type TemporaryFile } from "./temporary.ts";
export {
  parseTreeStoreID,
  type RenderedTree,
  type TreeListing,
  type TreeStoreID,
} from "./tree-store.ts";
