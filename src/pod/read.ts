// SPDX-License-Identifier: Apache-2.0
// What a pod's directory says: manifest, times, processes, statuses of its apps (rkt-runtime §2.3–2.5,
// §3). Files appear in a fixed order while a pod is made, so an absent one has a meaning; only ENOENT is
// taken for absence.
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  type ImageManifest,
  type PodManifest,
  parseImageManifest,
  parsePodManifest,
} from "../appc/index.ts";
import { isErrno } from "../lib/errors.ts";
import { type IdRange, parseIdRange } from "../lib/id-range.ts";
import type { PodRef } from "./directory.ts";
import { PodError } from "./errors.ts";
import { hasManifest, isAfterRun } from "./state.ts";

/** Names inside a pod's directory. Scripts look at these: they are rkt's. */
export const POD_FILES = {
  manifest: "pod",
  created: "pod-created",
  lock: "pod.lck",
  pid: "pid",
  ppid: "ppid",
  subcgroup: "subcgroup",
  /** The cgroups made for the pod's limits, absolute, one on a line, parents first. */
  cgroups: "cgroups",
  /** One file for each app that lost processes for want of memory; the content is how many. */
  oomKills: "stage1/rootfs/rkt/oom-kills",
  overlayPrepared: "overlay-prepared",
  /** `SHIFT:COUNT`, of a pod with a user namespace. */
  privateUsers: "private-users-prepared",
  /** What the pod was given by its networks. */
  netInfo: "net-info.json",
  /** Which networks the pod has, or was about to have: what gc undoes. */
  networks: "net/networks.json",
  /** The pod's token at the metadata service, of a registered pod; root's alone. */
  mdsRegistered: "mds-registered",
  appsInfo: "appsinfo",
  sharedVolumes: "sharedVolumes",
  stage1Manifest: "stage1/manifest",
  stage1Rootfs: "stage1/rootfs",
  stage1Etc: "stage1/rootfs/etc",
  stage2: "stage1/rootfs/opt/stage2",
  status: "stage1/rootfs/rkt/status",
  /** Host PIDs of the apps' main processes, one file each. */
  pids: "stage1/rootfs/rkt/pids",
  supervisorStatus: "stage1/rootfs/rkt/supervisor-status",
  logs: "logs",
} as const;

function absent<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

export function readPodManifest(pod: PodRef): PodManifest {
  return parsePodManifest(readPodManifestBytes(pod));
}

/** The bytes of the manifest as stored: with --pod-manifest they are the user's own. */
export function readPodManifestBytes(pod: PodRef): Buffer {
  const bytes = absent(() => readFileSync(join(pod.path, POD_FILES.manifest)));
  if (bytes === undefined) {
    throw new PodError("POD_BROKEN", `pod "${pod.uuid}" has no manifest`, {
      details: { state: pod.state },
      remedy: hasManifest(pod.state) ? "rkt rm removes a broken pod" : undefined,
    });
  }
  return bytes;
}

/** The image manifest of one app, as it was when the pod was prepared. */
export function readAppImageManifest(pod: PodRef, app: string): ImageManifest {
  return parseImageManifest(readFileSync(join(pod.path, POD_FILES.appsInfo, app, "manifest")));
}

export interface PodTimes {
  readonly created: Date | undefined;
  readonly started: Date | undefined;
  /** When the pod was moved to a garbage folder. */
  readonly marked: Date | undefined;
}

export function readPodTimes(pod: PodRef): PodTimes {
  const mtime = (name: string) =>
    absent(() => statSync(join(pod.path, name), { throwIfNoEntry: false }))?.mtime;
  const prepared = hasManifest(pod.state);
  const inGarbage = pod.directory === "exited-garbage" || pod.directory === "garbage";
  return {
    created: prepared ? (mtime(POD_FILES.created) ?? mtime(POD_FILES.manifest)) : undefined,
    started: mtime(POD_FILES.pid) ?? mtime(POD_FILES.ppid),
    marked: inGarbage ? absent(() => statSync(pod.path).ctime) : undefined,
  };
}

function readNumber(path: string): number | undefined {
  const text = absent(() => readFileSync(path, "utf8"))?.trim();
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

export interface PodProcesses {
  /** The pod's PID 1 as the host sees it. */
  readonly init: number | undefined;
  /** The supervisor: `rkt run`'s own process. */
  readonly supervisor: number | undefined;
}

export function readPodProcesses(pod: PodRef): PodProcesses {
  return {
    init: readNumber(join(pod.path, POD_FILES.pid)),
    supervisor: readNumber(join(pod.path, POD_FILES.ppid)),
  };
}

/** The pod's place in the cgroup2 hierarchy, without its first slash; absent without a cgroup. */
export function readSubcgroup(pod: PodRef): string | undefined {
  return absent(() => readFileSync(join(pod.path, POD_FILES.subcgroup), "utf8"))?.trim();
}

/** The cgroups made for the pod's limits, parents first; whether they are still there is not said. */
export function readLimitCgroups(pod: PodRef): readonly string[] {
  const text = absent(() => readFileSync(join(pod.path, POD_FILES.cgroups), "utf8")) ?? "";
  return text.split("\n").filter((line) => line !== "");
}

/** The ids of a pod with a user namespace; undefined for one without. `path`: of the pod. */
export function readPrivateUsers(path: string): IdRange | undefined {
  const text = absent(() => readFileSync(join(path, POD_FILES.privateUsers), "utf8"));
  return text === undefined ? undefined : parseIdRange(text);
}

/** All apps run (and have said so, when they notify). */
export function isReady(pod: PodRef): boolean {
  return absent(() => readlinkSync(join(pod.path, POD_FILES.supervisorStatus))) === "ready";
}

/** Exit statuses of the apps that ended: app name → status. */
export function readAppStatuses(pod: PodRef): ReadonlyMap<string, number> {
  return readNumbers(join(pod.path, POD_FILES.status));
}

/** Processes that the kernel killed for want of memory: app name → how many. Only apps that have ended. */
export function readOomKills(pod: PodRef): ReadonlyMap<string, number> {
  return readNumbers(join(pod.path, POD_FILES.oomKills));
}

function readNumbers(folder: string): ReadonlyMap<string, number> {
  const statuses = new Map<string, number>();
  for (const name of absent(() => readdirSync(folder)) ?? []) {
    const status = readNumber(join(folder, name));
    if (status !== undefined) statuses.set(name, status);
  }
  return statuses;
}

export type AppState = "unknown" | "created" | "running" | "exited";

/** The state of an app of an immutable pod (rkt-runtime §16, last line). */
export function appState(pod: PodRef, hasStatus: boolean): AppState {
  if (hasStatus || isAfterRun(pod.state)) return "exited";
  if (pod.state === "running") return "running";
  return hasManifest(pod.state) ? "created" : "unknown";
}
