// SPDX-License-Identifier: Apache-2.0
// What the other folders may use of fetch without loading the network. `rkt trust` imports pubkeys.ts, lazily.
export type {
  FetchContext,
  NetworkContext,
  PullPolicy,
  Review,
  ReviewQuestion,
} from "./context.ts";
export { FetchError, type FetchErrorCode } from "./errors.ts";
export { fetchImage, findImage, type ImageOptions } from "./fetch-image.ts";
export { parseReference, type Reference, type ReferenceOptions } from "./reference.ts";
export { type ReviewTerminal, reviewOn } from "./review.ts";
