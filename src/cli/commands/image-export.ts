// SPDX-License-Identifier: Apache-2.0
// `rkt image export` (rkt-cli §5.14): the image's tar as it is in the store.
import { resolve } from "node:path";
import type { Run } from "../command.ts";
import type { imageExportFlags } from "../flag-sets.ts";
import { resolveImage } from "../resolve-image.ts";

export const run: Run<typeof imageExportFlags> = async ({ context, flags, args }) => {
  const [image = "", output = ""] = args;
  const store = await context.store();
  const key = resolveImage(context, store, image);
  await store.exportBlob(key, resolve(context.cwd, output), { overwrite: flags.overwrite });
  return 0;
};
