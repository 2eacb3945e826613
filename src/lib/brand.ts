// SPDX-License-Identifier: Apache-2.0

declare const brand: unique symbol;

/** A value that was checked: only the parser or verifier that makes it may cast to it. */
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name };
