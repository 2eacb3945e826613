// SPDX-License-Identifier: Apache-2.0
// The networks `default` and `default-restricted` (rkt-runtime §10.2): a pair of links for each pod, an address from
// the network's range, routes by the host, and for `default` the host's address towards the outside. No plugin, and
// after the first pod no process: the kernel is asked by netlink.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { type Lock, lockFile } from "../sys/lock.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../sys/netlink.ts";
import { inNetworkNamespace } from "../sys/network-namespace.ts";
import { applyRules, removeRules } from "./apply-rules.ts";
import { freeAddress, type Lease, listLeases, takeAddress } from "./default-leases.ts";
import type { Attachment, NetworkArguments, NetworkDriver, NetworkTarget } from "./driver.ts";
import { NetworkError } from "./errors.ts";
import { toNumber } from "./ipv4.ts";
import { LINK_PREFIX } from "./masquerade.ts";
import {
  addAddress,
  addRoute,
  deleteLink,
  getLink,
  linkIndex,
  makeVeth,
  RTM_NEWLINK,
  setLinkUp,
} from "./netlink-messages.ts";
import {
  checkPorts,
  type Forwarding,
  forgetForwardings,
  forwarding,
  listForwardings,
  noteForwardings,
  RUN_DIRECTORY,
} from "./ports.ts";

interface BuiltIn {
  readonly name: string;
  readonly file: string;
  readonly masquerade: boolean;
  readonly subnet: string;
  readonly prefix: number;
  readonly gateway: string;
  readonly first: string;
  readonly last: string;
}

export const BUILT_IN: readonly BuiltIn[] = [
  {
    name: "default",
    file: "99-default.conf",
    masquerade: true,
    subnet: "172.16.28.0",
    prefix: 24,
    gateway: "172.16.28.1",
    first: "172.16.28.2",
    last: "172.16.28.254",
  },
  {
    name: "default-restricted",
    file: "99-default-restricted.conf",
    masquerade: false,
    subnet: "172.31.0.0",
    prefix: 16,
    gateway: "172.31.0.1",
    first: "172.31.0.2",
    last: "172.31.255.254",
  },
];

const lockNetworks = (): Lock => {
  mkdirSync(RUN_DIRECTORY, { recursive: true, mode: 0o755 });
  return lockFile(join(RUN_DIRECTORY, "network.lock"), "exclusive", 0o600);
};

/** The host's end of a pod's link: at most 15 bytes (netdevice(7)). */
const linkName = (uuid: string, ifName: string): string =>
  `${LINK_PREFIX}${uuid.slice(0, 8)}${ifName.replace(/^eth/, "-").slice(0, 3)}`;

export function builtInDriver(network: BuiltIn): NetworkDriver {
  return {
    attach: async (target, options) => attach(network, target, options),
    detach: async (target) => detach(network, target),
  };
}

function attach(network: BuiltIn, target: NetworkTarget, options: NetworkArguments): Attachment {
  const wanted = wantedAddress(network, options.args);
  using _lock = lockNetworks();
  const link = linkName(target.uuid, target.ifName);
  if (options.ports.length > 0) dropForwardings((entry) => !linkExists(entry.link));
  const ports = (podIP: string) =>
    options.ports.map((port) => forwarding(port, { podIP, uuid: target.uuid, link }));
  checkPorts(ports(""), listForwardings());
  const address = lease(network, target, wanted);
  try {
    if (ports.length > 0) noteForwardings(ports(address));
    connect(network, { target, link, address });
    enableForwarding();
    if (options.ports.length > 0) routeLoopback(link);
    if (network.masquerade || options.ports.length > 0) {
      applyRules(options.ports.length > 0);
    }
  } catch (error) {
    release(network, { address, uuid: target.uuid, ifName: target.ifName });
    throw explain(error, network);
  }
  return {
    netName: network.name,
    ifName: target.ifName,
    addresses: [{ address, prefix: network.prefix, gateway: network.gateway }],
    dns: { servers: [], domain: "", search: [], options: [] },
    netConf: join("net", network.file),
    pluginPath: "built-in",
    args: options.args,
  };
}

function explain(error: unknown, network: BuiltIn): unknown {
  if (error instanceof NetworkError) return error;
  return new NetworkError("NETWORK_SETUP", `error adding network ${quote(network.name)}`, {
    cause: error,
  });
}

/** As rkt's documentation has it: `--net=default:IP=172.16.28.33`. */
function wantedAddress({ name, subnet, first, last }: BuiltIn, args: string): string | undefined {
  const pair = args.split(";").find((word) => word.toUpperCase().startsWith("IP="));
  if (pair === undefined) return undefined;
  const address = pair.slice(3);
  if (isWithin(address, { first, last })) return address;
  throw new NetworkError(
    "NETWORK_ADDRESS",
    `cannot join the network ${quote(name)} with the address ${quote(address)}: its addresses are ${first} to ${last}`,
    { details: { subnet } },
  );
}

function isWithin(
  address: string,
  range: { readonly first: string; readonly last: string },
): boolean {
  if (!/^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/.test(address)) return false;
  if (address.split(".").some((part) => Number(part) > 255)) return false;
  const n = toNumber(address);
  return n >= toNumber(range.first) && n <= toNumber(range.last);
}

function lease(network: BuiltIn, target: NetworkTarget, wanted: string | undefined): string {
  const range = { first: network.first, last: network.last, wanted };
  const address = takeAddress(network.name, target, range) ?? takeFromTheDead(network, target);
  if (address !== undefined) return address;
  throw new NetworkError(
    "NETWORK_ADDRESS",
    `cannot join the network ${quote(network.name)}: all of its addresses are taken`,
    { remedy: "stop pods, or choose another network" },
  );
}

/**
 * A lease whose link is gone is of a pod that has ended: a pod gets both under the lock, and the kernel removes the
 * link with the pod. Nobody asks for this until the range is used up.
 */
function takeFromTheDead(network: BuiltIn, target: NetworkTarget): string | undefined {
  const dead = listLeases(network.name).filter(
    ({ uuid, ifName }) => !linkExists(linkName(uuid, ifName)),
  );
  const addresses = new Set(dead.map(({ address }) => address));
  dropForwardings(({ podIP }) => addresses.has(podIP));
  for (const { address } of dead) freeAddress(network.name, address);
  return takeAddress(network.name, target, {
    first: network.first,
    last: network.last,
    wanted: undefined,
  });
}

function linkExists(name: string): boolean {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  return findLink(socket, name) !== undefined;
}

function findLink(socket: NetlinkSocket, name: string): number | undefined {
  try {
    const reply = socket.request([getLink(name)]).find(({ type }) => type === RTM_NEWLINK);
    return reply === undefined ? undefined : linkIndex(reply.body);
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}

const LOOPBACK_INDEX = 1;

interface Connection {
  readonly target: NetworkTarget;
  readonly link: string;
  readonly address: string;
}

/** The pair of links, and at both ends addresses and routes: each side sees the other as its only neighbour. */
function connect(network: BuiltIn, { target, link, address }: Connection): void {
  const { gateway, subnet, prefix } = network;
  using host = new NetlinkSocket(NETLINK_ROUTE);
  host.request([makeVeth(link, target.ifName, target.netnsFd)]);
  const near = findLink(host, link);
  using pod = inNetworkNamespace(target.netnsFd, () => new NetlinkSocket(NETLINK_ROUTE));
  const far = findLink(pod, target.ifName);
  if (near === undefined || far === undefined) throw new Error("the pair of links is not there");
  host.request([
    addAddress(near, gateway, 32),
    addRoute({ index: near, destination: address, prefix: 32 }),
  ]);
  const way = { index: far, gateway, source: address };
  pod.request([
    setLinkUp(LOOPBACK_INDEX),
    setLinkUp(far),
    addAddress(far, address, prefix),
    addRoute({ index: far, destination: gateway, prefix: 32, source: address }),
    addRoute({ ...way, destination: subnet, prefix }),
  ]);
  // Another network may have brought a way out: the first one counts, as with the reference's plugins.
  if (network.masquerade) addDefaultRoute(pod, way);
}

function addDefaultRoute(
  pod: NetlinkSocket,
  way: { readonly index: number; readonly gateway: string; readonly source: string },
): void {
  try {
    pod.request([
      addRoute({ index: way.index, gateway: way.gateway, destination: "0.0.0.0", prefix: 0 }),
    ]);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

function enableForwarding(): void {
  const path = "/proc/sys/net/ipv4/ip_forward";
  if (readFileSync(path, "utf8").trim() !== "1") writeFileSync(path, "1");
}

/** For forwarded ports at 127.0.0.1; the rules keep the pod from using it. */
function routeLoopback(link: string): void {
  writeFileSync(`/proc/sys/net/ipv4/conf/${link}/route_localnet`, "1");
}

function detach(network: BuiltIn, target: NetworkTarget): void {
  using _lock = lockNetworks();
  const leases = listLeases(network.name).filter(
    ({ uuid, ifName }) => uuid === target.uuid && ifName === target.ifName,
  );
  removeLink(linkName(target.uuid, target.ifName));
  finish(
    network,
    leases,
    ({ uuid, link }) => uuid === target.uuid && link === linkName(target.uuid, target.ifName),
  );
}

/** What an attempt that failed has left. The lock is held. */
function release(network: BuiltIn, taken: Lease): void {
  const link = linkName(taken.uuid, taken.ifName);
  removeLink(link);
  finish(network, [taken], (entry) => entry.link === link);
}

type Gone = (entry: Forwarding) => boolean;

/** Rules first: one that is no longer noted would never be removed, should this end in between. */
function dropForwardings(gone: Gone): void {
  const list = listForwardings();
  const kept = list.filter((entry) => !gone(entry));
  if (kept.length === list.length) return;
  applyRules(true, kept);
  forgetForwardings(gone);
}

/** Rules first: no address is handed out again while one of them names it. */
function finish(network: BuiltIn, leases: readonly Lease[], gone: Gone): void {
  const freed = new Set(leases.map(({ address }) => address));
  const used = BUILT_IN.some(({ name }) =>
    listLeases(name).some(({ address }) => name !== network.name || !freed.has(address)),
  );
  if (!used && listForwardings().every(gone)) {
    removeRules();
    forgetForwardings(gone);
  } else dropForwardings(gone);
  for (const address of freed) freeAddress(network.name, address);
}

function removeLink(name: string): void {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  try {
    socket.request([deleteLink(name)]);
  } catch (error) {
    if (!isErrno(error, "ENODEV")) throw error;
  }
}

/** The network's configuration as rkt had it, for the copy in the pod. */
export function builtInConfiguration(network: BuiltIn): string {
  const { name, masquerade, subnet, prefix } = network;
  return `${JSON.stringify({
    cniVersion: "0.1.0",
    name,
    type: "ptp",
    ipMasq: masquerade,
    ipam: {
      type: "host-local",
      subnet: `${subnet}/${prefix}`,
      ...(masquerade && { routes: [{ dst: "0.0.0.0/0" }] }),
    },
  })}\n`;
}
