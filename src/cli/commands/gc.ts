// SPDX-License-Identifier: Apache-2.0
// `rkt gc` (rkt-cli §5.8).
import { collectPods } from "../../stage0/gc.ts";
import type { Run } from "../command.ts";
import { EXIT_FAILURE } from "../exit-status.ts";
import type { GC_FLAGS } from "../flag-sets.ts";
import { reportFailure } from "../pod-arguments.ts";

export const run: Run<typeof GC_FLAGS> = async ({ context, flags }) => {
  const failures = collectPods({
    dataDir: await context.dataDir(),
    gracePeriod: flags["grace-period"],
    expirePrepared: flags["expire-prepared"],
    markOnly: flags["mark-only"],
    report: context.reporter,
    print: (line) => context.out(`${line}\n`),
  });
  for (const { error } of failures) reportFailure(context, error);
  return failures.length === 0 ? 0 : EXIT_FAILURE;
};
