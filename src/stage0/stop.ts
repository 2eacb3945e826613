// SPDX-License-Identifier: Apache-2.0
// `rkt stop`: asks the supervisor of a running pod to end it in order, or kills it (rkt-cli §5.6).
import { isErrno } from "../lib/errors.ts";
import { findPod, type PodRef } from "../pod/directory.ts";
import { readPodProcesses } from "../pod/read.ts";
import { isFinished } from "../pod/state.ts";
import { openProcess, SIGKILL, SIGTERM } from "../sys/process.ts";
import { Stage0Error } from "./errors.ts";

const POLL_MS = 100;

export type StopResult = "stopped" | "already stopped";

/**
 * Signals the pod's supervisor: TERM stops the apps in order, KILL (force) takes the whole PID namespace
 * with it. Returns when the signal is sent; `rkt status --wait` waits for the end.
 */
export async function stopPod(
  dataDir: string,
  pod: PodRef,
  options: { readonly force: boolean },
): Promise<StopResult> {
  if (isFinished(pod.state)) return "already stopped";
  if (pod.state !== "running") {
    throw new Stage0Error("POD_STATE", `pod "${pod.uuid}" is not running`, {
      details: { state: pod.state },
    });
  }
  for (;;) {
    const now = findPod(dataDir, pod.uuid);
    if (now === undefined || isFinished(now.state)) return "already stopped";
    const { supervisor } = readPodProcesses(now);
    if (supervisor !== undefined) {
      try {
        using process = openProcess(supervisor);
        // The lock is the proof: while it is held, the PID that we pinned is the supervisor's.
        if (findPod(dataDir, pod.uuid)?.state !== "running") return "already stopped";
        process.signal(options.force ? SIGKILL : SIGTERM);
        return "stopped";
      } catch (error) {
        if (!isErrno(error, "ESRCH")) throw error;
      }
    }
    await Bun.sleep(POLL_MS);
  }
}
