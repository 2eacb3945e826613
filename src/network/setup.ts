// SPDX-License-Identifier: Apache-2.0
// A pod's networks, one interface for each: what was asked for is noted before anything is done, so that gc can undo
// it whatever happened in between.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { inNetworkNamespace, makeNetworkNamespace } from "../sys/network-namespace.ts";
import type { CniHost } from "./cni/plugin.ts";
import type { NetworkPlaces } from "./configured.ts";
import { BUILT_IN, builtInConfiguration, builtInDriver } from "./default.ts";
import type { NetworkDns } from "./dns.ts";
import type { Attachment, NetworkDriver, PortMapping } from "./driver.ts";
import { netmask } from "./ipv4.ts";
import type { NetworkRequest } from "./net-list.ts";
import { isPlainRequest } from "./plain-request.ts";

const FOLDER = "net";
const NOTE = join(FOLDER, "networks.json");
const NET_INFO = "net-info.json";

interface Pod {
  readonly uuid: string;
  readonly path: string;
}

/** Descriptors, closed on exec. */
export interface PodNamespaces {
  /** The user namespace that owns the other. */
  readonly users: number;
  readonly netns: number;
}

/** One network of a pod, as noted in its directory. */
interface Noted {
  readonly name: string;
  readonly ifName: string;
  readonly args: string;
  /** Of a network by CNI plugins: where they are, and what is stored of them. */
  readonly host?: CniHost | undefined;
}

/** A network to join. */
interface Joining extends Noted {
  readonly driver: NetworkDriver;
  readonly masquerade: boolean;
}

export interface PodNetworks {
  /** Executes a program that is then in the pod's network namespace. */
  readonly execute: (become: () => never) => never;
  /** A descriptor of the user namespace that owns the networks; undefined: the host's. */
  readonly users: number | undefined;
  /** The pod's address in the network through which its ports are reached. */
  readonly address: string | undefined;
  /** The host's address in that network, as the pod sees it. */
  readonly gateway: string | undefined;
  readonly dns: NetworkDns | undefined;
}

/** When it throws, `tearDownNetworks` undoes what was done. `namespaces`: those of a pod that has users of its own. */
export async function setUpNetworks(
  { namespaces, ...pod }: Pod & { readonly namespaces?: PodNamespaces | undefined },
  requests: readonly NetworkRequest[],
  ports: readonly PortMapping[],
  places: NetworkPlaces,
): Promise<PodNetworks> {
  const networks = await choose(requests, places);
  // Of a start that failed and could not be undone: its note must not be lost under the new one.
  if (existsSync(join(pod.path, NOTE))) await tearDownNetworks(pod);
  note(pod, networks);
  const netnsFd = namespaces?.netns ?? makeNetworkNamespace();
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
  const reached = attachments.find(({ netName }) => netName === outward)?.addresses[0];
  return {
    execute: (become) => inNetworkNamespace(netnsFd, become),
    users: namespaces?.users,
    address: reached?.address,
    gateway: reached?.gateway,
    dns: firstDns(attachments),
  };
}

/**
 * Idempotent. The links of a pod that has ended are gone already; its addresses and rules are not. All networks are
 * tried; when one cannot be left the note stays, and the first error is thrown.
 */
export async function tearDownNetworks(pod: Pod): Promise<void> {
  const gone = { uuid: pod.uuid, netnsFd: -1, netnsPath: "" };
  const noted = readNote(pod);
  const errors: unknown[] = [];
  const attempt = async (leave: () => Promise<void>): Promise<void> => {
    try {
      await leave();
    } catch (error) {
      errors.push(error);
    }
  };
  for (const { name, ifName, args, host } of noted) {
    if (host !== undefined) continue;
    const driver = builtInDriver(builtIn(name));
    await attempt(() => driver.detach({ ...gone, ifName }, { args, ports: [] }));
  }
  const host = noted.find((network) => network.host !== undefined)?.host;
  if (host !== undefined) {
    const { detachPod } = await import("./cni/driver.ts");
    await attempt(() => detachPod(gone, host));
  }
  if (errors.length > 0) throw errors[0];
  rmSync(join(pod.path, NET_INFO), { force: true });
  rmSync(join(pod.path, FOLDER), { recursive: true, force: true });
}

/** In the order of their configuration files, which is that of the interfaces. */
async function choose(
  requests: readonly NetworkRequest[],
  places: NetworkPlaces,
): Promise<Joining[]> {
  const networks = isPlainRequest(requests, places)
    ? requests.map(({ name, args }) => ({
        kind: "built-in" as const,
        name,
        args,
        ipv6: undefined,
      }))
    : (await import("./configured.ts")).joinableNetworks(requests, places);
  return networks.map((network, i): Joining => {
    const { name, args } = network;
    const base = { name, args, ifName: `eth${i}` };
    if (network.kind === "cni") {
      return {
        ...base,
        driver: network.driver,
        masquerade: network.masquerade,
        host: network.host,
      };
    }
    const known = builtIn(name);
    return { ...base, driver: builtInDriver(known, network.ipv6), masquerade: known.masquerade };
  });
}

function builtIn(name: string): (typeof BUILT_IN)[number] {
  const network = BUILT_IN.find((known) => known.name === name);
  if (network === undefined) throw new Error(`no built-in network ${name}`);
  return network;
}

/** The first that masquerades, else the last: as the reference. */
function portNetwork(networks: readonly Joining[]): string | undefined {
  return (networks.find(({ masquerade }) => masquerade) ?? networks.at(-1))?.name;
}

function note(pod: Pod, networks: readonly Noted[]): void {
  mkdirSync(join(pod.path, FOLDER), { recursive: true, mode: 0o750 });
  for (const network of BUILT_IN) {
    if (!networks.some(({ name, host }) => name === network.name && host === undefined)) continue;
    writeFileSync(join(pod.path, FOLDER, network.file), builtInConfiguration(network), {
      mode: 0o640,
    });
  }
  const list = networks.map(({ name, ifName, args, host }) => ({ name, ifName, args, host }));
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
  const info = attachments.map(({ netName, netConf, pluginPath, ifName, addresses, args }) => {
    const four = addresses.find(({ address }) => !address.includes(":"));
    return {
      netName,
      netConf,
      pluginPath,
      ifName,
      ip: (four ?? addresses[0])?.address ?? "",
      args,
      // The form has no place for the length of an IPv6 prefix.
      mask: four === undefined ? "" : netmask(four.prefix),
    };
  });
  writeWhole(join(pod.path, NET_INFO), info);
}

function firstDns(attachments: readonly Attachment[]): NetworkDns | undefined {
  const found = attachments.find(
    ({ dns }) =>
      dns.servers.length + dns.search.length + dns.options.length > 0 || dns.domain !== "",
  );
  return found === undefined ? undefined : { netName: found.netName, ...found.dns };
}
