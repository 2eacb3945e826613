// SPDX-License-Identifier: Apache-2.0
// `rkt prepare` (rkt-cli §5.1): fetches and sets up a pod for `rkt run-prepared`; prints its UUID.
import { silentReporter } from "../../lib/reporter.ts";
import { discard, keepPrepared, preparePod } from "../../stage0/prepare.ts";
import { filterOfApp } from "../../stage1/seccomp/filter.ts";
import type { Run } from "../command.ts";
import type { prepareFlags } from "../flag-sets.ts";
import {
  checkPrivateUsers,
  overlayWanted,
  podSource,
  pullPolicyOf,
  refuseUnavailable,
} from "../pod-request.ts";

export const run: Run<typeof prepareFlags> = async (words) => {
  const { context, flags } = words;
  const pullPolicy = pullPolicyOf(flags);
  refuseUnavailable(words);
  if (flags["private-users"]) await checkPrivateUsers();
  const source = podSource(words, pullPolicy);
  const dataDir = await context.dataDir();
  const images = { pullPolicy, dependencies: true, platform: flags.platform };
  const quietly = <T extends object>(part: T): T =>
    flags.quiet ? { ...part, report: silentReporter } : part;
  const { pod, manifest, apps } = await preparePod(
    {
      source,
      overlay: await overlayWanted(context, flags["no-overlay"]),
      privateUsers: flags["private-users"],
    },
    {
      dataDir,
      local: quietly(await context.localContext(images)),
      fetch: async () => quietly(await context.fetchContext(images)),
    },
  );
  try {
    // A filter that cannot be made would otherwise be noticed when the pod is to run.
    for (const app of apps) await filterOfApp(app, context.globals.insecure);
    if (flags.strict) {
      const { requireEnforceable } = await import("../../stage0/limit-pod.ts");
      requireEnforceable({ uuid: pod.uuid, manifest, apps });
    }
  } catch (error) {
    await discard(dataDir, pod);
    throw error;
  }
  await keepPrepared(dataDir, pod);
  context.out(`${pod.uuid}\n`);
  return 0;
};
