// SPDX-License-Identifier: Apache-2.0
// `rkt image render` (rkt-cli §5.14): an image with its dependencies, as a pod would see it.
import { chmodSync } from "node:fs";
import { join, resolve } from "node:path";
import type { ImageKey } from "../../appc/index.ts";
import { type Store, StoreError } from "../../store/index.ts";
import type { Run } from "../command.ts";
import type { imageRenderFlags } from "../flag-sets.ts";
import { placeDirectory } from "../place-directory.ts";
import { resolveImage } from "../resolve-image.ts";

export const run: Run<typeof imageRenderFlags> = async ({ context, flags, args }) => {
  const [image = "", output = ""] = args;
  const store = await context.store();
  const key = resolveImage(context, store, image);
  const placing = { overwrite: flags.overwrite, rootfsOnly: flags["rootfs-only"] };
  await placeDirectory(resolve(context.cwd, output), placing, async (directory) => {
    // What is written here comes from the blobs, but who renders wants to know of a damaged tree.
    if (context.euid === 0 && (await isDamaged(store, key))) {
      context.reporter.line("", "warning: tree cache is in a bad state. Rebuilding...");
      await store.renderTree(key, { rebuild: true });
    }
    await store.renderInto(key, directory);
    chmodSync(join(directory, "manifest"), 0o700);
  });
  return 0;
};

async function isDamaged(store: Store, key: ImageKey): Promise<boolean> {
  try {
    await store.checkTree(store.treeID(key));
    return false;
  } catch (error) {
    if (error instanceof StoreError && error.code === "TREE_CORRUPT") return true;
    throw error;
  }
}
