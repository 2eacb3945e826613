// SPDX-License-Identifier: Apache-2.0
// `rkt image verify` (rkt-cli §5.14): are the rendered trees as they were written?
import type { ImageKey } from "../../appc/index.ts";
import { quote } from "../../lib/text.ts";
import { type Store, StoreError } from "../../store/index.ts";
import type { Run } from "../command.ts";
import type { Context } from "../context.ts";
import { resolveImage } from "../resolve-image.ts";

export const run: Run = async ({ context, args, usage }) => {
  if (args.length === 0) return usage();
  const store = await context.store();
  for (const image of args)
    await verify(context, store, { image, key: resolveImage(context, store, image) });
  return 0;
};

async function verify(
  context: Context,
  store: Store,
  { image, key }: { readonly image: string; readonly key: ImageKey },
): Promise<void> {
  const shown = quote(image);
  try {
    const hash = await store.checkTree(store.treeID(key));
    context.out(
      hash === undefined
        ? `image ${shown} not rendered; no verification needed\n`
        : `successfully verified checksum for image: ${shown} (${quote(key)})\n`,
    );
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== "TREE_CORRUPT") throw error;
    const name = shown.slice(1, -1);
    context.reporter.line(
      "",
      `tree cache verification failed for image ${name}: ${error.message};  rebuilding...`,
    );
    await store.renderTree(key, { rebuild: true });
  }
}
