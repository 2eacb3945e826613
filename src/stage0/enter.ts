// SPDX-License-Identifier: Apache-2.0
// `rkt enter`: runs a program beside an app of a running pod, with the app's view of the world and no more
// privilege than the app (rkt-cli §5.9; CVE-2019-10144, -10145, -10147).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { App, PodManifest } from "../appc/index.ts";
import { type AppCgroups, readCgroupsOfPod } from "../cgroup/app-cgroups.ts";
import { isErrno } from "../lib/errors.ts";
import { type InsecureOptions, SECURE } from "../lib/insecure-options.ts";
import { findPod, type PodRef } from "../pod/directory.ts";
import { readRegistration } from "../pod/metadata.ts";
import { POD_FILES, readPodManifest, readPodProcesses, readPrivateUsers } from "../pod/read.ts";
import { launchEnter } from "../stage1/launch.ts";
import { compileEnterPlan } from "../stage1/plan/compile.ts";
import type { SecurityLabel } from "../stage1/plan/input.ts";
import { filterOfApp } from "../stage1/seccomp/filter.ts";
import { enterAs } from "./enter-as.ts";
import { Stage0Error } from "./errors.ts";
import { hasPlainIsolators } from "./plain-isolators.ts";
import { preparedApps } from "./prepared.ts";
import { selectApp } from "./select-app.ts";
import { appRootfs, planApp } from "./start.ts";

const POLL_MS = 100;

export interface EnterOptions {
  readonly dataDir: string;
  readonly commandName: string;
  /** Undefined: the pod's only app. */
  readonly app: string | undefined;
  /** As in an image's manifest: a name, a number or a path. Undefined: the app's. */
  readonly user: string | undefined;
  readonly group: string | undefined;
  readonly argv: readonly string[];
  readonly term: string | undefined;
  /** The caller's stdin is a terminal. */
  readonly terminal: boolean;
  readonly insecure: InsecureOptions;
}

/** Becomes the program's parent; returns only by throwing. */
export async function enterPod(pod: PodRef, options: EnterOptions): Promise<never> {
  if (pod.state !== "running") throw notRunning(pod);
  const manifest = readPodManifest(pod);
  const { name } = selectApp(manifest, options.app, options.commandName);
  const { podPid, appPid } = await waitForProcesses(pod, name, options.dataDir);
  const apps = preparedApps(pod, manifest);
  const index = apps.findIndex((app) => app.name === name);
  const app = apps[index];
  if (app === undefined) throw new Error("an app that is not in its pod");
  const cgroups = cgroupsOf(pod, appPid);
  const userNamespace = readPrivateUsers(pod.path);
  const inPod = { uuid: pod.uuid, path: pod.path, manifest, apps, userNamespace };
  // Not less for --insecure-options=seccomp here: the app's own state decides (stage1/enter.c).
  const { filter } = await filterOfApp(app, SECURE);
  const label = await labelOf(app, manifest);
  const planned = await planApp(inPod, app, index, {
    dataDir: options.dataDir,
    metadataUrl: readRegistration(pod.path, pod.uuid)?.url,
  });
  const asked = options.user !== undefined || options.group !== undefined;
  const { imageRoot } = await appRootfs(pod.path, name, options.dataDir);
  const ids = asked ? enterAs(planned, imageRoot, options) : planned.ids;
  const plan = compileEnterPlan({
    commandName: options.commandName,
    app: { ...planned, ids, filter, label },
    userNamespace: userNamespace !== undefined,
    podPid,
    appPid,
    argv: options.argv,
    term: options.term,
    terminal: options.terminal,
    insecure: options.insecure,
    cgroup: cgroups.unified,
    joins: cgroups.v1,
  });
  return launchEnter(plan, { uuid: pod.uuid });
}

async function labelOf(
  app: { readonly name: string; readonly app: App },
  manifest: PodManifest,
): Promise<SecurityLabel | undefined> {
  if (hasPlainIsolators({ manifest, apps: [app] })) return undefined;
  return (await import("./isolators.ts")).labelOfApp(app, manifest);
}

/** An app that has ended meanwhile has none; stage1 finds out that it is not there. */
function cgroupsOf(pod: PodRef, appPid: number): AppCgroups {
  try {
    return readCgroupsOfPod(pod.uuid, appPid);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return { unified: undefined, v1: [] };
    throw error;
  }
}

function notRunning(pod: PodRef): Stage0Error {
  return new Stage0Error("POD_STATE", `pod "${pod.uuid}" isn't currently running`, {
    details: { state: pod.state },
    remedy: "rkt list shows what runs",
  });
}

/** Both processes are there soon after the pod is `running`; until then this asks every 100 ms. */
async function waitForProcesses(
  pod: PodRef,
  app: string,
  dataDir: string,
): Promise<{ readonly podPid: number; readonly appPid: number }> {
  for (;;) {
    const podPid = readPodProcesses(pod).init;
    const appPid = Number(readIfThere(join(pod.path, POD_FILES.pids, app)) ?? Number.NaN);
    if (podPid !== undefined && Number.isInteger(appPid)) return { podPid, appPid };
    if (findPod(dataDir, pod.uuid)?.state !== "running") {
      throw new Stage0Error("POD_STATE", `pod ${pod.uuid} is not running anymore`);
    }
    if (readIfThere(join(pod.path, POD_FILES.status, app)) !== undefined) {
      throw new Stage0Error("POD_STATE", `app "${app}" of pod "${pod.uuid}" has ended`);
    }
    await Bun.sleep(POLL_MS);
  }
}

function readIfThere(path: string): string | undefined {
  try {
    const text = readFileSync(path, "utf8").trim();
    return text === "" ? undefined : text;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
