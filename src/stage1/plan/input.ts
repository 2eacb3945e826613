// SPDX-License-Identifier: Apache-2.0
// What stage0 hands over to have a pod compiled into a plan. Everything is decided here: the compiler does
// no I/O, so users, executables and paths arrive resolved. Paths that are not absolute are relative to the
// pod directory (stage1's working directory).
import type { App, PodManifest, RuntimeApp } from "../../appc/index.ts";
import type { IdRange } from "../../lib/id-range.ts";
import type { InsecureOptions } from "../../lib/insecure-options.ts";
import type { SeccompFilter } from "../seccomp/filter.ts";
import type { Sysctl } from "../sysctl.ts";

/** Where an app's root file system comes from. An overlay is mounted only inside the pod. */
export type AppRootfs =
  | {
      readonly kind: "overlay";
      /** Topmost first, as in the kernel's `lowerdir`. At least one. */
      readonly lowers: readonly string[];
      readonly upper: string;
      readonly work: string;
    }
  | { readonly kind: "directory"; readonly path: string };

/** The numbers a process runs with (see resolve-user.ts). */
export interface ResolvedIds {
  readonly uid: number;
  readonly gid: number;
  readonly supplementaryGids: readonly number[];
}

/** A program found in the app's root (see find-executable.ts): `path` is absolute inside the root. */
export interface ResolvedCommand {
  readonly path: string;
  readonly args: readonly string[];
}

/** The cgroups of an app's limits. */
export interface AppCgroups {
  /** It joins each before its first program runs; absolute. */
  readonly directories: readonly string[];
  /** The file that counts kills for want of memory (`oom_kill`); "": none. */
  readonly oomFile: string;
  /** For the sentence about such a kill; "": it has no limit of its own. */
  readonly memoryLimit: string;
}

/** What a security module is asked to do at the app's execve: the text for its `exec` attribute. */
export interface SecurityLabel {
  readonly module: "apparmor" | "selinux";
  readonly text: string;
}

export interface PlanApp {
  /** The app's entry in the pod manifest: name, image, mounts, readOnlyRootFS. */
  readonly runtime: RuntimeApp;
  /** The effective app: the pod manifest's, else the image's, with every override applied. */
  readonly app: App;
  readonly rootfs: AppRootfs;
  readonly ids: ResolvedIds;
  /** The main program; `args` are the words after the program's name. */
  readonly command: ResolvedCommand;
  readonly preStart?: ResolvedCommand | undefined;
  readonly postStop?: ResolvedCommand | undefined;
  /** Undefined: no filter. */
  readonly filter?: SeccompFilter | undefined;
  /** The complete environment in order (see environment.ts). */
  readonly environment: readonly (readonly [name: string, value: string])[];
  readonly cgroups?: AppCgroups | undefined;
  readonly label?: SecurityLabel | undefined;
  /** Sockets for its socket-activated ports: places among those that rkt was given, in rising order. */
  readonly sockets?: readonly { readonly slot: number; readonly port: string }[] | undefined;
  /** What asks it to end. Default SIGTERM. */
  readonly stopSignal?: number | undefined;
  /** The working directory is made, root's, where the image has none (Docker). */
  readonly makeWorkingDirectory?: boolean | undefined;
}

/** Files that the pod binds into every app; absent ones are not touched. */
export interface PodFiles {
  readonly resolvConf?: string | undefined;
  /** `whenMissing`: only in apps whose image has no /etc/hosts (rkt's default mode). */
  readonly hosts?: { readonly path: string; readonly whenMissing: boolean } | undefined;
  /** Whether /etc/hostname shows the pod's host name. Default true. */
  readonly hostname?: boolean | undefined;
}

/** A device as stat(2) shows it. */
export interface DeviceNumber {
  readonly kind: "char" | "block";
  readonly major: number;
  readonly minor: number;
}

export type LogPrefix = "auto" | "always" | "never";

export interface PlanInput {
  /** The word in front of error sentences: "run" or "run-prepared". */
  readonly commandName: string;
  readonly uuid: string;
  readonly pod: PodManifest;
  /** In the order of the pod manifest. */
  readonly apps: readonly PlanApp[];
  /** "own": stage1 is in the pod's network namespace already; "none": it makes an empty one. */
  readonly network: "none" | "host" | "own";
  readonly hostname: string;
  /** `terminal`: the caller's stdin is a terminal, so that the app gets one of its own. One app only. */
  readonly interactive: false | { readonly terminal: boolean };
  readonly insecure: InsecureOptions;
  readonly logPrefix: LogPrefix;
  /** From TERM to KILL in an ordered stop. Default 10 000. */
  readonly graceMs?: number | undefined;
  /** An app's log is turned over at this size; 0 keeps no log. Default 16 MiB. */
  readonly logMaxBytes?: number | undefined;
  readonly files?: PodFiles | undefined;
  /** Which sources of host volumes are devices, by path. */
  readonly devices?: ReadonlyMap<string, DeviceNumber> | undefined;
  /** Empty volumes whose content, owner and mode the preparation took from an image, by name. */
  readonly filledVolumes?: ReadonlySet<string> | undefined;
  /** The pod has a user namespace (--private-users). */
  readonly userNamespace?: IdRange | undefined;
  /** Directory of the pod in the cgroup2 hierarchy (see src/cgroup); undefined: not tracked by cgroup. */
  readonly cgroup?: string | undefined;
  /** Below it, for PID 1, when `cgroup` passes controllers on to the apps' and may hold no process. */
  readonly cgroupInit?: string | undefined;
  /** Every directory that was made for the pod, parents first: stage1 removes them at the end. */
  readonly cgroupDirectories?: readonly string[] | undefined;
  /** Kernel parameters of the pod's namespaces. */
  readonly sysctls?: readonly Sysctl[] | undefined;
}

/** What `rkt enter` needs to run a program beside an app, with no more privilege than the app. */
export interface EnterInput {
  /** The word in front of error sentences: "enter". */
  readonly commandName: string;
  readonly app: PlanApp;
  /** Content of the pod's `pid` file: PID 1 of the pod, in the host's numbers. */
  readonly podPid: number;
  /** Content of `stage1/rootfs/rkt/pids/APP`: the app's main process, in the host's numbers. */
  readonly appPid: number;
  /** argv; argv[0] is looked up in the app's PATH inside the pod. */
  readonly argv: readonly string[];
  /** TERM for the program; default "vt100" like rkt. */
  readonly term?: string | undefined;
  /** The caller's stdin is a terminal: give the program one of its own. */
  readonly terminal: boolean;
  readonly insecure: InsecureOptions;
  /** The app's cgroup v2, and its directories in hierarchies of v1. */
  readonly cgroup?: string | undefined;
  readonly joins?: readonly string[] | undefined;
  /** The pod has a user namespace. */
  readonly userNamespace?: boolean | undefined;
}
