// SPDX-License-Identifier: Apache-2.0
// `rkt stop` (rkt-cli §5.6).
import { resolvePod } from "../../pod/directory.ts";
import { stopPod } from "../../stage0/stop.ts";
import type { Invocation, Run } from "../command.ts";
import { EXIT_FAILURE } from "../exit-status.ts";
import type { stopFlags } from "../flag-sets.ts";
import { podWords, reportFailure, withUuidFileStatus } from "../pod-arguments.ts";

export const run: Run<typeof stopFlags> = (invocation) =>
  withUuidFileStatus(invocation.context, () => stop(invocation));

async function stop({
  context,
  flags,
  args,
  usage,
}: Invocation<typeof stopFlags>): Promise<number> {
  const words = podWords(args, flags["uuid-file"]);
  if (words === undefined) return usage();
  const dataDir = await context.dataDir();
  let failures = 0;
  for (const word of words) {
    try {
      const pod = resolvePod(dataDir, word);
      const result = await stopPod(dataDir, pod, { force: flags.force });
      context.out(
        result === "stopped" ? `"${pod.uuid}"\n` : `pod "${pod.uuid}" is already stopped\n`,
      );
    } catch (error) {
      failures++;
      reportFailure(context, error);
    }
  }
  if (failures === 0) return 0;
  context.reporter.line("", `failed to stop ${failures} pod(s)`);
  return EXIT_FAILURE;
}
