// SPDX-License-Identifier: Apache-2.0
// What `rkt trust` uses of config beyond reading it: not in index.ts, so that a plain start does not load it.
export { FieldError } from "./fields.ts";
export { checkPrefix, parseTrustPolicy, trustPolicyToJson } from "./trust-policy.ts";
export type { TrustPolicy } from "./types.ts";
export { localPolicy, removeTrustPolicy, writeTrustPolicy } from "./write-trust-policy.ts";
