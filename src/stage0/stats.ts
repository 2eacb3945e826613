// SPDX-License-Identifier: Apache-2.0
// `rkt stats`: what the apps of running pods use. Where an app has a cgroup to itself and the controller counts there,
// that is the number; else it is summed over the app's processes, which knows nothing of those that have ended.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import {
  numberOf,
  type ProcessStat,
  parseAmount,
  parseCgroupPaths,
  parseControllerMounts,
  parseIoStat,
  parseProcessIo,
  parseProcessStat,
  parseServiceBytes,
  type Transferred,
} from "../cgroup/accounting.ts";
import { findCgroup2Mount, scopeName } from "../cgroup/pod-cgroup.ts";
import { isErrno } from "../lib/errors.ts";
import type { PodRef } from "../pod/directory.ts";
import {
  POD_FILES,
  readAppStatuses,
  readPodManifest,
  readPodProcesses,
  readSubcgroup,
} from "../pod/read.ts";

export type Source = "cgroup" | "processes";

/** One number and where it comes from; undefined when the kernel does not tell us. */
export interface Counted<T> {
  readonly value: T;
  readonly source: Source;
}

export interface AppUsage {
  readonly uuid: string;
  readonly app: string;
  /** Seconds since the app's main process started. */
  readonly age: number;
  readonly cpuSeconds: Counted<number>;
  /** Bytes, without the page cache that can be dropped. */
  readonly memory: Counted<number> | undefined;
  readonly memoryLimit: number | undefined;
  /** Processes and threads. */
  readonly tasks: Counted<number>;
  /** Bytes from and to disks. */
  readonly io: Counted<Transferred> | undefined;
}

/** A process or a cgroup may be gone, and not every user may read everything. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const usual = ["ENOENT", "ESRCH", "EACCES", "EPERM", "ENODEV", "EOPNOTSUPP"] as const;
    if (isErrno(error, ...usual)) return undefined;
    throw error;
  }
}

function mountNamespace(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}

/** The machine at one moment: read once for all pods. */
interface World {
  readonly processes: ReadonlyMap<number, ProcessStat>;
  readonly children: ReadonlyMap<number, readonly number[]>;
  readonly uptime: number;
  readonly cgroup2: string | undefined;
  readonly controllers: ReadonlyMap<string, string>;
}

function readWorld(): World {
  const processes = new Map<number, ProcessStat>();
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = parseProcessStat(readText(`/proc/${name}/stat`) ?? "");
    if (stat === undefined) continue;
    processes.set(stat.pid, stat);
    const siblings = children.get(stat.parent);
    if (siblings === undefined) children.set(stat.parent, [stat.pid]);
    else siblings.push(stat.pid);
  }
  const mountinfo = readFileSync("/proc/self/mountinfo", "utf8");
  return {
    processes,
    children,
    uptime: Number.parseFloat(readFileSync("/proc/uptime", "utf8")),
    cgroup2: findCgroup2Mount(mountinfo),
    controllers: parseControllerMounts(mountinfo),
  };
}

/** The processes of a pod: what its PID 1 started, and what `rkt enter` put into its cgroup. */
function processesOf(pod: PodRef, init: number, world: World): Set<number> {
  const found = new Set<number>();
  const waiting = [init];
  const subcgroup = readSubcgroup(pod);
  if (subcgroup !== undefined && world.cgroup2 !== undefined) {
    waiting.push(...processesBelow(join(world.cgroup2, subcgroup)));
  }
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    if (found.has(pid) || !world.processes.has(pid)) continue;
    found.add(pid);
    waiting.push(...(world.children.get(pid) ?? []));
  }
  return found;
}

function processesBelow(cgroup: string): number[] {
  const own = (readText(join(cgroup, "cgroup.procs")) ?? "").split("\n").filter((l) => l !== "");
  const pids = own.map(Number);
  try {
    for (const entry of readdirSync(cgroup, { withFileTypes: true })) {
      if (entry.isDirectory()) pids.push(...processesBelow(join(cgroup, entry.name)));
    }
  } catch (error) {
    if (!isErrno(error, "ENOENT", "EACCES")) throw error;
  }
  return pids;
}

interface RunningApp {
  readonly name: string;
  readonly main: ProcessStat;
  readonly cgroups: ReadonlyMap<string, string>;
}

function runningApps(pod: PodRef, members: ReadonlySet<number>, world: World): RunningApp[] {
  const ended = readAppStatuses(pod);
  return readPodManifest(pod).apps.flatMap(({ name }) => {
    const pid = Number(readText(join(pod.path, POD_FILES.pids, name)) ?? Number.NaN);
    const main = members.has(pid) && !ended.has(name) ? world.processes.get(pid) : undefined;
    if (main === undefined) return [];
    return [{ name, main, cgroups: parseCgroupPaths(readText(`/proc/${pid}/cgroup`) ?? "") }];
  });
}

/**
 * Which app a process belongs to: the one whose mount namespace it is in; where it made its own, or we may not look,
 * the one that its parent belongs to.
 */
function sortByApp(
  members: ReadonlySet<number>,
  apps: readonly RunningApp[],
  world: World,
): ReadonlyMap<string, readonly ProcessStat[]> {
  const byMain = new Map(apps.map(({ name, main }) => [main.pid, name]));
  const byNamespace = new Map<string, string>();
  for (const { name, main } of apps) {
    const namespace = mountNamespace(main.pid);
    if (namespace !== undefined) byNamespace.set(namespace, name);
  }
  const owner = (pid: number): string | undefined => {
    for (let at = pid; members.has(at); at = world.processes.get(at)?.parent ?? 0) {
      const name = byMain.get(at) ?? byNamespace.get(mountNamespace(at) ?? "");
      if (name !== undefined) return name;
    }
    return undefined;
  };
  const sorted = new Map<string, ProcessStat[]>(apps.map(({ name }) => [name, []]));
  for (const pid of members) {
    const stat = world.processes.get(pid);
    const name = owner(pid);
    if (stat !== undefined && name !== undefined) sorted.get(name)?.push(stat);
  }
  return sorted;
}

/** The cgroup of a controller that only this app is in; "" is the hierarchy of cgroup v2. */
function ownCgroup(
  controller: string,
  app: RunningApp,
  { uuid, apps, world }: { uuid: string; apps: readonly RunningApp[]; world: World },
): string | undefined {
  const path = app.cgroups.get(controller);
  const mount = controller === "" ? world.cgroup2 : world.controllers.get(controller);
  if (path === undefined || mount === undefined || !path.includes(scopeName(uuid)))
    return undefined;
  if (path.split("/").includes("..")) return undefined;
  const shared = apps.some((other) => other !== app && other.cgroups.get(controller) === path);
  return shared ? undefined : join(mount, path);
}

/** The first that is known: of cgroup v2, of cgroup v1, of the processes. */
function counted<T>(
  cgroup: readonly (T | undefined)[],
  processes: () => T | undefined,
): Counted<T> | undefined {
  const value = cgroup.find((each) => each !== undefined);
  if (value !== undefined) return { value, source: "cgroup" };
  const sum = processes();
  return sum === undefined ? undefined : { value: sum, source: "processes" };
}

const total = (numbers: readonly number[]): number => numbers.reduce((sum, n) => sum + n, 0);

/** Memory of one process: its part of what it shares, where we may know it. */
function processMemory({ pid }: ProcessStat): number {
  const part = numberOf(readText(`/proc/${pid}/smaps_rollup`), "Pss:");
  const whole = () => numberOf(readText(`/proc/${pid}/status`), "VmRSS:");
  return (part ?? whole() ?? 0) * 1024;
}

function processesIo(list: readonly ProcessStat[]): Transferred | undefined {
  const all = list.flatMap(({ pid }) => parseProcessIo(readText(`/proc/${pid}/io`)) ?? []);
  if (all.length === 0) return undefined;
  return { read: total(all.map((io) => io.read)), written: total(all.map((io) => io.written)) };
}

/** What is used less what the kernel would give back first. */
function cgroupMemory(
  used: number | undefined,
  stat: string | undefined,
  key: string,
): number | undefined {
  return used === undefined ? undefined : Math.max(0, used - (numberOf(stat, key) ?? 0));
}

function seconds(usage: number | undefined, perSecond: number): number | undefined {
  return usage === undefined ? undefined : usage / perSecond;
}

function usageOf(
  app: RunningApp,
  processes: readonly ProcessStat[],
  place: { uuid: string; apps: readonly RunningApp[]; world: World },
): AppUsage {
  const file = (controller: string, name: string): string | undefined => {
    const directory = ownCgroup(controller, app, place);
    return directory === undefined ? undefined : readText(join(directory, name));
  };
  const zero: Counted<number> = { value: 0, source: "processes" };
  return {
    uuid: place.uuid,
    app: app.name,
    age: Math.max(0, place.world.uptime - app.main.started),
    cpuSeconds:
      counted(
        [
          seconds(numberOf(file("", "cpu.stat"), "usage_usec"), 1e6),
          seconds(parseAmount(file("cpuacct", "cpuacct.usage")), 1e9),
        ],
        () => total(processes.map((p) => p.cpuSeconds)),
      ) ?? zero,
    memory: counted(
      [
        cgroupMemory(
          parseAmount(file("", "memory.current")),
          file("", "memory.stat"),
          "inactive_file",
        ),
        cgroupMemory(
          parseAmount(file("memory", "memory.usage_in_bytes")),
          file("memory", "memory.stat"),
          "total_inactive_file",
        ),
      ],
      () => total(processes.map(processMemory)),
    ),
    memoryLimit:
      parseAmount(file("", "memory.max")) ?? parseAmount(file("memory", "memory.limit_in_bytes")),
    tasks:
      counted(
        [parseAmount(file("", "pids.current")), parseAmount(file("pids", "pids.current"))],
        () => total(processes.map((p) => p.threads)),
      ) ?? zero,
    io: counted(
      [
        parseIoStat(file("", "io.stat")),
        parseServiceBytes(file("blkio", "blkio.throttle.io_service_bytes")),
      ],
      () => processesIo(processes),
    ),
  };
}

/** The running apps of these pods, in the pods' order and the manifests'. A pod that ends meanwhile is left out. */
export function readUsage(pods: readonly PodRef[]): AppUsage[] {
  const world = readWorld();
  return pods.flatMap((pod) => {
    const { init } = readPodProcesses(pod);
    if (init === undefined) return [];
    const members = processesOf(pod, init, world);
    const apps = runningApps(pod, members, world);
    const sorted = sortByApp(members, apps, world);
    const place = { uuid: pod.uuid, apps, world };
    return apps.map((app) => usageOf(app, sorted.get(app.name) ?? [], place));
  });
}
