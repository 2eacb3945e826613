// SPDX-License-Identifier: Apache-2.0
// The pod as an ordered list of operations. Pure: no I/O, no clock. The comments give the reason for each
// step's place; what a step does is said in opcodes.ts and done in stage1/*.c.
import { posix } from "node:path";
import type { Isolator } from "../../appc/index.ts";
import type { IdRange } from "../../lib/id-range.ts";
import { ALL_CAPABILITIES, boundingSet, SYS_ADMIN } from "../capabilities.ts";
import { Stage1Error } from "../errors.ts";
import { deviceOperation, NODES } from "./devices.ts";
import type { EnterInput, PlanApp, PlanInput, ResolvedCommand } from "./input.ts";
import { MASKED_PATHS, READ_ONLY_PATHS } from "./kernel-paths.ts";
import {
  BIND_FLAGS,
  ENTER_FLAGS,
  FILTER_FLAGS,
  MOUNT_ATTRIBUTES,
  MOUNT_FLAGS,
  OPTION_FLAGS,
  type Op,
  OVERLAY_FLAGS,
} from "./opcodes.ts";
import { planVolumes, type ResolvedMount, resolveMounts } from "./volumes.ts";
import type { Plan } from "./wire.ts";

const DEFAULT_GRACE_MS = 10_000;
const DEFAULT_LOG_MAX_BYTES = 16 * 1024 * 1024;
const MAX_APPS = 1024;

const R = "stage1/rootfs";
/** Shared memory of the pod: a tmpfs that all apps see, and the root of PID 1 once the apps are started. */
const SHM = `${R}/dev/shm`;

const { readOnly, noSuid, noDev, noExec } = MOUNT_ATTRIBUTES;

/** Where an app's root is mounted inside the pod, relative to the pod directory. */
export const appRootPath = (appName: string): string => `${R}/opt/stage2/${appName}/rootfs`;

const directory = (path: string, mode = 0o750): Op => ({
  kind: "directory",
  path,
  mode,
  uid: 0,
  gid: 0,
  flags: 0,
});

/** These directories and their parents, each once. */
function withParents(paths: readonly string[]): string[] {
  const made = new Set<string>();
  for (const path of paths) {
    const parts = path.split("/");
    for (let i = 1; i <= parts.length; i++) made.add(parts.slice(0, i).join("/"));
  }
  return [...made];
}

const makeDirectory = (path: string, mode = 0o755): Op => ({ kind: "makeDirectory", path, mode });

function mount(
  type: string,
  target: string,
  more: {
    readonly options?: readonly string[];
    readonly attributes: number;
    readonly optional?: boolean;
  },
): Op {
  return {
    kind: "mount",
    type,
    target,
    options: more.options ?? [],
    attributes: more.attributes,
    flags: more.optional === true ? MOUNT_FLAGS.optional : 0,
  };
}

const bind = (source: string, target: string, flags: number, attributes = 0): Op => ({
  kind: "bind",
  source,
  target,
  attributes,
  flags,
});

const symlink = (path: string, content: string): Op => ({ kind: "symlink", content, path });

/** A fresh /dev. Its nodes are mounts of their own, so that everything around them can be nodev. */
function devices(terminal: boolean, restrictDevices: boolean): Op[] {
  return [
    mount("tmpfs", "/dev", { options: ["mode=755", "size=4m"], attributes: noSuid | noExec }),
    ...["/dev/net", "/dev/pts", "/dev/shm", "/dev/mqueue"].map((path) => makeDirectory(path)),
    ...NODES.map(
      ([name, mode, major, minor]): Op => ({
        kind: "node",
        path: `/dev/${name}`,
        mode,
        major,
        minor,
      }),
    ),
    mount("devpts", "/dev/pts", {
      options: ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      attributes: noSuid | noExec,
    }),
    symlink("/dev/ptmx", "pts/ptmx"),
    symlink("/dev/fd", "/proc/self/fd"),
    symlink("/dev/stdin", "/proc/self/fd/0"),
    symlink("/dev/stdout", "/proc/self/fd/1"),
    symlink("/dev/stderr", "/proc/self/fd/2"),
    bind(SHM, "/dev/shm", 0, noSuid | noDev),
    mount("mqueue", "/dev/mqueue", { attributes: noSuid | noDev | noExec, optional: true }),
    terminal
      ? { kind: "terminal" }
      : bind("/dev/null", "/dev/console", BIND_FLAGS.sourceInRoot, noSuid | noExec),
    ...(restrictDevices ? [{ kind: "attributes", path: "/dev", attributes: noDev } as const] : []),
  ];
}

/** /proc and /sys, and what of them is withheld. */
function kernelFileSystems(input: PlanInput): Op[] {
  const sealed = noSuid | noDev | noExec;
  const attributes = sealed | (input.insecure.paths ? 0 : readOnly);
  return [
    mount("proc", "/proc", { attributes: sealed }),
    // Only who owns the network namespace may mount a sysfs. What is mounted below the host's comes with it.
    input.network === "host" && input.userNamespace !== undefined
      ? bind("/sys", "/sys", BIND_FLAGS.recursive, attributes)
      : mount("sysfs", "/sys", { attributes }),
  ];
}

function protection(insecurePaths: boolean): Op[] {
  if (insecurePaths) return [];
  return [
    ...READ_ONLY_PATHS.map((path): Op => ({ kind: "protect", path })),
    ...MASKED_PATHS.map((path): Op => ({ kind: "mask", path })),
  ];
}

function root(app: PlanApp, restrictDevices: boolean): Op {
  const attributes = restrictDevices ? noDev : 0;
  const { rootfs } = app;
  if (rootfs.kind === "directory") {
    return { kind: "bindRoot", sourcePath: rootfs.path, attributes };
  }
  return {
    kind: "overlay",
    sourceLowers: rootfs.lowers,
    sourceUpper: rootfs.upper,
    sourceWork: rootfs.work,
    sourceTarget: appRootPath(app.runtime.name),
    attributes,
    // A pod runs once and its upper layer goes with it. Without this the pod's end would wait until everything
    // that is dirty on the data directory's file system is on the disk: measured 430 ms after a 400 MB download.
    flags: OVERLAY_FLAGS.volatile,
  };
}

function configurationFiles(input: PlanInput): Op[] {
  const { resolvConf, hosts, hostname } = input.files ?? {};
  const flags = BIND_FLAGS.replaceDangling;
  const lent = input.userNamespace === undefined ? 0 : BIND_FLAGS.lent;
  const ops: Op[] = [];
  // The host's own file can be read in the pod, not written; one that was made for the pod is the apps'.
  const file = (source: string, target: string, more = 0): Op =>
    bind(
      source,
      target,
      flags | lent | more,
      source.startsWith("/") ? readOnly | noSuid | noDev : 0,
    );
  if (resolvConf !== undefined) ops.push(file(resolvConf, "/etc/resolv.conf"));
  if (hosts !== undefined) {
    ops.push(file(hosts.path, "/etc/hosts", hosts.whenMissing ? BIND_FLAGS.ifTargetMissing : 0));
  }
  if (hostname !== false) {
    ops.push(
      bind("/proc/sys/kernel/hostname", "/etc/hostname", flags | BIND_FLAGS.sourceInRoot, readOnly),
    );
  }
  return ops;
}

function lastIsolator(isolators: readonly Isolator[], name: string): unknown {
  return isolators.findLast((i) => i.name === name)?.value;
}

const argv = (command: ResolvedCommand): readonly string[] => [command.path, ...command.args];

/** Identity and limits, the same for the app and for what enters it. */
function limits(app: PlanApp, insecureCapabilities: boolean, filter: PlanApp["filter"]): Op[] {
  const { isolators } = app.app;
  const capabilities = insecureCapabilities ? ALL_CAPABILITIES : boundingSet(isolators);
  const ops: Op[] = [{ kind: "bounding", capabilities }];
  const asked = isolators.some((i) => i.name === "os/linux/no-new-privileges" && i.value === true);
  // seccomp(2) wants no_new_privs or CAP_SYS_ADMIN. A filter that stage1 can live with is installed while stage1 has
  // that power; a stricter one when nothing but execve is left, and then rkt set no_new_privs as well.
  const late = filter !== undefined && !filter.early;
  const powerful = app.ids.uid === 0 && (capabilities & SYS_ADMIN) !== 0n;
  if (asked || (late && !powerful)) ops.push({ kind: "noNewPrivileges" });
  if (filter !== undefined) {
    const { label, program } = filter;
    ops.push({ kind: "filter", label, flags: late ? 0 : FILTER_FLAGS.early, program });
  }
  return ops;
}

/** Unset for nearly every app. */
function label({ label }: PlanApp): Op[] {
  return label === undefined ? [] : [{ kind: "label", module: label.module, text: label.text }];
}

const variables = (list: PlanApp["environment"], more: readonly string[] = []): Op => ({
  kind: "environment",
  variables: [...list.map(([name, value]) => `${name}=${value}`), ...more],
});

/** sd_listen_fds(3). stage1 puts in the number of the process; a handler, which gets no socket, sees that of nobody. */
function environment({ environment, sockets = [] }: PlanApp): Op {
  if (sockets.length === 0) return variables(environment);
  return variables(
    environment.filter(([name]) => !name.startsWith("LISTEN_")),
    [
      "LISTEN_PID=0",
      `LISTEN_FDS=${sockets.length}`,
      `LISTEN_FDNAMES=${sockets.map(({ port }) => port).join(":")}`,
    ],
  );
}

function compileApp(input: PlanInput, app: PlanApp, volumes: readonly Op[]): Op[] {
  const restrictDevices = !input.insecure.paths;
  const terminal = input.interactive !== false && input.interactive.terminal;
  const score = lastIsolator(app.app.isolators, "os/linux/oom-score-adj");
  const ops: Op[] = [{ kind: "app", name: app.runtime.name }, root(app, restrictDevices)];
  for (const path of ["/dev", "/etc", "/proc", "/run", "/sys"]) ops.push(makeDirectory(path));
  ops.push(makeDirectory("/tmp", 0o1777));
  // rkt's link is made once; programs such as df need it.
  ops.push(symlink("/etc/mtab", "../proc/self/mounts"));
  ops.push(...kernelFileSystems(input));
  ops.push(...devices(terminal, restrictDevices));
  ops.push(...configurationFiles(input));
  // Volumes cover what the image and the steps above put there (rkt-runtime.md §8 leaves a mounted /sys).
  ops.push(...volumes);
  if (app.makeWorkingDirectory === true) {
    const [, ...missing] = withParents([workingDirectory(app)]);
    ops.push(...missing.filter((path) => path !== "/").map((path) => makeDirectory(path)));
  }
  // After the binds: their targets had to be made, and /etc/hostname comes from below /proc/sys.
  ops.push(...protection(input.insecure.paths));
  if (app.runtime.readOnlyRootFS) {
    ops.push({ kind: "attributes", path: "/", attributes: readOnly });
  }
  const sockets = app.sockets ?? [];
  if (sockets.length > 0) ops.push({ kind: "listen", slots: sockets.map(({ slot }) => slot) });
  ops.push({ kind: "pivot" });
  if (typeof score === "number") ops.push({ kind: "oomScoreAdj", value: String(score) });
  const filter = input.insecure.seccomp ? undefined : app.filter;
  ops.push(environment(app), ...limits(app, input.insecure.capabilities, filter));
  const { uid, gid, supplementaryGids } = app.ids;
  ops.push({ kind: "ids", uid, gid, groups: supplementaryGids });
  ops.push({ kind: "workingDirectory", path: workingDirectory(app) }, ...label(app));
  if (app.cgroups !== undefined) {
    // Late, so that what the set-up takes is not the app's; and before `ready`, because afterwards programs run.
    ops.push({ kind: "joinCgroups", ...app.cgroups });
  }
  // No program of the pod runs before the last app is set up: a failure then leaves nothing half done, and no
  // program can watch a set-up.
  ops.push({ kind: "ready" });
  if (app.stopSignal !== undefined) ops.push({ kind: "stopSignal", signal: app.stopSignal });
  if (app.preStart !== undefined) {
    ops.push({ kind: "preStart", path: app.preStart.path, argv: argv(app.preStart) });
  }
  if (app.postStop !== undefined) {
    ops.push({ kind: "postStop", path: app.postStop.path, argv: argv(app.postStop) });
  }
  ops.push({ kind: "execute", path: app.command.path, argv: argv(app.command) }, { kind: "end" });
  return ops;
}

function workingDirectory({ app, makeWorkingDirectory }: PlanApp): string {
  if (app.workingDirectory === "") return "/";
  if (makeWorkingDirectory !== true) return app.workingDirectory;
  // What is not there yet has no `..` to go through: as Docker does, by the words alone.
  const path = posix.normalize(app.workingDirectory);
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}

function optionFlags(input: PlanInput): number {
  const { interactive, logPrefix } = input;
  const prefixed = logPrefix === "auto" ? input.apps.length > 1 : logPrefix === "always";
  const terminal = interactive !== false && interactive.terminal;
  return (
    (input.network === "none" ? OPTION_FLAGS.newNetwork : 0) |
    (interactive === false ? 0 : OPTION_FLAGS.interactive) |
    (terminal ? OPTION_FLAGS.terminal : 0) |
    (prefixed && !terminal ? OPTION_FLAGS.logPrefix : 0)
  );
}

function cgroup({ cgroup, cgroupInit = "", cgroupDirectories = [] }: PlanInput): Op[] {
  if (cgroup === undefined && cgroupDirectories.length === 0) return [];
  const directories = [...cgroupDirectories].reverse();
  if (cgroup !== undefined && !directories.includes(cgroup)) directories.push(cgroup);
  return [{ kind: "cgroup", path: cgroup ?? "", init: cgroupInit, directories }];
}

/** Where PID 1 and the apps mount: relative to the pod directory, or to what stands in for it. */
const mountPoints = (input: PlanInput): string[] => [
  SHM,
  ...input.apps.map((app) => appRootPath(app.runtime.name)),
];

function podDirectories(input: PlanInput): string[] {
  return [
    "logs",
    `${R}/rkt/status`,
    `${R}/rkt/pids`,
    ...(input.apps.some((app) => app.cgroups !== undefined) ? [`${R}/rkt/oom-kills`] : []),
    ...mountPoints(input),
  ];
}

/** Ids that the pod's user namespace does not have cannot be taken on. */
function checkIds({ count }: IdRange, apps: readonly PlanApp[]): void {
  for (const { ids, runtime } of apps) {
    if ([ids.uid, ids.gid, ...ids.supplementaryGids].every((id) => id < count)) continue;
    throw new Stage1Error(
      "PLAN_INVALID",
      `cannot run app "${runtime.name}": uid ${ids.uid} or gid ${ids.gid} are out of range ${count}`,
      { remedy: `--user and --group below ${count}, or leave --private-users out` },
    );
  }
}

function warningsFor(mounts: readonly ResolvedMount[], app: string): string[] {
  return mounts
    .flatMap((m) => m.implicitFor ?? [])
    .map(
      (name) =>
        `no volume specified for mount point "${name}" of app "${app}", implicitly creating an "empty" volume. This volume will be removed when the pod is garbage-collected.`,
    );
}

/**
 * The plan of a pod. Throws Stage1Error: VOLUME_NOT_FOUND, VOLUME_INVALID, CAPABILITY_UNKNOWN,
 * CAPABILITY_CONFLICT, PLAN_INVALID.
 */
export function compilePlan(input: PlanInput): Plan {
  const { apps } = input;
  if (apps.length === 0 || apps.length > MAX_APPS) {
    throw new Stage1Error(
      "PLAN_INVALID",
      `cannot run a pod of ${apps.length} apps: between 1 and ${MAX_APPS} are possible`,
    );
  }
  if (input.interactive !== false && apps.length > 1) {
    throw new Stage1Error("PLAN_INVALID", "interactive option only supports pods with one app");
  }
  const mounts = apps.map((app) => resolveMounts(input.pod, app.runtime, app.app));
  const volumes = planVolumes(mounts, {
    restrictDevices: !input.insecure.paths,
    devices: input.devices ?? new Map(),
    filled: input.filledVolumes ?? new Set(),
    userNamespace: input.userNamespace,
  });
  const ops: Op[] = [
    {
      kind: "options",
      command: input.commandName,
      uuid: input.uuid,
      flags: optionFlags(input),
      graceMs: input.graceMs ?? DEFAULT_GRACE_MS,
      logMaxBytes: BigInt(input.logMaxBytes ?? DEFAULT_LOG_MAX_BYTES),
      apps: apps.length,
    },
    ...withParents(podDirectories(input)).map((path) => directory(path)),
  ];
  if (input.userNamespace !== undefined) {
    checkIds(input.userNamespace, apps);
    // Before the volumes, whose owners it maps.
    ops.push({ kind: "userNamespace", ...input.userNamespace });
  }
  ops.push(...volumes.ops);
  ops.push(...cgroup(input));
  const policy = deviceOperation(input, mounts.flat());
  if (policy !== undefined) ops.push(policy);
  ops.push({ kind: "pod" });
  ops.push({ kind: "hostname", name: input.hostname });
  if (input.network === "none") ops.push({ kind: "loopback" });
  for (const { path, value } of input.sysctls ?? []) ops.push({ kind: "sysctl", path, value });
  if (input.userNamespace !== undefined) {
    ops.push({
      kind: "scratch",
      // Nothing needs the host's /proc from here on. Anywhere that goes with the host's mounts. Not at "/": it would then be what is detached, and the host stay.
      target: "/proc",
      directories: withParents(mountPoints(input)),
    });
  }
  ops.push(mount("tmpfs", SHM, { options: ["mode=1777"], attributes: noSuid | noDev }));
  apps.forEach((app, i) => {
    ops.push(...compileApp(input, app, volumes.attach[i] ?? []));
  });
  // Every app has its own copy of the mounts by now. PID 1 keeps nothing of the host in sight (/proc/1/root) and
  // holds no mount of the host busy.
  ops.push({ kind: "retire", path: SHM });
  return {
    ops,
    warnings: mounts.flatMap((list, i) => warningsFor(list, apps[i]?.runtime.name ?? "")),
  };
}

/** The plan of `rkt enter`: as the app's user, in the app's root, with no more than the app's limits. */
export function compileEnterPlan(input: EnterInput): Plan {
  const { app } = input;
  const words = input.argv;
  if (words.length === 0) throw new Stage1Error("EXEC_EMPTY", "cannot enter the app: no command");
  const ops: Op[] = [
    {
      kind: "options",
      command: input.commandName,
      uuid: "",
      flags: 0,
      graceMs: 0,
      logMaxBytes: 0n,
      apps: 0,
    },
    {
      kind: "enter",
      podPid: input.podPid,
      appPid: input.appPid,
      cgroup: input.cgroup ?? "",
      flags:
        (input.terminal ? ENTER_FLAGS.terminal : 0) |
        (input.userNamespace === true ? ENTER_FLAGS.userNamespace : 0),
    },
    variables(
      app.environment.filter(([name]) => name !== "TERM"),
      [`TERM=${input.term ?? "vt100"}`],
    ),
    ...(input.joins === undefined || input.joins.length === 0
      ? []
      : [{ kind: "joinCgroups", directories: input.joins, oomFile: "", memoryLimit: "" } as const]),
    ...label(app),
    // Whatever this command's own flags say; stage1 leaves it out when the app runs without one.
    ...limits(app, input.insecure.capabilities, app.filter),
    // rkt entered as root: more than an app that gave root up ever has (CVE-2019-10144 and its kin).
    { kind: "ids", uid: app.ids.uid, gid: app.ids.gid, groups: app.ids.supplementaryGids },
    { kind: "workingDirectory", path: "/" },
    { kind: "execute", path: words[0] ?? "", argv: words },
  ];
  return { ops, warnings: [] };
}
