// SPDX-License-Identifier: Apache-2.0
// How much of anything we take from outside.

/** An image file, in bytes, when nobody states a smaller limit. */
export const DEFAULT_LIMIT = 64 * 2 ** 30;
/** Images below one image, all levels together. */
export const MAX_DEPENDENCIES = 512;
export const MAX_DEPENDENCY_DEPTH = 64;
