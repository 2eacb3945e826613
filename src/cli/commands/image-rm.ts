// SPDX-License-Identifier: Apache-2.0
// `rkt image rm` (rkt-cli §5.14). An argument that names no image is only reported; the others go on.
import type { ImageKey } from "../../appc/index.ts";
import { RktError } from "../../lib/errors.ts";
import type { Run } from "../command.ts";
import { EXIT_FAILURE } from "../exit-status.ts";
import { reportFailure } from "../pod-arguments.ts";
import { sayCount, sayRemoved } from "../remove-images.ts";
import { resolveImage } from "../resolve-image.ts";
import { UsageError } from "../usage-error.ts";

export const run: Run = async ({ context, args }) => {
  if (args.length === 0) {
    throw new UsageError("ARGUMENT_MISSING", "must provide at least one image ID");
  }
  const store = await context.store();
  const keys = new Set<ImageKey>();
  for (const image of args) {
    try {
      keys.add(resolveImage(context, store, image));
    } catch (error) {
      if (!(error instanceof RktError)) throw error;
      reportFailure(context, error);
    }
  }
  let removed = 0;
  for (const key of keys) {
    try {
      store.removeImage(key);
      removed++;
      sayRemoved(context, key);
    } catch (error) {
      if (!(error instanceof RktError)) throw error;
      reportFailure(context, error);
    }
  }
  sayCount(context, removed);
  if (removed === keys.size) return 0;
  context.reporter.line("", "error(s) found while removing images");
  return EXIT_FAILURE;
};
