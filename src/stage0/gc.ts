// SPDX-License-Identifier: Apache-2.0
// `rkt gc` and `rkt rm`: pods move towards garbage and are deleted (rkt-cli §5.7–5.8). The steps are in
// the order of the reference; each reports what it did, and one pod's failure does not stop the others.
import { statSync } from "node:fs";
import { formatDuration } from "../lib/duration.ts";
import { isErrno } from "../lib/errors.ts";
import type { Reporter } from "../lib/reporter.ts";
import { findPod, listPods, markGarbage, type PodRef, syncGarbage } from "../pod/directory.ts";
import type { PodState } from "../pod/state.ts";
import { deletePod } from "./delete-pod.ts";
import { Stage0Error } from "./errors.ts";
import { removeDeadExports } from "./export-layout.ts";
import { leaveMetadataService } from "./metadata-service.ts";
import { leaveNetworks } from "./networks.ts";

export interface GcOptions {
  readonly dataDir: string;
  /** Milliseconds that an exited pod stays after it was marked. */
  readonly gracePeriod: number;
  /** Milliseconds after which a prepared pod that nobody ran is garbage. */
  readonly expirePrepared: number;
  readonly markOnly: boolean;
  readonly report: Reporter;
  /** One line on stdout. */
  readonly print: (line: string) => void;
}

/** Returns the pods that could not be deleted, with the reason. */
export async function collectPods(
  options: GcOptions,
): Promise<readonly { pod: PodRef; error: unknown }[]> {
  const { dataDir, report } = options;
  let marked = false;
  const mark = (pod: PodRef): void => {
    marked = markGarbage(dataDir, pod) !== undefined || marked;
  };
  for (const pod of listPods(dataDir, ["run"])) {
    if (pod.state !== "exited") continue;
    report.line("", `moving pod "${pod.uuid}" to garbage`);
    mark(pod);
  }
  for (const pod of listPods(dataDir, ["prepare"])) {
    if (pod.state !== "aborted prepare") continue;
    report.line("", `moving failed prepare "${pod.uuid}" to garbage`);
    mark(pod);
  }
  if (marked) syncGarbage(dataDir);
  removeEmbryos(options);
  removeDeadExports(dataDir);
  if (options.markOnly) return [];

  const now = Date.now();
  for (const pod of listPods(dataDir, ["prepared"])) {
    if (!isOlder(pod, now - options.expirePrepared)) continue;
    report.line("", `moving expired prepared pod "${pod.uuid}" to garbage`);
    markGarbage(dataDir, pod);
  }
  const failures: { pod: PodRef; error: unknown }[] = [];
  const remove = async (pod: PodRef) => {
    try {
      await leaveMetadataService(pod, report);
      await leaveNetworks(pod);
      deletePod(pod);
    } catch (error) {
      failures.push({ pod, error });
    }
  };
  for (const pod of listPods(dataDir, ["exited-garbage"])) {
    if (pod.state !== "exited garbage") continue;
    if (isOlder(pod, now - options.gracePeriod)) {
      options.print(`Garbage collecting pod "${pod.uuid}"`);
      await remove(pod);
    } else {
      const grace = formatDuration(options.gracePeriod);
      report.line("", `pod "${pod.uuid}" not removed: still within grace period (${grace})`);
    }
  }
  for (const pod of listPods(dataDir, ["garbage"])) {
    if (pod.state === "garbage") await remove(pod);
  }
  return failures;
}

/** Marked (or prepared) at or before `time`, by the ctime of its directory. */
function isOlder(pod: PodRef, time: number): boolean {
  try {
    // Whole milliseconds, as `time` is: a pod that was marked just now is as old as a grace period of 0s.
    return Math.floor(statSync(pod.path).ctimeMs) <= time;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/**
 * rkt left these for ever: an empty directory of a process that died between mkdir and rename. A process that
 * lives and loses its embryo here, before it has locked it, makes another one.
 */
function removeEmbryos({ dataDir }: GcOptions): void {
  for (const pod of listPods(dataDir, ["embryo"])) markGarbage(dataDir, pod);
}

/** `rkt rm`: deletes one pod now, whatever its age; throws when it is in use. */
export async function removePod(dataDir: string, pod: PodRef, report: Reporter): Promise<void> {
  const doing = IN_USE[pod.state];
  if (doing !== undefined) {
    throw new Stage0Error("POD_STATE", `pod "${pod.uuid}" is currently ${doing}`, {
      details: { state: pod.state },
      remedy: pod.state === "running" ? `rkt stop ${pod.uuid}, then remove it` : undefined,
    });
  }
  if (pod.directory === "exited-garbage" || pod.directory === "garbage") {
    await leaveMetadataService(pod, report);
    await leaveNetworks(pod);
    deletePod(pod);
    return;
  }
  const marked = markGarbage(dataDir, pod);
  if (marked !== undefined) {
    await leaveMetadataService(marked, report);
    await leaveNetworks(marked);
    deletePod(marked);
    return;
  }
  // Somebody was faster: see what they made of it.
  const now = findPod(dataDir, pod.uuid);
  if (now !== undefined) await removePod(dataDir, now, report);
}

const IN_USE: Readonly<Partial<Record<PodState, string>>> = {
  running: "running",
  embryo: "being prepared",
  preparing: "being prepared",
  deleting: "being deleted",
  "exited deleting": "being deleted",
};
