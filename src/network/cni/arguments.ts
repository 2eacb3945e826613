// SPDX-License-Identifier: Apache-2.0
// What a pod asks of a network, as CNI passes it: capabilities by `runtimeConfig`, the rest by CNI_ARGS.
// What goes the one way does not go the other: plugins that take both count it twice.
import { isIpAddress } from "../../lib/ip-address.ts";
import { quote, stripControl } from "../../lib/text.ts";
import type { NetworkArguments, PortMapping } from "../driver.ts";
import { NetworkError } from "../errors.ts";
import type { NetworkConfig } from "../net-config.ts";

export interface CniArguments {
  /** By capability; a plugin gets those that it declares. */
  readonly capabilities: Readonly<Record<string, unknown>>;
  readonly cniArgs: readonly (readonly [key: string, value: string])[];
}

const BANDWIDTH_KEYS = ["ingressRate", "ingressBurst", "egressRate", "egressBurst"];

/**
 * Throws NETWORK_LIST when the arguments are not `K=V;K=V` or a value is not what its key wants, and
 * NETWORK_UNSUPPORTED when there are ports and no plugin maps ports.
 */
export function cniArguments(network: NetworkConfig, asked: NetworkArguments): CniArguments {
  const declared = new Set(network.plugins.flatMap((plugin) => plugin.capabilities));
  const pairs = parsePairs(network.name, asked.args);
  const capabilities: Record<string, unknown> = {};
  const taken = new Set<string>();
  const take = (capability: string, keys: readonly string[]): [string, string][] => {
    const found = pairs.filter(([key]) => keys.includes(key));
    if (found.length === 0 || !declared.has(capability)) return [];
    for (const key of keys) taken.add(key);
    return found;
  };
  if (asked.ports.length > 0) {
    if (!declared.has("portMappings")) throw unmappable(network);
    capabilities["portMappings"] = asked.ports.map(portMapping);
  }
  const ips = take("ips", ["IP"]).map(([, value]) => value);
  for (const ip of ips) {
    if (!isIpAddress(ip.split("/")[0] ?? "")) throw invalid(network.name, `IP=${ip}`);
  }
  if (ips.length > 0) capabilities["ips"] = ips;
  // The grammar of --net leaves no second colon, so dashes stand for those of a hardware address.
  for (const [, value] of take("mac", ["MAC"])) {
    const mac = value.replaceAll("-", ":");
    if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)) throw invalid(network.name, `MAC=${value}`);
    capabilities["mac"] = mac;
  }
  const rates = take("bandwidth", BANDWIDTH_KEYS);
  if (rates.length > 0) {
    capabilities["bandwidth"] = Object.fromEntries(
      rates.map(([key, value]) => {
        if (!/^\d{1,15}$/.test(value)) throw invalid(network.name, `${key}=${value}`);
        return [key, Number(value)];
      }),
    );
  }
  return { capabilities, cniArgs: pairs.filter(([key]) => !taken.has(key)) };
}

function unmappable(network: NetworkConfig): NetworkError {
  return new NetworkError(
    "NETWORK_UNSUPPORTED",
    `cannot map ports into network ${quote(network.name)}: none of its plugins does that`,
    {
      remedy: `add {"type": "portmap", "capabilities": {"portMappings": true}} to the plugins in ${network.file}`,
    },
  );
}

function portMapping(port: PortMapping): Readonly<Record<string, unknown>> {
  return {
    hostPort: port.hostPort,
    containerPort: port.podPort,
    protocol: port.protocol,
    ...(port.hostIP === undefined ? {} : { hostIP: port.hostIP }),
  };
}

function parsePairs(network: string, args: string): [string, string][] {
  if (args === "") return [];
  return args.split(";").map((pair) => {
    const at = pair.indexOf("=");
    const key = pair.slice(0, Math.max(at, 0));
    const value = pair.slice(at + 1);
    if (!/^[A-Za-z0-9_.-]{1,100}$/.test(key) || !/^[\x20-\x7e]{0,1000}$/.test(value)) {
      throw invalid(network, pair);
    }
    return [key, value];
  });
}

function invalid(network: string, what: string): NetworkError {
  return new NetworkError(
    "NETWORK_LIST",
    `network ${quote(network)} provided with invalid arguments: ${stripControl(what).slice(0, 200)}`,
  );
}

/**
 * The value of CNI_ARGS. All plugins of a chain, and the address managers below them, get the same keys:
 * each must be told to pass over those that are meant for another.
 */
export function cniArgsText(pairs: CniArguments["cniArgs"]): string {
  if (pairs.length === 0) return "";
  const told = pairs.some(([key]) => key === "IgnoreUnknown");
  const all = told ? pairs : [["IgnoreUnknown", "1"], ...pairs];
  return all.map(([key, value]) => `${key}=${value}`).join(";");
}
