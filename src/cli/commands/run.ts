// SPDX-License-Identifier: Apache-2.0
// `rkt run` (rkt-cli §5.1): prepares a pod and becomes its supervisor; it returns only to fail.
import { networkMode, parseNetList } from "../../network/net-list.ts";
import { moveToRun } from "../../pod/directory.ts";
import { discard, preparePod } from "../../stage0/prepare.ts";
import { planPod, startPod } from "../../stage0/start.ts";
import type { Run } from "../command.ts";
import type { runFlags } from "../flag-sets.ts";
import {
  checkStartFlags,
  overlayWanted,
  podSource,
  pullPolicyOf,
  refuseUnavailable,
  saveUuid,
  startOptions,
} from "../pod-request.ts";

export const run: Run<typeof runFlags> = async (words) => {
  const { context, flags } = words;
  const pullPolicy = pullPolicyOf(flags);
  refuseUnavailable(words);
  const networks = parseNetList(flags.net);
  checkStartFlags(flags, networks);
  const source = podSource(words, pullPolicy, flags.interactive);
  const options = startOptions(context, flags, networkMode(networks));
  const images = { pullPolicy, dependencies: true };
  const dataDir = await context.dataDir();
  const overlay = await overlayWanted(context, flags["no-overlay"]);
  const { pod, manifest, apps } = await preparePod(
    {
      source,
      overlay,
      onCreated: (uuid) => saveUuid(context, flags["uuid-file-save"], uuid),
    },
    {
      dataDir,
      local: await context.localContext(images),
      fetch: () => context.fetchContext(images),
    },
  );
  const start = { uuid: pod.uuid, path: pod.path, manifest, apps };
  try {
    const plan = await planPod(start, options, { dataDir, report: context.reporter });
    if (!flags["dry-run"]) startPod(moveToRun(dataDir, pod), plan);
    const { describePlan } = await import("../../stage1/plan/describe.ts");
    context.out(`${describePlan(plan)}\n`);
  } catch (error) {
    discard(dataDir, pod);
    throw error;
  }
  discard(dataDir, pod);
  return 0;
};
