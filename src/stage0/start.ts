// SPDX-License-Identifier: Apache-2.0
// From a pod directory to a plan, and from the plan to stage1. Users, programs and paths are resolved here,
// so that the plan is pure and the C program looks nothing up. `run` and `run-prepared` share all of it.
import { chownSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PodManifest } from "../appc/index.ts";
import { makePodCgroup, removePodCgroup } from "../cgroup/pod-cgroup.ts";
import type { IdRange } from "../lib/id-range.ts";
import type { InsecureOptions } from "../lib/insecure-options.ts";
import type { Reporter } from "../lib/reporter.ts";
import {
  checkHostname,
  type DnsFlags,
  type HostsEntry,
  hostsMode,
  resolvMode,
} from "../network/dns.ts";
import type { NetworkMode, NetworkRequest } from "../network/net-list.ts";
import type { PodNetworks } from "../network/setup.ts";
import type { LockedPod } from "../pod/directory.ts";
import { POD_FILES } from "../pod/read.ts";
import { appEnvironment } from "../stage1/environment.ts";
import { findCommand } from "../stage1/find-executable.ts";
import { launch } from "../stage1/launch.ts";
import { compilePlan } from "../stage1/plan/compile.ts";
import type { LogPrefix, PlanApp, PodFiles } from "../stage1/plan/input.ts";
import type { Plan } from "../stage1/plan/wire.ts";
import { resolveIds } from "../stage1/resolve-user.ts";
import { filterOfApp } from "../stage1/seccomp/filter.ts";
import type { Activation, AppSockets } from "./app-sockets.ts";
import { dockerUser, isFromDocker, makesWorkingDirectory, stopSignal } from "./from-docker.ts";
import type { LimitedPod } from "./limit-pod.ts";
import { hasPlainIsolators } from "./plain-isolators.ts";
import type { PreparedApp } from "./prepare.ts";
import { filledVolumes, sourceDevices } from "./volume-sources.ts";

export interface StartOptions {
  /** "run" or "run-prepared": the word in front of stage1's errors. */
  readonly commandName: string;
  readonly network: NetworkMode;
  /** What --net says; counts with `own`. */
  readonly networks: readonly NetworkRequest[];
  /** Whose net.d defines networks; userConfig "" when there is none. */
  readonly networkConfig: { readonly localConfig: string; readonly userConfig: string };
  /** "" means `rkt-UUID`. */
  readonly hostname: string;
  /** False, or whether the caller's stdin is a terminal. */
  readonly interactive: false | { readonly terminal: boolean };
  readonly insecure: InsecureOptions;
  readonly logPrefix: LogPrefix;
  readonly dns: DnsFlags;
  readonly hosts: readonly ("host" | readonly HostsEntry[])[];
  /** An isolator that cannot be enforced here is an error. */
  readonly strict: boolean;
  /** Registers the pod with the metadata service. */
  readonly metadataService: boolean;
  /** Sockets that rkt was given; undefined: none. */
  readonly activation?: Activation | undefined;
}

export interface StartContext {
  readonly dataDir: string;
  readonly report: Reporter;
  /** What the pod's networks gave it; undefined without networks of its own, and for --dry-run. */
  readonly networks?: PodNetworks | undefined;
  /** AC_METADATA_URL of a registered pod. */
  readonly metadataUrl?: string | undefined;
  readonly sockets?: AppSockets | undefined;
}

interface PodToStart {
  readonly uuid: string;
  /** Where the pod is now; the plan's own paths are relative to it, so that it may still move. */
  readonly path: string;
  readonly manifest: PodManifest;
  readonly apps: readonly Omit<PreparedApp, "key">[];
  /** The ids of a pod with a user namespace. */
  readonly userNamespace: IdRange | undefined;
}

/** Compiles the pod's plan. Writes into the pod directory, makes its cgroups, starts nothing. */
export async function planPod(
  pod: PodToStart,
  options: StartOptions,
  context: StartContext,
): Promise<Plan> {
  const devices = sourceDevices(pod.manifest, pod.apps);
  const hostname = options.hostname === "" ? `rkt-${pod.uuid}` : checkHostname(options.hostname);
  const files = writeConfigurationFiles(pod, hostname, options, context.networks);
  const apps = await planApps(pod, options, context);
  const limited = await limitPod(pod, options, context.report);
  const cgroup = limited?.unified === undefined ? makeCgroup(pod, context.report) : undefined;
  try {
    const plan = compilePlan({
      commandName: options.commandName,
      uuid: pod.uuid,
      pod: pod.manifest,
      apps: limited === undefined ? apps : apps.map((app) => withLimits(app, limited)),
      network: options.network,
      hostname,
      interactive: options.interactive,
      insecure: options.insecure,
      logPrefix: options.logPrefix,
      files,
      devices,
      filledVolumes: filledVolumes(pod),
      userNamespace: pod.userNamespace,
      cgroup: limited?.unified?.pod ?? cgroup?.directory,
      cgroupInit: limited?.unified?.init,
      cgroupDirectories: limited?.directories,
      sysctls: limited?.sysctls,
    });
    for (const warning of plan.warnings) context.report.line("", `warning: ${warning}`);
    return plan;
  } catch (error) {
    // A pod that cannot be compiled stays prepared; its cgroups do not stay with it.
    limited?.remove();
    if (cgroup !== undefined) removePodCgroup(cgroup.subcgroup);
    throw error;
  }
}

/** The sockets that rkt was given for the pod's apps; nearly always none. */
export async function takeSockets(
  pod: Pick<PodToStart, "manifest" | "apps">,
  { activation }: Pick<StartOptions, "activation">,
  report: Reporter,
): Promise<AppSockets | undefined> {
  if (activation === undefined) return undefined;
  const { appSockets } = await import("./app-sockets.ts");
  return appSockets(pod, activation, report);
}

/** Undefined for a pod that asks for nothing but what every app gets. */
async function limitPod(
  pod: PodToStart,
  options: StartOptions,
  report: Reporter,
): Promise<LimitedPod | undefined> {
  if (hasPlainIsolators(pod)) return undefined;
  const { limitPod } = await import("./limit-pod.ts");
  return limitPod(pod, { network: options.network, strict: options.strict, report });
}

const withLimits = (app: PlanApp, limited: LimitedPod): PlanApp => ({
  ...app,
  cgroups: limited.cgroupsOf(app.runtime.name),
  label: limited.labelOf(app.runtime.name),
});

/** Makes the pod's cgroup and notes where it is, so that gc finds it whatever happens. */
function makeCgroup(pod: PodToStart, report: Reporter): ReturnType<typeof makePodCgroup> {
  return makePodCgroup(pod.uuid, {
    explain: (reason) => report.debug("", reason),
    note: (subcgroup) =>
      writeFileSync(join(pod.path, POD_FILES.subcgroup), subcgroup, { mode: 0o640 }),
  });
}

async function planApps(
  pod: PodToStart,
  { insecure }: StartOptions,
  { dataDir, report, metadataUrl, sockets }: StartContext,
): Promise<PlanApp[]> {
  const apps: PlanApp[] = [];
  for (const [i, app] of pod.apps.entries()) {
    const { filter, warnings } = await filterOfApp(app, insecure);
    for (const warning of warnings) report.line("", `warning: app "${app.name}": ${warning}`);
    const planned = await planApp(pod, app, i, { dataDir, metadataUrl });
    apps.push({ ...planned, filter, sockets: sockets?.of(app.name) });
  }
  return apps;
}

/** What the plan needs of one app, with users and programs looked up in its image. */
export async function planApp(
  pod: PodToStart,
  { name, app, image }: Omit<PreparedApp, "key">,
  index: number,
  { dataDir, metadataUrl }: Pick<StartContext, "dataDir" | "metadataUrl">,
): Promise<PlanApp> {
  const runtime = pod.manifest.apps[index];
  if (runtime === undefined) throw new Error("an app that is not in its manifest");
  const { rootfs, imageRoot } = await appRootfs(pod.path, name, dataDir);
  const user = resolveIds(app, imageRoot, {
    // Docker images name a user and no group: rkt then took the user's number (rkt-runtime §7.6).
    groupMayBeUser: isFromDocker(image),
    dockerUser: dockerUser(image, app),
    // The pod's own copy has the pod's owners, a tree of the store the image's.
    copiedFor: rootfs.kind === "directory" ? pod.userNamespace : undefined,
  });
  const environment = appEnvironment(app, { appName: name, account: user.account, metadataUrl });
  const command = (exec: readonly string[]) =>
    findCommand(exec, { rootfs: imageRoot, app, environment, imageName: image.name });
  const handler = (event: "pre-start" | "post-stop") => {
    const exec = app.eventHandlers.find((handler) => handler.name === event)?.exec;
    return exec === undefined || exec.length === 0 ? undefined : command(exec);
  };
  return {
    runtime,
    app,
    rootfs,
    ids: user.ids,
    command: command(app.exec),
    preStart: handler("pre-start"),
    postStop: handler("post-stop"),
    environment,
    stopSignal: stopSignal(image),
    makeWorkingDirectory: makesWorkingDirectory(image, app),
  };
}

/**
 * The app's root for the plan, and the absolute directory that holds the image's own files. For an image of several
 * layers that is a mount of this process's own, which goes with it.
 */
export async function appRootfs(
  podPath: string,
  name: string,
  dataDir: string,
): Promise<{ readonly rootfs: PlanApp["rootfs"]; readonly imageRoot: string }> {
  if (!existsSync(join(podPath, POD_FILES.overlayPrepared))) {
    const path = join(POD_FILES.stage2, name, "rootfs");
    return { rootfs: { kind: "directory", path }, imageRoot: join(podPath, path) };
  }
  const tree = readFileSync(join(podPath, POD_FILES.appsInfo, name, "treeStoreID"), "utf8").trim();
  const overlay = (lowers: readonly string[]): PlanApp["rootfs"] => ({
    kind: "overlay",
    lowers,
    upper: join("overlay", tree, "upper", name),
    work: join("overlay", tree, "work", name),
  });
  if (tree.startsWith("oci-")) {
    const { openLayers } = await import("../store/oci-lookup.ts");
    const { lowers, mount } = openLayers(dataDir, tree);
    return { rootfs: overlay(lowers), imageRoot: mount.path };
  }
  const lower = join(dataDir, "cas", "tree", tree, "rootfs");
  return { rootfs: overlay([lower]), imageRoot: lower };
}

/** resolv.conf and hosts of the pod, for stage1 to bind into the apps. */
function writeConfigurationFiles(
  pod: PodToStart,
  hostname: string,
  options: StartOptions,
  networks: PodNetworks | undefined,
): PodFiles {
  const write = (name: string, content: string): string => {
    const path = join(POD_FILES.stage1Etc, name);
    const full = join(pod.path, path);
    writeFileSync(full, content, { mode: 0o644 });
    if (pod.userNamespace !== undefined) {
      chownSync(full, pod.userNamespace.first, pod.userNamespace.first);
    }
    return path;
  };
  const resolv = resolvMode(options.dns, networks?.dns);
  const hosts = hostsMode(options.hosts, hostname, networks?.address);
  return {
    resolvConf:
      resolv.kind === "host"
        ? "/etc/resolv.conf"
        : resolv.kind === "stage0"
          ? write("rkt-resolv.conf", resolv.content)
          : undefined,
    hosts:
      hosts.kind === "host"
        ? { path: "/etc/hosts", whenMissing: false }
        : hosts.kind === "stage0"
          ? { path: write("rkt-hosts", hosts.content), whenMissing: false }
          : { path: write("hosts-fallback", hosts.content), whenMissing: true },
  };
}

/** Becomes the pod's supervisor, in the networks that `joinNetworks` gave. The pod is in `run` and locked. */
export function startPod(
  pod: LockedPod,
  plan: Plan,
  {
    mode,
    networks,
    sockets,
  }: {
    readonly mode: NetworkMode;
    readonly networks: PodNetworks | undefined;
    readonly sockets: AppSockets | undefined;
  },
): never {
  // The plan makes no network namespace then: it would be the host's without a word.
  if (mode === "own" && networks === undefined) throw new Error("a pod without its networks");
  writeFileSync(join(pod.path, POD_FILES.ppid), `${process.pid}\n`, { mode: 0o640 });
  return launch(plan, {
    podDir: pod.path,
    lockFd: pod.lock.fd,
    uuid: pod.uuid,
    inNetwork: networks?.execute,
    users: networks?.users,
    sockets: sockets?.descriptors,
  });
}
