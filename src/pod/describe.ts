// SPDX-License-Identifier: Apache-2.0
// One pod as `rkt list` and `rkt status` show it (rkt-cli §5.4–5.5): the JSON object, from which the
// tables take their columns too. Empty fields are left out, as in rkt.
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { PodManifest, RuntimeApp } from "../appc/index.ts";
import { isErrno } from "../lib/errors.ts";
import type { PodRef } from "./directory.ts";
import {
  type AppState,
  appState,
  POD_FILES,
  readAppStatuses,
  readOomKills,
  readPodManifest,
  readPodTimes,
} from "./read.ts";
import { hasManifest, type PodState } from "./state.ts";

export interface NetworkDescription {
  readonly netName: string;
  readonly netConf: string;
  readonly pluginPath: string;
  readonly ifName: string;
  readonly ip: string;
  readonly args: string;
  readonly mask: string;
}

export interface AppDescription {
  readonly name: string;
  readonly state: AppState;
  /** Nanoseconds since the epoch. */
  readonly created_at?: number;
  readonly started_at?: number;
  readonly finished_at?: number;
  readonly exit_code?: number;
  /** Processes that the kernel killed for want of memory; only of an app that has ended. */
  readonly oom_kills?: number;
  readonly image_id: string;
  readonly mounts?: readonly {
    readonly name: string;
    readonly container_path: string;
    readonly host_path: string;
    readonly read_only: boolean;
  }[];
  readonly user_annotations?: Readonly<Record<string, string>>;
  readonly user_labels?: Readonly<Record<string, string>>;
}

export interface PodDescription {
  readonly name: string;
  readonly state: PodState;
  readonly networks?: readonly NetworkDescription[];
  readonly app_names?: readonly string[];
  readonly apps?: readonly AppDescription[];
  /** Seconds since the epoch. */
  readonly created_at?: number;
  readonly started_at?: number;
  readonly user_annotations?: Readonly<Record<string, string>>;
  readonly user_labels?: Readonly<Record<string, string>>;
}

/** What is shown of a pod, with the parts that the tables need in full. */
export interface PodView {
  readonly ref: PodRef;
  readonly manifest: PodManifest | undefined;
  readonly created: Date | undefined;
  readonly started: Date | undefined;
  readonly networks: readonly NetworkDescription[];
}

/** Reads what `rkt list` needs and no more; throws when the pod's manifest is broken. */
export function viewPod(ref: PodRef): PodView {
  const { created, started } = readPodTimes(ref);
  return {
    ref,
    manifest: hasManifest(ref.state) ? readPodManifest(ref) : undefined,
    created,
    started,
    networks: ref.state === "running" || ref.state === "exited" ? readNetworks(ref) : [],
  };
}

export function describePod(view: PodView): PodDescription {
  const { ref, manifest, created, started, networks } = view;
  const apps = manifest?.apps ?? [];
  const statuses = apps.length === 0 ? new Map<string, number>() : readAppStatuses(ref);
  const oomKills = statuses.size === 0 ? new Map<string, number>() : readOomKills(ref);
  return {
    name: ref.uuid,
    state: ref.state,
    ...(networks.length > 0 && { networks }),
    ...(apps.length > 0 && {
      app_names: apps.map((app) => app.name),
      apps: apps.map((app) => describeApp(view, app, statuses, oomKills.get(app.name))),
    }),
    ...(created !== undefined && { created_at: Math.floor(created.getTime() / 1000) }),
    ...(started !== undefined && { started_at: Math.floor(started.getTime() / 1000) }),
    ...maps(manifest?.userAnnotations, manifest?.userLabels),
  };
}

function maps(
  annotations: Readonly<Record<string, string>> | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): Pick<PodDescription, "user_annotations" | "user_labels"> {
  return {
    ...(annotations !== undefined &&
      Object.keys(annotations).length > 0 && { user_annotations: annotations }),
    ...(labels !== undefined && Object.keys(labels).length > 0 && { user_labels: labels }),
  };
}

function describeApp(
  view: PodView,
  app: RuntimeApp,
  statuses: ReadonlyMap<string, number>,
  oomKills: number | undefined,
): AppDescription {
  const status = statuses.get(app.name);
  const finished = statusTime(view.ref, app.name, status);
  const mounts = app.mounts.map((mount) => {
    const volume =
      mount.appVolume ?? view.manifest?.volumes.find((volume) => volume.name === mount.volume);
    const point = app.app?.mountPoints.find((point) => point.path === mount.path);
    return {
      name: mount.volume,
      container_path: mount.path,
      host_path:
        volume?.kind === "host"
          ? (volume.source ?? "")
          : join(view.ref.path, POD_FILES.sharedVolumes, mount.volume),
      read_only: volume?.readOnly ?? point?.readOnly ?? false,
    };
  });
  return {
    name: app.name,
    state: appState(view.ref, status !== undefined),
    ...(view.created !== undefined && { created_at: nanoseconds(view.created) }),
    ...(view.started !== undefined && { started_at: nanoseconds(view.started) }),
    ...(finished !== undefined && { finished_at: nanoseconds(finished) }),
    ...(status !== undefined && { exit_code: status }),
    ...(oomKills !== undefined && { oom_kills: oomKills }),
    image_id: app.image.id ?? "",
    ...(mounts.length > 0 && { mounts }),
    ...maps(app.app?.userAnnotations, app.app?.userLabels),
  };
}

function nanoseconds(date: Date): number {
  return date.getTime() * 1_000_000;
}

function statusTime(ref: PodRef, app: string, status: number | undefined): Date | undefined {
  if (status === undefined) return undefined;
  return statSync(join(ref.path, POD_FILES.status, app), { throwIfNoEntry: false })?.mtime;
}

/** net-info.json: what the networks gave the pod; absent without networks of its own. */
function readNetworks(ref: PodRef): readonly NetworkDescription[] {
  const path = join(ref.path, POD_FILES.netInfo);
  // Asked first: an exception costs more than the rest of what a list reads of a pod.
  if (!existsSync(path)) return [];
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    return Array.isArray(value) ? (value as NetworkDescription[]) : [];
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
