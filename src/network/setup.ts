// SPDX-License-Identifier: Apache-2.0
// A pod's networks, one interface for each: what was asked for is noted before anything is done, so that gc can undo
// it whatever happened in between.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { inNetworkNamespace, makeNetworkNamespace } from "../sys/network-namespace.ts";
import { BUILT_IN, builtInConfiguration, builtInDriver } from "./default.ts";
import type { NetworkDns } from "./dns.ts";
import type { Attachment, NetworkDriver, PortMapping } from "./driver.ts";
import { NetworkError } from "./errors.ts";
import { netmask } from "./ipv4.ts";
import type { NetworkRequest } from "./net-list.ts";

const FOLDER = "net";
const NOTE = join(FOLDER, "networks.json");
const NET_INFO = "net-info.json";

interface Pod {
  readonly uuid: string;
  readonly path: string;
}

/** One network of a pod, as noted in its directory. */
interface Noted {
  readonly name: string;
  readonly ifName: string;
  readonly args: string;
}

export interface PodNetworks {
  /** Executes a program that is then in the pod's network namespace. */
  readonly execute: (become: () => never) => never;
  /** The pod's address in the network through which its ports are reached. */
  readonly address: string | undefined;
  readonly dns: NetworkDns | undefined;
}

/** When it throws, `tearDownNetworks` undoes what was done. */
export async function setUpNetworks(
  pod: Pod,
  requests: readonly NetworkRequest[],
  ports: readonly PortMapping[],
): Promise<PodNetworks> {
  const networks = choose(requests).map((request, i) => ({
    ...request,
    ifName: `eth${i}`,
  }));
  note(pod, networks);
  const netnsFd = makeNetworkNamespace();
  const outward = portNetwork(networks);
  const attachments: Attachment[] = [];
  for (const { driver, ...network } of networks) {
    const target = {
      uuid: pod.uuid,
      netnsFd,
      netnsPath: `/proc/${process.pid}/fd/${netnsFd}`,
      ifName: network.ifName,
    };
    const options = { args: network.args, ports: network.name === outward ? ports : [] };
    attachments.push(await driver.attach(target, options));
  }
  writeNetInfo(pod, attachments);
  return {
    execute: (become) => inNetworkNamespace(netnsFd, become),
    address: attachments.find(({ netName }) => netName === outward)?.addresses[0]?.address,
    dns: firstDns(attachments),
  };
}

/** Idempotent. The links of a pod that has ended are gone already; its addresses and rules are not. */
export async function tearDownNetworks(pod: Pod): Promise<void> {
  for (const { name, ifName, args } of readNote(pod).reverse()) {
    const target = { uuid: pod.uuid, netnsFd: -1, netnsPath: "", ifName };
    await driverOf(name).detach(target, { args, ports: [] });
  }
  rmSync(join(pod.path, NET_INFO), { force: true });
  rmSync(join(pod.path, FOLDER), { recursive: true, force: true });
}

/** In the order of their configuration files, which is that of the interfaces. */
function choose(
  requests: readonly NetworkRequest[],
): (NetworkRequest & { readonly driver: NetworkDriver })[] {
  const all = requests.some(({ name }) => name === "all");
  const wanted = new Map(requests.map(({ name, args }) => [name, args]));
  wanted.delete("all");
  if (all) for (const { name } of BUILT_IN) wanted.set(name, wanted.get(name) ?? "");
  return [...wanted]
    .map(([name, args]) => ({ name, args, driver: driverOf(name) }))
    .sort((a, b) => (fileOf(a.name) < fileOf(b.name) ? -1 : 1));
}

const fileOf = (name: string): string =>
  BUILT_IN.find((network) => network.name === name)?.file ?? name;

function driverOf(name: string): NetworkDriver {
  const network = BUILT_IN.find((known) => known.name === name);
  if (network !== undefined) return builtInDriver(network);
  throw new NetworkError(
    "NETWORK_UNSUPPORTED",
    `network ${quote(name)} is not available in this version`,
    { remedy: "--net=default, default-restricted, none or host" },
  );
}

/** The first that masquerades, else the last: as the reference. */
function portNetwork(networks: readonly { readonly name: string }[]): string | undefined {
  const masquerading = networks.find(
    ({ name }) => BUILT_IN.find((network) => network.name === name)?.masquerade,
  );
  return (masquerading ?? networks.at(-1))?.name;
}

function note(pod: Pod, networks: readonly Noted[]): void {
  mkdirSync(join(pod.path, FOLDER), { recursive: true, mode: 0o750 });
  for (const network of BUILT_IN) {
    if (!networks.some(({ name }) => name === network.name)) continue;
    writeFileSync(join(pod.path, FOLDER, network.file), builtInConfiguration(network), {
      mode: 0o640,
    });
  }
  const list = networks.map(({ name, ifName, args }) => ({ name, ifName, args }));
  writeWhole(join(pod.path, NOTE), list);
}

/** Whole or not at all: a process can be killed in between. */
function writeWhole(path: string, value: unknown): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(value)}\n`, { mode: 0o640 });
  renameSync(`${path}.new`, path);
}

function readNote(pod: Pod): Noted[] {
  try {
    return JSON.parse(readFileSync(join(pod.path, NOTE), "utf8")) as Noted[];
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** rkt's file: `rkt list` and `rkt status` show it, and scripts read it. */
function writeNetInfo(pod: Pod, attachments: readonly Attachment[]): void {
  const info = attachments.map(({ netName, netConf, pluginPath, ifName, addresses, args }) => ({
    netName,
    netConf,
    pluginPath,
    ifName,
    ip: addresses[0]?.address ?? "",
    args,
    mask: addresses[0] === undefined ? "" : netmask(addresses[0].prefix),
  }));
  writeWhole(join(pod.path, NET_INFO), info);
}

function firstDns(attachments: readonly Attachment[]): NetworkDns | undefined {
  const found = attachments.find(
    ({ dns }) =>
      dns.servers.length + dns.search.length + dns.options.length > 0 || dns.domain !== "",
  );
  return found === undefined ? undefined : { netName: found.netName, ...found.dns };
}
