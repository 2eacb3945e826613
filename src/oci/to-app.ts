// SPDX-License-Identifier: Apache-2.0
// The appc view of an OCI or Docker image: what its config means as an app (tools.md §3.5). Total: whatever a config
// says, the manifest is valid; what an image manifest cannot hold is left out. docs/devel/docker-images.md has the table.
import { posix } from "node:path";
import {
  AC_VERSION,
  type ACIdentifier,
  type ACName,
  type Annotation,
  type Annotations,
  type App,
  checkEnvironmentName,
  DOCKER_ANNOTATIONS,
  type EnvironmentVariable,
  hostLabels,
  type ImageManifest,
  type Label,
  type Labels,
  ManifestError,
  type MountPoint,
  type Port,
  parseACIdentifier,
  parseDate,
  sanitizeACIdentifier,
  sanitizeACName,
} from "../appc/index.ts";
import { parseSignal } from "../lib/signal.ts";
import type {
  Digest,
  OciConfig,
  OciExecution,
  OciHealthcheck,
  OciManifest,
  Platform,
} from "./types.ts";

/** What is known of an image besides its config. */
export interface ImageFacts {
  /** `HOST/REPOSITORY`, or what a local image is called. */
  readonly name: string;
  readonly tag: string | undefined;
  /** Of the image manifest. */
  readonly digest: Digest;
  readonly manifest: OciManifest;
  /** As the user wrote it or as it is shown. */
  readonly reference: string;
}

/** Names that mean something to appc or to rkt: an image's labels do not get to say it. */
const RESERVED_NAMES: ReadonlySet<string> = new Set([
  "authors",
  "author",
  "created",
  "documentation",
  "homepage",
]);
const RESERVED_PREFIXES = ["appc.io/", "coreos.com/rkt/"] as const;

/** The manifest that the store keeps for an image that is never converted. */
export function imageManifestOf(config: OciConfig, facts: ImageFacts): ImageManifest {
  const execution = config.config;
  return {
    acKind: "ImageManifest",
    acVersion: AC_VERSION,
    name: dockerIdentifier(facts.name) ?? parseACIdentifier(digestName(facts.digest)),
    labels: imageLabels(config.platform, facts.tag ?? digestName(facts.digest)),
    app: { ...appOf(execution), userLabels: execution.labels },
    annotations: uniqueAnnotations([
      ...originAnnotations(config),
      ...factAnnotations(facts),
      ...executionAnnotations(execution),
      ...dockerAnnotations([["user", execution.user]]),
      ...foreignAnnotations(facts.manifest.annotations),
      ...foreignAnnotations(execution.labels),
    ]),
    dependencies: [],
    pathWhitelist: [],
  };
}

/** `sha256-HEX`: how a digest stands where a colon cannot. */
export function digestName(digest: Digest): string {
  return digest.replace(":", "-");
}

/** The nearest AC Identifier by docker2aci's rule: what is not allowed becomes `-`. Undefined when nothing is left. */
export function dockerIdentifier(text: string): ACIdentifier | undefined {
  try {
    const clean = text.toLowerCase().replace(/[^a-z0-9\-._~/]/gu, "-");
    return parseACIdentifier(sanitizeACIdentifier(clean));
  } catch (error) {
    if (error instanceof ManifestError) return undefined;
    throw error;
  }
}

/** Labels by name. A platform that appc has no words for has no os and no arch. */
export function imageLabels(platform: Platform, version: string | undefined): Labels {
  const labels: Label[] = [...platformLabels(platform)];
  if (version !== undefined && version !== "") {
    labels.push({ name: parseACIdentifier("version"), value: version });
  }
  return labels;
}

function platformLabels({ os, architecture, variant }: Platform): readonly Label[] {
  try {
    const [osLabel, arch] = hostLabels({
      platform: os,
      arch: architecture,
      armVersion: variant?.replace(/^v/, ""),
    });
    return [arch, osLabel];
  } catch (error) {
    if (error instanceof ManifestError) return [];
    throw error;
  }
}

/** How the image is run. */
export function appOf(execution: OciExecution): App {
  const [user, group] = userAndGroup(execution.user);
  return {
    exec: [...(execution.entrypoint ?? []), ...(execution.cmd ?? [])],
    eventHandlers: [],
    user,
    group,
    supplementaryGIDs: [],
    workingDirectory: execution.workingDir === "" ? "" : absolute(execution.workingDir),
    environment: environmentOf(execution.env),
    mountPoints: mountPointsOf(execution.volumes),
    ports: portsOf(execution.exposedPorts),
    isolators: [],
    userAnnotations: {},
    userLabels: {},
  };
}

/** `u`, `u:g`. Without a group the group is called like the user: the image is not looked at here. */
function userAndGroup(text: string): readonly [user: string, group: string] {
  const [user = "", group = ""] = text.split(":", 2);
  const known = user === "" ? "0" : user;
  return [known, group === "" ? known : group];
}

/** Docker takes a relative path as one from the root. */
const absolute = (path: string): string =>
  posix
    .normalize(`/${path}`)
    .replace(/^\/\//, "/")
    .replace(/(.)\/$/, "$1");

/** The last of a name counts, at the place of the first. */
function environmentOf(env: readonly string[]): EnvironmentVariable[] {
  const variables = new Map<string, string>();
  for (const entry of env) {
    const at = entry.indexOf("=");
    if (at < 0 || !isEnvironmentName(entry.slice(0, at))) continue;
    variables.set(entry.slice(0, at), entry.slice(at + 1));
  }
  return [...variables].map(([name, value]) => ({ name, value }));
}

function isEnvironmentName(name: string): boolean {
  try {
    checkEnvironmentName(name);
    return true;
  } catch (error) {
    if (error instanceof ManifestError) return false;
    throw error;
  }
}

/** By name. A second path of the same name gets `-1`, a third `-2`. */
function mountPointsOf(volumes: readonly string[]): MountPoint[] {
  const points = new Map<ACName, string>();
  for (const path of [...new Set(volumes.map(absolute))].sort()) {
    if (path === "/" || path.includes("\0")) continue;
    const name = sanitizeACName(`volume${path}`);
    let free = name;
    for (let i = 1; points.has(free); i++) free = sanitizeACName(`${name}-${i}`);
    points.set(free, path);
  }
  return [...points]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, path]) => ({ name, path, readOnly: false }));
}

const PORT = /^([0-9]{1,5})(?:-([0-9]{1,5}))?(?:\/([A-Za-z0-9]{1,16}))?$/;

/** By name. What is no port is left out. */
function portsOf(exposed: readonly string[]): Port[] {
  const ports = new Map<ACName, Port>();
  for (const text of exposed) {
    const port = portOf(text);
    if (port !== undefined && !ports.has(port.name)) ports.set(port.name, port);
  }
  return [...ports.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function portOf(text: string): Port | undefined {
  const match = PORT.exec(text);
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  if (first < 1 || last < first || last > 65535) return undefined;
  return {
    name: sanitizeACName(text),
    protocol: (match[3] ?? "tcp").toLowerCase(),
    port: first,
    count: last - first + 1,
    socketActivated: false,
  };
}

/** Who made the image and when. */
export function originAnnotations({
  author,
  created,
}: Pick<OciConfig, "author" | "created">): Annotation[] {
  const annotations: Annotation[] = [];
  if (author !== undefined && author !== "") {
    annotations.push({ name: parseACIdentifier("author"), value: author });
  }
  if (created !== undefined && isDate(created)) {
    annotations.push({ name: parseACIdentifier("created"), value: created });
  }
  return annotations;
}

/** A date that appc reads, and not the one that stands for none. */
function isDate(text: string): boolean {
  try {
    const date = parseDate(text);
    return date.getTime() !== 0 && date.getUTCFullYear() > 1;
  } catch (error) {
    if (error instanceof ManifestError) return false;
    throw error;
  }
}

function factAnnotations({ name, tag, digest, manifest, reference }: ImageFacts): Annotation[] {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost";
  return dockerAnnotations([
    ["originalName", reference],
    ["registryURL", isHost ? first : undefined],
    ["repository", isHost ? name.slice(slash + 1) : name],
    ["tag", tag],
    ["imageID", manifest.config.digest],
    ["manifestHash", digest],
  ]);
}

/** What of the config has no place in an app. */
export function executionAnnotations(execution: OciExecution): Annotation[] {
  const { entrypoint = [], cmd = [], stopSignal, healthcheck, shell } = execution;
  const liveness = healthcheck === undefined ? undefined : livenessOf(healthcheck, shell);
  return dockerAnnotations([
    ["entrypoint", entrypoint.length === 0 ? undefined : JSON.stringify(entrypoint)],
    ["cmd", cmd.length === 0 ? undefined : JSON.stringify(cmd)],
    ["stopSignal", parseSignal(stopSignal) === undefined ? undefined : stopSignal],
    ["liveness", liveness === undefined ? undefined : JSON.stringify(liveness)],
  ]);
}

export function dockerAnnotations(
  values: readonly (readonly [keyof typeof DOCKER_ANNOTATIONS, string | undefined])[],
): Annotation[] {
  return values.flatMap(([key, value]) =>
    value === undefined ? [] : [{ name: parseACIdentifier(DOCKER_ANNOTATIONS[key]), value }],
  );
}

/** The command that tells whether the app lives, with Docker's defaults filled in. Times in nanoseconds. */
interface Liveness {
  readonly exec: readonly string[];
  readonly interval: number;
  readonly timeout: number;
  readonly startPeriod: number;
  readonly startInterval: number;
  readonly retries: number;
}

const SECOND = 1_000_000_000;

function livenessOf(
  check: OciHealthcheck,
  shell: readonly string[] = ["/bin/sh", "-c"],
): Liveness | undefined {
  const [kind, ...words] = check.test;
  const exec = kind === "CMD" ? words : kind === "CMD-SHELL" ? [...shell, ...words] : [];
  if (exec.length === 0 || words.length === 0) return undefined;
  const or = (value: number, byDefault: number) => (value > 0 ? value : byDefault);
  return {
    exec,
    interval: or(check.interval, 30 * SECOND),
    timeout: or(check.timeout, 30 * SECOND),
    startPeriod: or(check.startPeriod, 0),
    startInterval: or(check.startInterval, 5 * SECOND),
    retries: or(check.retries, 3),
  };
}

/** Labels and annotations of the image, by their own names where appc has those. */
function foreignAnnotations(values: Readonly<Record<string, string>>): Annotation[] {
  return Object.entries(values).flatMap(([key, value]) => {
    const name = dockerIdentifier(key);
    return name === undefined || isReserved(name) ? [] : [{ name, value }];
  });
}

const isReserved = (name: string): boolean =>
  RESERVED_NAMES.has(name) || RESERVED_PREFIXES.some((prefix) => name.startsWith(prefix));

/** The first of a name counts. */
function uniqueAnnotations(annotations: readonly Annotation[]): Annotations {
  const unique = new Map<string, Annotation>();
  for (const annotation of annotations) {
    if (!unique.has(annotation.name)) unique.set(annotation.name, annotation);
  }
  return [...unique.values()];
}
