// SPDX-License-Identifier: Apache-2.0
// The command-line forms: `NAME[:VERSION],key=value,…`. Values are literal, nothing is unescaped, so a comma
// cannot be part of one. (appc.md sections 1.14 and 5.1, rkt-cli.md sections 4 and 5.1)

import { quote, stripControl } from "../lib/text.ts";
import { ManifestError } from "./errors.ts";
import { parseACIdentifier, parseACName } from "./names.ts";
import { parseBool, parseInteger, parseUint16 } from "./parse-scalar.ts";
import { checkPort, normalizeIP } from "./port.ts";
import type {
  ACIdentifier,
  ACName,
  ExposedPort,
  Label,
  Labels,
  Mount,
  MountPoint,
  Port,
  Volume,
} from "./types.ts";
import { checkVolume, EMPTY_VOLUME_DEFAULTS } from "./volume.ts";

export interface AppReference {
  readonly name: ACIdentifier;
  readonly labels: Labels;
}

/** `NAME[:VERSION][,label=value]*`. Whether os and arch are known is not checked here. */
export function parseAppString(text: string): AppReference {
  const comma = text.indexOf(",");
  const colon = text.indexOf(":");
  if (comma >= 0 && colon > comma) {
    throw invalid("malformed app string - colon may appear only right after the app name");
  }
  if (colon !== text.lastIndexOf(":")) {
    throw invalid("malformed app string - colon may appear at most once");
  }
  // A function as replacement: in a string `$` would have a meaning.
  const { name, ...labels } = split(`name=${text.replace(":", () => ",version=")}`);
  return {
    name: parseACIdentifier(name ?? ""),
    labels: Object.entries(labels).map(
      ([key, value]): Label => ({ name: parseACIdentifier(key), value }),
    ),
  };
}

export function formatAppString({ name, labels }: AppReference): string {
  const version = labels.find((label) => label.name === "version");
  const others = labels.filter((label) => label !== version);
  return `${name}${version === undefined ? "" : `:${version.value}`}${others
    .map((label) => `,${label.name}=${label.value}`)
    .join("")}`;
}

/** `NAME,kind=empty|host[,source=…][,readOnly=…][,recursive=…][,mode=…][,uid=…][,gid=…]` */
export function parseVolume(text: string): Volume {
  const { name, kind, source, readOnly, recursive, mode, uid, gid, ...rest } = named(text);
  refuse(rest, "volume");
  return checkVolume({
    name,
    kind: kind ?? "",
    source: source ?? "",
    readOnly: optional(readOnly, parseBool),
    recursive: optional(recursive, parseBool),
    mode,
    uid: optional(uid, parseInteger),
    gid: optional(gid, parseInteger),
  });
}

/** The inverse of `parseVolume`, without what is the default of an empty volume. */
export function formatVolume(volume: Volume): string {
  const { name, kind, readOnly, recursive } = volume;
  let text = `${name},kind=${kind}`;
  if (volume.kind === "host") text += `,source=${volume.source}`;
  if (readOnly !== undefined) text += `,readOnly=${readOnly}`;
  if (recursive !== undefined) text += `,recursive=${recursive}`;
  if (volume.kind === "empty") {
    for (const key of ["mode", "uid", "gid"] as const) {
      if (volume[key] !== EMPTY_VOLUME_DEFAULTS[key]) text += `,${key}=${volume[key]}`;
    }
  }
  return text;
}

/** `NAME,path=PATH[,readOnly=…]` */
export function parseMountPoint(text: string): MountPoint {
  const { name, path, readOnly, ...rest } = named(text);
  refuse(rest, "mountpoint");
  return {
    name,
    path: present(path, "path must be set"),
    readOnly: optional(readOnly, parseBool) ?? false,
  };
}

export function formatMountPoint({ name, path, readOnly }: MountPoint): string {
  return `${name},path=${path}${readOnly ? ",readOnly=true" : ""}`;
}

/** `NAME,protocol=…,port=…[,count=…][,socketActivated=…]` */
export function parsePort(text: string): Port {
  const { name, protocol, port, count, socketActivated, ...rest } = named(text);
  refuse(rest, "port");
  return checkPort({
    name,
    protocol: protocol ?? "",
    port: optional(port, parseUint16) ?? 0,
    count: optional(count, parseUint16) ?? 0,
    socketActivated: optional(socketActivated, parseBool) ?? false,
  });
}

export function formatPort({ name, protocol, port, count, socketActivated }: Port): string {
  const range = count === 1 ? "" : `,count=${count}`;
  const activation = socketActivated ? ",socketActivated=true" : "";
  return `${name},protocol=${protocol},port=${port}${range}${activation}`;
}

/** `volume=NAME,target=PATH`, the value of --mount. */
export function parseMount(text: string): Mount {
  const { volume, target, ...rest } = split(text);
  refuse(rest, "mount");
  return { volume: mountVolume(volume ?? "", text), path: present(target, "path must be set") };
}

function mountVolume(volume: string, flag: string): ACName {
  try {
    return parseACName(volume);
  } catch (cause) {
    if (!(cause instanceof ManifestError)) throw cause;
    const sentence = `invalid volume name ${quote(volume)} in --mount flag ${quote(flag)}`;
    throw new ManifestError("PARAMETER_INVALID", `${sentence}: ${cause.message}`);
  }
}

export function formatMount({ volume, path }: Mount): string {
  return `volume=${volume},target=${path}`;
}

/** `NAME:[HOSTIP:]HOSTPORT`, the value of --port. An IPv6 address stands between brackets. */
export function parseExposedPort(text: string): ExposedPort {
  const match = /^([^:]*):(?:(\[[^\]]*\]|[^:]*):)?([^:]*)$/.exec(text);
  if (match === null) throw invalid(`${quote(text)} is not in name:[ip:]port format`);
  const [, name = "", ip, port = ""] = match;
  const hostIP = ip === undefined ? undefined : normalizeIP(ip.replace(/^\[(.*)\]$/, "$1"));
  if (ip !== undefined && hostIP === undefined) throw invalid(`${quote(ip)} is not a valid IP`);
  return {
    name: checked(name, parseACName, "port name"),
    hostPort: checked(port, parseUint16, "port number"),
    ...(hostIP !== undefined && { hostIP }),
  };
}

export function formatExposedPort({ name, hostIP, hostPort }: ExposedPort): string {
  if (hostIP === undefined) return `${name}:${hostPort}`;
  return `${name}:${hostIP.includes(":") ? `[${hostIP}]` : hostIP}:${hostPort}`;
}

type Parameters = Readonly<Record<string, string>>;

/** The pairs of `key=value,…`; no key may occur twice. */
function split(text: string): Parameters {
  const pairs = new Map<string, string>();
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    const key = equals < 0 ? part : part.slice(0, equals);
    if (equals < 0) {
      throw invalid(
        `malformed string ${quote(text)} - has a label without a value: ${stripControl(key).slice(0, 300)}`,
      );
    }
    const value = part.slice(equals + 1);
    const before = pairs.get(key);
    if (before !== undefined) {
      throw invalid(
        `label ${stripControl(key).slice(0, 300)} with multiple values [${quote(before)} ${quote(value)}]`,
      );
    }
    pairs.set(key, value);
  }
  return Object.fromEntries(pairs);
}

/** The pairs of `NAME,key=value,…`, the name checked. */
function named(text: string): Omit<Parameters, "name"> & { readonly name: ACName } {
  const { name, ...rest } = split(`name=${text}`);
  return { ...rest, name: parseACName(name ?? "") };
}

function refuse(rest: Parameters, what: string): void {
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw invalid(`unknown ${what} parameter ${quote(unknown)}`);
}

function present(value: string | undefined, message: string): string {
  if (value === undefined || value === "") throw invalid(message);
  return value;
}

function optional<T>(value: string | undefined, parse: (text: string) => T): T | undefined {
  return value === undefined ? undefined : parse(value);
}

function checked<T>(text: string, parse: (text: string) => T, what: string): T {
  try {
    return parse(text);
  } catch (cause) {
    if (!(cause instanceof ManifestError)) throw cause;
    const message = `${quote(text)} is not a valid ${what}`;
    throw new ManifestError("PARAMETER_INVALID", message, { cause });
  }
}

function invalid(message: string): ManifestError {
  return new ManifestError("PARAMETER_INVALID", message);
}
