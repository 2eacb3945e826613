// SPDX-License-Identifier: Apache-2.0
/** `make` called when the value is first asked for, and never again: a start makes only what it uses. */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
