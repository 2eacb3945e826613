// SPDX-License-Identifier: Apache-2.0
// `rkt prepare` (rkt-cli §5.1): fetches and sets up a pod for `rkt run-prepared`; prints its UUID.
import { silentReporter } from "../../lib/reporter.ts";
import { keepPrepared, preparePod } from "../../stage0/prepare.ts";
import type { Run } from "../command.ts";
import type { PREPARE_FLAGS } from "../flag-sets.ts";
import { overlayWanted, podSource, pullPolicyOf, refuseUnavailable } from "../pod-request.ts";

export const run: Run<typeof PREPARE_FLAGS> = async (words) => {
  const { context, flags } = words;
  const pullPolicy = pullPolicyOf(flags);
  refuseUnavailable(words);
  const source = podSource(words, pullPolicy);
  const dataDir = await context.dataDir();
  const fetch = await context.fetchContext({ pullPolicy, dependencies: true });
  const { pod } = await preparePod(
    { source, overlay: await overlayWanted(context, flags["no-overlay"]) },
    { dataDir, fetch: flags.quiet ? { ...fetch, report: silentReporter } : fetch },
  );
  keepPrepared(dataDir, pod);
  context.out(`${pod.uuid}\n`);
  return 0;
};
