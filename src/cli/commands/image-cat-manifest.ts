// SPDX-License-Identifier: Apache-2.0
// `rkt image cat-manifest` (rkt-cli §5.14).
import { prettyJson, serializeImageManifest } from "../../appc/index.ts";
import type { Run } from "../command.ts";
import type { imageCatManifestFlags } from "../flag-sets.ts";
import { resolveImage } from "../resolve-image.ts";

export const run: Run<typeof imageCatManifestFlags> = async ({ context, flags, args }) => {
  const store = await context.store();
  const json = serializeImageManifest(store.manifest(resolveImage(context, store, args[0] ?? "")));
  context.out(`${flags["pretty-print"] ? prettyJson(json) : json}\n`);
  return 0;
};
