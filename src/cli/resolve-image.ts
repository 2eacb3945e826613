// SPDX-License-Identifier: Apache-2.0
// IMAGE of the `rkt image` commands: the image that `rkt run` would take by this name. With
// --insecure-options=image that may be one that nobody verified although there is one that somebody did.
import type { ImageKey } from "../appc/index.ts";
import type { Store } from "../store/index.ts";
import type { Context } from "./context.ts";

export function resolveImage(context: Context, store: Store, text: string): ImageKey {
  return store.resolveImage(text, { preferVerified: !context.globals.insecure.image });
}
