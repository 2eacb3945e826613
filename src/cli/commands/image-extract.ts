// SPDX-License-Identifier: Apache-2.0
// `rkt image extract` (rkt-cli §5.14): one image, without its dependencies.
import { resolve } from "node:path";
import type { Run } from "../command.ts";
import type { imageExtractFlags } from "../flag-sets.ts";
import { placeDirectory } from "../place-directory.ts";
import { resolveImage } from "../resolve-image.ts";

export const run: Run<typeof imageExtractFlags> = async ({ context, flags, args }) => {
  const [image = "", output = ""] = args;
  const store = await context.store();
  const key = resolveImage(context, store, image);
  const placing = { overwrite: flags.overwrite, rootfsOnly: flags["rootfs-only"] };
  await placeDirectory(resolve(context.cwd, output), placing, (directory) =>
    store.extractInto(key, directory),
  );
  return 0;
};
