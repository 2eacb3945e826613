// SPDX-License-Identifier: Apache-2.0
// Waiting for a pod: for its end, or for all its apps to run (rkt-cli §5.5). Pods have no parent that we
// could ask, so this looks every 100 ms, as rkt did.
import { findPod, type PodRef } from "../pod/directory.ts";
import { isReady } from "../pod/read.ts";
import { isFinished } from "../pod/state.ts";
import { Stage0Error } from "./errors.ts";

const POLL_MS = 100;

/** `timeout` in milliseconds; undefined waits for ever. Resolves to the pod as it was last seen. */
async function waitFor(
  dataDir: string,
  pod: PodRef,
  goal: {
    readonly what: string;
    readonly reached: (pod: PodRef) => boolean;
    readonly timeout: number | undefined;
  },
): Promise<PodRef> {
  const deadline =
    goal.timeout === undefined ? Number.POSITIVE_INFINITY : Date.now() + goal.timeout;
  let current = pod;
  while (!goal.reached(current)) {
    if (Date.now() >= deadline) {
      throw new Stage0Error(
        "TIMEOUT",
        `timed out while waiting for pod "${pod.uuid}" to ${goal.what}`,
      );
    }
    await Bun.sleep(Math.max(0, Math.min(POLL_MS, deadline - Date.now())));
    const next = findPod(dataDir, pod.uuid);
    // A pod that was deleted meanwhile has finished.
    if (next === undefined) return { ...current, state: "garbage" };
    current = next;
  }
  return current;
}

export function waitForEnd(dataDir: string, pod: PodRef, timeout?: number): Promise<PodRef> {
  return waitFor(dataDir, pod, { what: "finish", reached: (p) => isFinished(p.state), timeout });
}

export function waitForReady(dataDir: string, pod: PodRef, timeout?: number): Promise<PodRef> {
  return waitFor(dataDir, pod, {
    what: "become ready",
    reached: (p) => {
      if (isFinished(p.state)) {
        throw new Stage0Error("POD_STATE", `pod "${pod.uuid}" is not running anymore`);
      }
      return p.state === "running" && isReady(p);
    },
    timeout,
  });
}
