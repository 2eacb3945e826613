// SPDX-License-Identifier: Apache-2.0
// `rkt fetch` (rkt-cli §5.13): images with their dependencies into the store.
import { shortID } from "../../appc/index.ts";
import { fetchImage } from "../../fetch/index.ts";
import { hostOverlayProblem } from "../../stage0/overlay.ts";
import { renderOrForget } from "../../stage0/render-image.ts";
import type { Run } from "../command.ts";
import type { Context } from "../context.ts";
import type { fetchFlags } from "../flag-sets.ts";
import { pullPolicyOf } from "../pod-request.ts";
import { UsageError } from "../usage-error.ts";

export const run: Run<typeof fetchFlags> = async ({ context, flags, images }) => {
  if (images.length === 0) {
    throw new UsageError("ARGUMENT_MISSING", "must provide at least one image");
  }
  const pullPolicy = pullPolicyOf(flags);
  const fetchContext = await context.fetchContext({
    pullPolicy,
    dependencies: true,
    platform: flags.platform,
  });
  const { store } = fetchContext;
  const render = await canRender(context);
  const since = new Date();
  for (const { image, signature } of images) {
    const key = await fetchImage(image, fetchContext, { signature });
    if (render) {
      await renderOrForget({ store, key, since }, () => store.renderTree(key));
    }
    context.out(`${flags.full ? key : shortID(key)}\n`);
  }
  return 0;
};

/** A tree is only of use to overlay, and only root can give its files their owners (rkt-cli §1.6). */
async function canRender(context: Context): Promise<boolean> {
  return context.euid === 0 && hostOverlayProblem(await context.dataDir()) === undefined;
}
