// SPDX-License-Identifier: Apache-2.0
// What the other folders may use of fetch without loading the network. `rkt trust` imports pubkeys.ts, lazily.
export type { FetchContext, LocalContext, NetworkContext, PullPolicy, Review } from "./context.ts";
export { fetchImage, findImage, findStoredDocker } from "./fetch-image.ts";
