// SPDX-License-Identifier: Apache-2.0
// The App Container specification as data: types, parsing, validation, writing. Pure, runs under Node too.

export { ManifestError, type ManifestErrorCode } from "./errors.ts";
export type * from "./types.ts";
