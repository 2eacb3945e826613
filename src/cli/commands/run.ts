// SPDX-License-Identifier: Apache-2.0
// `rkt run` (rkt-cli §5.1): prepares a pod and becomes its supervisor; it returns only to fail.

import type { PodManifest } from "../../appc/index.ts";
import { parseNetList } from "../../network/net-list.ts";
import { moveToRun } from "../../pod/directory.ts";
import { joinMetadataService } from "../../stage0/metadata-service.ts";
import { checkNetworks, joinNetworks } from "../../stage0/networks.ts";
import { discard, type PreparedApp, preparePod } from "../../stage0/prepare.ts";
import { planPod, startPod, takeSockets } from "../../stage0/start.ts";
import type { Plan } from "../../stage1/plan/wire.ts";
import type { Invocation, Run } from "../command.ts";
import type { runFlags } from "../flag-sets.ts";
import {
  checkPrivateUsers,
  checkStartFlags,
  overlayWanted,
  podSource,
  pullPolicyOf,
  refuseUnavailable,
  saveUuid,
  startOptions,
} from "../pod-request.ts";

export const run: Run<typeof runFlags> = (words) => runPod(words);

/** A pod that could be started now. */
export interface PlannedPod {
  readonly uuid: string;
  readonly manifest: PodManifest;
  readonly apps: readonly PreparedApp[];
  readonly plan: Plan;
}

/** With `show`, or --dry-run, nothing is started: the text is printed and the pod removed again. */
export async function runPod(
  words: Invocation<typeof runFlags>,
  show?: (pod: PlannedPod) => Promise<string>,
): Promise<number> {
  const { context, flags } = words;
  const pullPolicy = pullPolicyOf(flags);
  refuseUnavailable(words);
  if (flags["private-users"]) await checkPrivateUsers();
  const networks = parseNetList(flags.net);
  checkStartFlags(flags, networks);
  const source = podSource(words, pullPolicy, flags.interactive);
  const options = startOptions(context, flags, networks);
  await checkNetworks(options);
  const images = { pullPolicy, dependencies: true, platform: flags.platform };
  const dataDir = await context.dataDir();
  const overlay = await overlayWanted(context, flags["no-overlay"]);
  const { pod, manifest, apps, userNamespace } = await preparePod(
    {
      source,
      overlay,
      privateUsers: flags["private-users"],
      onCreated: (uuid) => saveUuid(context, flags["uuid-file-save"], uuid),
    },
    {
      dataDir,
      local: await context.localContext(images),
      fetch: () => context.fetchContext(images),
    },
  );
  const start = { uuid: pod.uuid, path: pod.path, manifest, apps, userNamespace };
  try {
    const sockets = flags["dry-run"]
      ? undefined
      : await takeSockets(start, options, context.reporter);
    const joined = flags["dry-run"]
      ? undefined
      : await joinNetworks(start, options, { dataDir, report: context.reporter, sockets });
    const metadataUrl = flags["dry-run"]
      ? undefined
      : await joinMetadataService(start, options, joined);
    const plan = await planPod(start, options, {
      dataDir,
      report: context.reporter,
      networks: joined,
      metadataUrl,
      sockets,
    });
    if (!flags["dry-run"]) {
      startPod(moveToRun(dataDir, pod), plan, { mode: options.network, networks: joined, sockets });
    }
    context.out(await (show ?? showPlan)({ uuid: pod.uuid, manifest, apps, plan }));
  } catch (error) {
    await discard(dataDir, pod);
    throw error;
  }
  await discard(dataDir, pod);
  return 0;
}

async function showPlan({ plan }: PlannedPod): Promise<string> {
  const { describePlan } = await import("../../stage1/plan/describe.ts");
  return `${describePlan(plan)}\n`;
}
