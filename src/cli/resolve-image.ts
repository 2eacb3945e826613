// SPDX-License-Identifier: Apache-2.0
// IMAGE of the `rkt image` commands: the image that `rkt run` would take by this name. With
// --insecure-options=image that may be one that nobody verified although there is one that somebody did.
import type { ImageKey } from "../appc/index.ts";
import { parseDockerReference } from "../fetch/docker-reference.ts";
import { findStoredDocker } from "../fetch/index.ts";
import { quote } from "../lib/text.ts";
import type { Store } from "../store/index.ts";
import type { Context } from "./context.ts";
import { UsageError } from "./usage-error.ts";

const SHOW = "rkt image list shows what there is";

export function resolveImage(context: Context, store: Store, text: string): ImageKey {
  const docker = dockerName(text);
  if (docker !== undefined) {
    const key = findStoredDocker(docker, store);
    if (key !== undefined) return key;
    throw new UsageError("ARGUMENT_INVALID", `no image ${quote(docker)} in the store`, {
      remedy: `${SHOW}; rkt fetch brings an image`,
    });
  }
  if (/^(?:oci|oci-archive|docker-archive):/i.test(text)) {
    throw new UsageError("ARGUMENT_INVALID", `${quote(text)} is not in the store by this name`, {
      remedy: `${SHOW}: an image of a file is there as local/NAME`,
    });
  }
  return store.resolveImage(text, { preferVerified: !context.globals.insecure.image });
}

/** With the scheme or, as Docker's users write it, without; only a name with a port is not also a name of the store's. */
function dockerName(text: string): string | undefined {
  if (/^docker:/i.test(text)) return text;
  const hasPort = /^[^/,]*:\d+\//.test(text);
  return hasPort && parseDockerReference(text) !== undefined ? `docker://${text}` : undefined;
}
