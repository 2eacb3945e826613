// SPDX-License-Identifier: Apache-2.0
// Command-line words and image manifests → the pod manifest (rkt-cli §4–5.1, rkt-runtime §5.3, §10.5).
// A pure function: what is written to `pod` is decided here and nowhere else.
import { posix } from "node:path";
import {
  type ACName,
  type Annotation,
  type App,
  checkRuntimeLabels,
  DOCKER_ANNOTATIONS,
  type EnvironmentVariable,
  type ExposedPort,
  getAnnotation,
  type ImageKey,
  type ImageManifest,
  type Isolator,
  type Mount,
  type PodManifest,
  parseACIdentifier,
  parseACVersion,
  parseImageID,
  type RuntimeApp,
  sanitizeACName,
  type Volume,
} from "../appc/index.ts";
import { PodError } from "./errors.ts";

/** The App Container version that the manifests which we write conform to. */
export const AC_VERSION = "0.8.11";

const CAPABILITY_ISOLATORS = [
  "os/linux/capabilities-retain-set",
  "os/linux/capabilities-remove-set",
] as const;
const SECCOMP_ISOLATORS = ["os/linux/seccomp-retain-set", "os/linux/seccomp-remove-set"] as const;

/** What the flags after one image asked for. Absent means: as the image says. */
export interface AppOverrides {
  readonly name?: ACName | undefined;
  /** Replaces the image's exec list; `args` are appended to whichever list is used. */
  readonly exec?: string | undefined;
  readonly args: readonly string[];
  readonly workingDirectory?: string | undefined;
  readonly readOnlyRootFS?: boolean | undefined;
  readonly mounts: readonly Mount[];
  readonly user?: string | undefined;
  readonly group?: string | undefined;
  readonly supplementaryGIDs?: readonly number[] | undefined;
  readonly annotations: readonly Annotation[];
  readonly userAnnotations?: Readonly<Record<string, string>> | undefined;
  readonly userLabels?: Readonly<Record<string, string>> | undefined;
  readonly environment: readonly EnvironmentVariable[];
  readonly memory?: string | undefined;
  readonly cpu?: string | undefined;
  readonly cpuShares?: number | undefined;
  readonly oomScoreAdj?: number | undefined;
  readonly capsRetain?: readonly string[] | undefined;
  readonly capsRemove?: readonly string[] | undefined;
  readonly seccomp?:
    | {
        readonly mode: "retain" | "remove";
        readonly errno?: string | undefined;
        readonly set: readonly string[];
      }
    | undefined;
}

export interface AppSource {
  readonly overrides: AppOverrides;
  readonly key: ImageKey;
  readonly manifest: ImageManifest;
}

export interface PodOptions {
  /** For every app that has no mount of its own at the same path. */
  readonly mounts: readonly Mount[];
  readonly volumes: readonly Volume[];
  readonly ports: readonly ExposedPort[];
  /** The caller's environment (--inherit-env), taken only for names that are not set yet. */
  readonly inheritedEnvironment: readonly EnvironmentVariable[];
  /** From --set-env-file, then from --set-env: each overrides what came before. */
  readonly fileEnvironment: readonly EnvironmentVariable[];
  readonly setEnvironment: readonly EnvironmentVariable[];
  /** Ids for an app section that --exec creates on an image that has none. */
  readonly caller: { readonly uid: number; readonly gid: number };
}

export function generatePodManifest(apps: readonly AppSource[], options: PodOptions): PodManifest {
  const runtimeApps: RuntimeApp[] = [];
  const names = new Set<string>();
  for (const source of apps) {
    const app = runtimeApp(source, options);
    if (names.has(app.name)) {
      throw new PodError("POD_MANIFEST", `error: multiple apps with name ${app.name}`, {
        remedy: "give one of them another name with --name after its image",
      });
    }
    names.add(app.name);
    runtimeApps.push(app);
  }
  const ports = options.ports.map((port) => checkPort(port, runtimeApps));
  return {
    acVersion: parseACVersion(AC_VERSION),
    acKind: "PodManifest",
    apps: runtimeApps,
    volumes: options.volumes,
    isolators: [],
    annotations: [{ name: parseACIdentifier("coreos.com/rkt/stage1/mutable"), value: "false" }],
    ports,
    userAnnotations: {},
    userLabels: {},
  };
}

function runtimeApp(source: AppSource, options: PodOptions): RuntimeApp {
  const { overrides, manifest, key } = source;
  checkRuntimeLabels(manifest.labels);
  const lastComponent = manifest.name.slice(manifest.name.lastIndexOf("/") + 1);
  return {
    name: overrides.name ?? sanitizeACName(lastComponent),
    image: { name: manifest.name, id: parseImageID(key), labels: manifest.labels },
    app: effectiveApp(source, options),
    readOnlyRootFS: overrides.readOnlyRootFS ?? false,
    mounts: withoutRepeatedPaths([...overrides.mounts, ...options.mounts]),
    annotations: overrides.annotations,
  };
}

function withoutRepeatedPaths(mounts: readonly Mount[]): Mount[] {
  const seen = new Set<string>();
  return mounts.filter((mount) => {
    const path = posix.normalize(`/${mount.path}`).replace(/(.)\/$/, "$1");
    return !seen.has(path) && seen.add(path);
  });
}

function effectiveApp({ overrides, manifest }: AppSource, options: PodOptions): App {
  const base = manifest.app ?? emptyApp(overrides, manifest, options);
  return {
    ...base,
    exec: effectiveExec(base.exec, overrides, manifest),
    user: overrides.user ?? base.user,
    group: overrides.group ?? base.group,
    supplementaryGIDs: overrides.supplementaryGIDs ?? base.supplementaryGIDs,
    workingDirectory: overrides.workingDirectory ?? base.workingDirectory,
    environment: effectiveEnvironment(base.environment, overrides, options),
    isolators: effectiveIsolators(base.isolators, overrides),
    userAnnotations: overrides.userAnnotations ?? base.userAnnotations,
    userLabels: overrides.userLabels ?? base.userLabels,
  };
}

/** Docker's rule for an image that was not converted: arguments take the place of Cmd, --exec of both. */
function effectiveExec(
  exec: readonly string[],
  overrides: AppOverrides,
  { annotations }: ImageManifest,
): readonly string[] {
  if (overrides.exec !== undefined) return [overrides.exec, ...overrides.args];
  const isView = getAnnotation(annotations, DOCKER_ANNOTATIONS.user) !== undefined;
  if (!isView || overrides.args.length === 0) return [...exec, ...overrides.args];
  const entrypoint = getAnnotation(annotations, DOCKER_ANNOTATIONS.entrypoint);
  return [...(entrypoint === undefined ? [] : parseWords(entrypoint)), ...overrides.args];
}

function parseWords(json: string): readonly string[] {
  const words: unknown = JSON.parse(json);
  return Array.isArray(words) ? words.map(String) : [];
}

function emptyApp(overrides: AppOverrides, manifest: ImageManifest, options: PodOptions): App {
  if (overrides.exec === undefined) {
    throw new PodError(
      "POD_MANIFEST",
      "error: image ID has no app section and --exec argument is not provided",
      { details: { image: manifest.name }, remedy: "--exec=PATH after the image" },
    );
  }
  return {
    exec: [],
    eventHandlers: [],
    user: String(options.caller.uid),
    group: String(options.caller.gid),
    supplementaryGIDs: [],
    workingDirectory: "",
    environment: [],
    mountPoints: [],
    ports: [],
    isolators: [],
    userAnnotations: {},
    userLabels: {},
  };
}

/** image ← --environment ← inherited (unset names only) ← --set-env-file ← --set-env (rkt-cli §5.1). */
function effectiveEnvironment(
  image: readonly EnvironmentVariable[],
  overrides: AppOverrides,
  options: PodOptions,
): EnvironmentVariable[] {
  const values = new Map<string, string>();
  for (const { name, value } of [...image, ...overrides.environment]) values.set(name, value);
  for (const { name, value } of options.inheritedEnvironment) {
    if (!values.has(name)) values.set(name, value);
  }
  for (const { name, value } of [...options.fileEnvironment, ...options.setEnvironment]) {
    values.set(name, value);
  }
  return [...values].map(([name, value]) => ({ name, value }));
}

/** The flags win: --memory and --cpu are appended (the last counts), the others replace. */
function effectiveIsolators(image: readonly Isolator[], overrides: AppOverrides): Isolator[] {
  let isolators = [...image];
  const replace = (names: readonly string[], name: string, value: unknown) => {
    isolators = isolators.filter((isolator) => !names.includes(isolator.name));
    isolators.push({ name: parseACIdentifier(name), value });
  };
  const amount = (name: string, value: string) => {
    isolators.push({
      name: parseACIdentifier(name),
      value: { default: false, request: value, limit: value },
    });
  };
  if (overrides.memory !== undefined) amount("resource/memory", overrides.memory);
  if (overrides.cpu !== undefined) amount("resource/cpu", overrides.cpu);
  if (overrides.cpuShares !== undefined) {
    replace(["os/linux/cpu-shares"], "os/linux/cpu-shares", overrides.cpuShares);
  }
  if (overrides.oomScoreAdj !== undefined) {
    replace(["os/linux/oom-score-adj"], "os/linux/oom-score-adj", overrides.oomScoreAdj);
  }
  const [capsRetain, capsRemove] = CAPABILITY_ISOLATORS;
  if (overrides.capsRetain !== undefined) {
    replace(CAPABILITY_ISOLATORS, capsRetain, { set: overrides.capsRetain });
  }
  if (overrides.capsRemove !== undefined) {
    replace(CAPABILITY_ISOLATORS, capsRemove, { set: overrides.capsRemove });
  }
  if (overrides.seccomp !== undefined) {
    const { mode, errno, set } = overrides.seccomp;
    const [retain, remove] = SECCOMP_ISOLATORS;
    const value = errno === undefined ? { set } : { set, errno };
    replace(SECCOMP_ISOLATORS, mode === "retain" ? retain : remove, value);
  }
  return isolators;
}

/** Each exposed port must name exactly one port of the apps, unless it says the pod's port itself. */
function checkPort(port: ExposedPort, apps: readonly RuntimeApp[]): ExposedPort {
  if (port.podPort !== undefined) return port;
  const owners = apps.filter((app) => app.app?.ports.some((p) => p.name === port.name));
  if (owners.length === 0) {
    throw new PodError("POD_MANIFEST", `port name "${port.name}" could not be found in any apps`, {
      remedy: portsOf(apps),
    });
  }
  if (owners.length > 1) {
    throw new PodError("POD_MANIFEST", `port name "${port.name}" defined multiple apps`);
  }
  return port;
}

function portsOf(apps: readonly RuntimeApp[]): string {
  const names = apps.flatMap(({ app }) => app?.ports.map((port) => port.name) ?? []);
  return names.length === 0
    ? "leave --port out: the images name no ports"
    : `one of the ports that the images name: ${names.join(", ")}`;
}
