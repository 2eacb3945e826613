// SPDX-License-Identifier: Apache-2.0
// `rkt status` (rkt-cli §5.5).
import { formatTime } from "../../lib/humanize.ts";
import { describePod, viewPod } from "../../pod/describe.ts";
import type { PodRef } from "../../pod/directory.ts";
import { readAppStatuses, readOomKills, readPodProcesses } from "../../pod/read.ts";
import { isAfterRun } from "../../pod/state.ts";
import { waitForEnd, waitForReady } from "../../stage0/wait.ts";
import type { Invocation, Run } from "../command.ts";
import type { statusFlags } from "../flag-sets.ts";
import { formatJson } from "../json.ts";
import { onePod, withUuidFileStatus } from "../pod-arguments.ts";

export const run: Run<typeof statusFlags> = (invocation) =>
  withUuidFileStatus(invocation.context, () => status(invocation));

async function status({
  context,
  flags,
  args,
  usage,
}: Invocation<typeof statusFlags>): Promise<number> {
  const dataDir = await context.dataDir();
  let pod = onePod(dataDir, args, flags["uuid-file"]);
  if (pod === undefined) return usage();
  if (flags["wait-ready"] !== 0) {
    pod = await waitForReady(dataDir, pod, timeout(flags["wait-ready"]));
  }
  if (flags.wait !== 0) pod = await waitForEnd(dataDir, pod, timeout(flags.wait));
  const view = viewPod(pod);
  if (flags.format !== "") {
    context.out(`${formatJson(describePod(view), flags.format)}\n`);
    return 0;
  }
  const lines = [`state=${pod.state}`];
  if (view.created !== undefined) lines.push(`created=${formatTime(view.created)}`);
  if (view.started !== undefined) lines.push(`started=${formatTime(view.started)}`);
  if (pod.state === "running" || pod.state === "exited") {
    const networks = view.networks.map(({ netName, ip }) => `${netName}:ip4=${ip}`);
    lines.push(`networks=${networks.join(", ")}`);
  }
  if (pod.state === "running" || isAfterRun(pod.state)) lines.push(...processLines(pod));
  context.out(`${lines.join("\n")}\n`);
  return 0;
}

function timeout(flag: number): number | undefined {
  return Number.isFinite(flag) ? flag : undefined;
}

function processLines(pod: PodRef): string[] {
  const { init, supervisor } = readPodProcesses(pod);
  const pid = init ?? supervisor;
  const lines = pid === undefined ? [] : [`pid=${pid}`];
  lines.push(`exited=${pod.state === "exited" || pod.state === "exited garbage"}`);
  if (pod.state !== "running") {
    for (const [app, status] of readAppStatuses(pod)) lines.push(`app-${app}=${status}`);
    for (const [app, kills] of readOomKills(pod)) lines.push(`oom-kills-${app}=${kills}`);
  }
  return lines;
}
