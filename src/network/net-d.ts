// SPDX-License-Identifier: Apache-2.0
// The networks of the `net.d` directories, and which of them a pod joins (rkt-runtime §10.1, §10.2).
import { closeSync, constants, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { basename, join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { quote, stripControl } from "../lib/text.ts";
import { NetworkError } from "./errors.ts";
import type { Prefix } from "./ipv6-prefix.ts";
import { MAX_CONFIG_BYTES, type NetworkConfig, parseNetworkConfig } from "./net-config.ts";
import type { NetworkRequest } from "./net-list.ts";

export interface ConfiguredNetworks {
  /** One of each name, in the order of their files' names. */
  readonly networks: readonly NetworkConfig[];
  /** A definition that another one hides. */
  readonly warnings: readonly string[];
}

/** Nobody has more; a directory of a million files must not be read. */
const MAX_FILES = 1000;

/**
 * Reads `net.d` of each configuration directory, later ones overriding earlier ones by network name;
 * within one, the first of a name wins. Every file must be valid: a typo in one must not silently change
 * which network another name means.
 */
export function readNetworks(configDirectories: readonly string[]): ConfiguredNetworks {
  const byName = new Map<string, NetworkConfig>();
  const warnings: string[] = [];
  for (const directory of configDirectories) {
    const own = new Map<string, NetworkConfig>();
    for (const file of listFiles(join(directory, "net.d"))) {
      const network = parseNetworkConfig(readText(file), file);
      if (own.has(network.name)) {
        warnings.push(`${quote(network.name)} network already defined, ignoring ${basename(file)}`);
      } else {
        own.set(network.name, network);
      }
    }
    for (const [name, network] of own) {
      if (byName.has(name)) {
        warnings.push(`overriding ${quote(name)} network with one from ${directory}/net.d`);
      }
      byName.set(name, network);
    }
  }
  const networks = [...byName.values()].sort((a, b) => compare(basename(a.file), basename(b.file)));
  return { networks, warnings };
}

export type BuiltInNetwork = "default" | "default-restricted";

export type ChosenNetwork =
  | {
      readonly kind: "built-in";
      readonly name: BuiltInNetwork;
      readonly args: string;
      readonly ipv6?: Prefix | undefined;
    }
  | {
      readonly kind: "cni";
      readonly name: string;
      readonly config: NetworkConfig;
      readonly args: string;
    };

/** The files that the reference's built-in networks have: they decide the order among the others. */
const BUILT_IN: Readonly<Record<BuiltInNetwork, string>> = {
  default: "99-default.conf",
  "default-restricted": "99-default-restricted.conf",
};

/**
 * What `--net` asks for, in the order in which the pod gets its interfaces. `all` means every network;
 * arguments of a name beside it count. Throws NETWORK_NOT_FOUND with all the names that nothing defines.
 */
export function chooseNetworks(
  requests: readonly NetworkRequest[],
  configured: readonly NetworkConfig[],
): ChosenNetwork[] {
  const known: { readonly file: string; readonly network: ChosenNetwork }[] = configured.map(
    (config) => ({
      file: basename(config.file),
      network: networkOf(config),
    }),
  );
  for (const name of ["default", "default-restricted"] as const) {
    if (configured.some((config) => config.name === name)) continue;
    known.push({ file: BUILT_IN[name], network: { kind: "built-in", name, args: "" } });
  }
  known.sort((a, b) => compare(a.file, b.file));
  const args = new Map(requests.map((request) => [request.name, request.args]));
  const names = new Set(known.map(({ network }) => network.name));
  const missing = requests.filter(({ name }) => name !== "all" && !names.has(name));
  if (missing.length > 0) {
    const list = missing.map(({ name }) => stripControl(name).slice(0, 100)).join(", ");
    throw new NetworkError("NETWORK_NOT_FOUND", `networks not found: ${list}`, {
      remedy: "put its .conf or .conflist into net.d of the local configuration directory",
    });
  }
  return known
    .filter(({ network }) => args.has("all") || args.has(network.name))
    .map(({ network }) => ({ ...network, args: args.get(network.name) ?? "" }));
}

function networkOf(config: NetworkConfig): ChosenNetwork {
  const { name, builtIn } = config;
  if (builtIn !== undefined && (name === "default" || name === "default-restricted")) {
    return { kind: "built-in", name, args: "", ipv6: builtIn.ipv6 };
  }
  return { kind: "cni", name, config, args: "" };
}

function listFiles(directory: string): string[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw unreadable(directory, error);
  }
  const files = names.filter((name) => /\.conf(list)?$/.test(name)).sort(compare);
  if (files.length > MAX_FILES) {
    throw new NetworkError(
      "NETWORK_CONFIG",
      `directory ${quote(directory)} has more than ${MAX_FILES} networks`,
    );
  }
  return files.map((name) => join(directory, name));
}

/** Links are followed, as package managers make them; a pipe or device must not be read. */
function readText(path: string): string {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { size } = fstatSync(fd);
      if (!fstatSync(fd).isFile()) throw notUsable(path, "it is not a regular file");
      if (size > MAX_CONFIG_BYTES) throw notUsable(path, "it is larger than 1 MiB");
      const bytes = Buffer.alloc(size);
      let at = 0;
      for (let n = -1; n !== 0 && at < size; at += n) n = readSync(fd, bytes, at, size - at, at);
      return bytes.toString("utf8", 0, at);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof NetworkError) throw error;
    throw unreadable(path, error);
  }
}

function notUsable(path: string, reason: string): NetworkError {
  return new NetworkError(
    "NETWORK_CONFIG",
    `cannot use network configuration ${quote(path)}: ${reason}`,
  );
}

function unreadable(path: string, cause: unknown): NetworkError {
  return new NetworkError("NETWORK_CONFIG", `cannot read network configuration ${quote(path)}`, {
    cause,
  });
}

/** By code unit, as Go sorts: not by locale. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
