// SPDX-License-Identifier: Apache-2.0
// `rkt rm` (rkt-cli §5.7).
import { resolvePod } from "../../pod/directory.ts";
import { removePod } from "../../stage0/gc.ts";
import type { Run } from "../command.ts";
import { EXIT_FAILURE } from "../exit-status.ts";
import type { rmFlags } from "../flag-sets.ts";
import { podWords, reportFailure } from "../pod-arguments.ts";

export const run: Run<typeof rmFlags> = async ({ context, flags, args, usage }) => {
  const words = podWords(args, flags["uuid-file"]);
  if (words === undefined) return usage();
  const dataDir = await context.dataDir();
  let failed = false;
  for (const word of words) {
    try {
      const pod = resolvePod(dataDir, word);
      await removePod(dataDir, pod, context.reporter);
      context.out(`"${pod.uuid}"\n`);
    } catch (error) {
      failed = true;
      reportFailure(context, error);
    }
  }
  if (!failed) return 0;
  context.reporter.line("", "failed to remove one or more pods");
  return EXIT_FAILURE;
};
