// SPDX-License-Identifier: Apache-2.0
// The networks `default` and `default-restricted` (rkt-runtime §10.2): a pair of links for each pod, an address from
// the network's range, routes by the host, and for `default` the host's address towards the outside. No plugin, and
// after the first pod no process: the kernel is asked by netlink.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { quote, stripControl } from "../lib/text.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../sys/netlink.ts";
import { inNetworkNamespace } from "../sys/network-namespace.ts";
import { applyRules, dropForwardings, removeRules } from "./apply-rules.ts";
import {
  forgetUnfinished,
  freeAddress,
  type Lease,
  listLeases,
  takeAddress,
} from "./default-leases.ts";
import type {
  Attachment,
  NetworkArguments,
  NetworkDriver,
  NetworkTarget,
  PortMapping,
} from "./driver.ts";
import { NetworkError } from "./errors.ts";
import { forgetFlows } from "./flows.ts";
import { findLink, hasLink, makeLink, removeLink } from "./host-links.ts";
import { toNumber } from "./ipv4.ts";
import type { Prefix } from "./ipv6-prefix.ts";
import { addAddress, addRoute, setLinkUp } from "./netlink-messages.ts";
import { lockNetworks } from "./network-lock.ts";
import {
  ANY6,
  checkPorts,
  type Forwarding,
  forgetForwardings,
  forwarding,
  listForwardings,
  noteForwardings,
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

/** `ipv6`: the prefix that a file gives the network. */
export function builtInDriver(network: BuiltIn, ipv6?: Prefix): NetworkDriver {
  return {
    async attach(target, options) {
      if (ipv6 === undefined) refuseIPv6(network, options.ports);
      else refuseLoopback(options.ports);
      using _lock = lockNetworks();
      if (options.ports.length > 0) await takePortsOfTheDead(target, options.ports);
      if (ipv6 === undefined) return attach(network, target, options);
      return attach(network, target, options, { ...(await import("./built-in-ipv6.ts")), ipv6 });
    },
    detach: async (target) => detach(network, target),
  };
}

function refuseIPv6({ name }: BuiltIn, ports: readonly PortMapping[]): void {
  const port = ports.find(({ hostIP }) => hostIP?.includes(":"));
  if (port === undefined) return;
  throw new NetworkError(
    "PORT_UNSUPPORTED",
    `cannot map port ${port.hostPort} of the address ${port.hostIP}: the built-in network ${quote(name)} has IPv4 only`,
    { remedy: "put a network with IPv6 in its place: docs/networking.md says how" },
  );
}

/** The kernel routes nothing of ::1 away from the host. */
function refuseLoopback(ports: readonly PortMapping[]): void {
  const port = ports.find(({ hostIP }) => hostIP === "::1");
  if (port === undefined) return;
  throw new NetworkError(
    "PORT_UNSUPPORTED",
    `cannot map port ${port.hostPort} of the address ::1: the kernel leads nothing from there to a pod`,
    { remedy: "map it of 127.0.0.1, or of an address of the host" },
  );
}

/** With IPv6, what is mapped of all addresses has an entry for each kind. */
function forwardingsOf(
  { uuid, ifName }: NetworkTarget,
  ports: readonly PortMapping[],
  pod: { readonly four: string; readonly six: string | undefined },
): Forwarding[] {
  return ports.flatMap((port) => {
    const own = port.hostIP?.includes(":") ? (pod.six ?? "") : pod.four;
    const entry = forwarding(port, { podIP: own, uuid, ifName });
    if (pod.six === undefined || port.hostIP !== undefined) return [entry];
    return [entry, { ...entry, hostIP: ANY6, podIP: pod.six }];
  });
}

/** A pod that was killed has its ports until somebody else wants one. */
async function takePortsOfTheDead(
  target: NetworkTarget,
  ports: readonly PortMapping[],
): Promise<void> {
  dropForwardings((entry) => entry.plugins === undefined && !hasLink(entry));
  if (!listForwardings().some((entry) => entry.plugins !== undefined)) return;
  const { reclaimPorts } = await import("./cni/driver.ts");
  await reclaimPorts(ports.map((port) => forwarding(port, { ...target, podIP: "" })));
}

/** How a network with a prefix gets IPv6: a module that others do without. */
type SixWays = typeof import("./built-in-ipv6.ts") & { readonly ipv6: Prefix };

/** The lock is held. */
function attach(
  network: BuiltIn,
  target: NetworkTarget,
  options: NetworkArguments,
  six?: SixWays,
): Attachment {
  const wanted = wantedAddress(network, options.args);
  const { uuid, ifName } = target;
  const ports = (podIP: string, podIP6 = "") =>
    forwardingsOf(target, options.ports, {
      four: podIP,
      six: six === undefined ? undefined : podIP6,
    });
  checkPorts(ports(""), listForwardings());
  const address = lease(network, target, wanted);
  const address6 = six?.addressFor(network, six.ipv6, address);
  try {
    six?.usePrefix(network, six.ipv6);
    if (options.ports.length > 0) noteForwardings(ports(address, address6?.address));
    const link = connect(network, target, address, six);
    enableForwarding();
    six?.enableForwarding6();
    // Also for a pod that needs none: those of other pods may have been flushed, and they guard their links.
    const mapped = options.ports.length > 0;
    if (network.masquerade || mapped || listForwardings().length > 0 || six !== undefined) {
      applyRules(mapped);
    }
    // Only now that the rules guard it.
    if (mapped) routeLoopback(link);
    // Also those that found nobody before.
    forgetFlows(ports(address, address6?.address));
  } catch (error) {
    tryRelease(network, { address, uuid, ifName });
    throw explain(error, network);
  }
  return {
    netName: network.name,
    ifName: target.ifName,
    addresses: [
      { address, prefix: network.prefix, gateway: network.gateway },
      ...(address6 === undefined ? [] : [{ ...address6, prefix: address6.prefix.length }]),
    ],
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
  const words = args.split(";").filter((word) => word !== "");
  const pair = words.find((word) => word.toUpperCase().startsWith("IP="));
  // As the plugin host-local: a word that it does not know is a mistake, unless it is told otherwise.
  const strange = words.find((word) => word !== pair && !/^IgnoreUnknown=/i.test(word));
  if (strange !== undefined && !words.some((word) => /^IgnoreUnknown=(1|true)$/i.test(word))) {
    throw new NetworkError(
      "NETWORK_LIST",
      `network ${quote(name)} provided with invalid arguments: ${stripControl(strange).slice(0, 200)}`,
      { remedy: "the built-in networks take IP=ADDRESS" },
    );
  }
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
  const dead = listLeases(network.name).filter((lease) => !hasLink(lease));
  const gone = (entry: Forwarding): boolean =>
    dead.some(
      ({ address, uuid, ifName }) =>
        // By whose it is, too: those of IPv6 have another address.
        entry.podIP === address || (entry.uuid === uuid && entry.ifName === ifName),
    );
  dropForwardings((entry) => entry.plugins === undefined && gone(entry));
  for (const { address } of dead) freeAddress(network.name, address);
  return takeAddress(network.name, target, {
    first: network.first,
    last: network.last,
    wanted: undefined,
  });
}

const LOOPBACK_INDEX = 1;

/**
 * The pair of links, and at both ends addresses and routes: each side sees the other as its only neighbour. Returns
 * the name of the host's end.
 */
function connect(
  network: BuiltIn,
  target: NetworkTarget,
  address: string,
  six: SixWays | undefined,
): string {
  const { gateway, subnet, prefix } = network;
  using host = new NetlinkSocket(NETLINK_ROUTE);
  const link = makeLink(host, target, target.netnsFd);
  if (six === undefined) withoutIPv6(link);
  else six.prepareLink(link);
  const near = findLink(host, link)?.index;
  using pod = inNetworkNamespace(target.netnsFd, () => new NetlinkSocket(NETLINK_ROUTE));
  const far = findLink(pod, target.ifName)?.index;
  if (near === undefined || far === undefined) throw new Error("the pair of links is not there");
  host.request([
    addAddress(near, gateway, 32),
    addRoute({ index: near, destination: address, prefix: 32 }),
  ]);
  if (six !== undefined) inNetworkNamespace(target.netnsFd, () => six.allowInPod(target.ifName));
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
  six?.connect6(six.addressFor(network, six.ipv6, address), {
    host: { socket: host, index: near },
    pod: { socket: pod, index: far },
    outward: network.masquerade,
  });
  return link;
}

/**
 * The pod's end is not up yet. A pod may send router advertisements (CVE-2020-10749), and a host that takes them sends what
 * it says in IPv6 to the pod; and the host's own link-local address would be a way around its rules for IPv4.
 */
function withoutIPv6(link: string): void {
  try {
    writeFileSync(`/proc/sys/net/ipv6/conf/${link}/disable_ipv6`, "1");
  } catch (error) {
    // The kernel has no IPv6, or was told to do without.
    if (!isErrno(error, "ENOENT")) throw error;
  }
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
  removeLink(target);
  finish(network, leases, target);
}

/** After an attempt that failed; the lock is held. Why it failed is what matters: the rest is for gc. */
function tryRelease(network: BuiltIn, taken: Lease): void {
  try {
    removeLink(taken);
    finish(network, [taken], taken);
  } catch {
    // The pod's note of its networks stays, and gc says what is wrong.
  }
}

/** Rules first: no address is handed out again while one of them names it. */
function finish(
  network: BuiltIn,
  leases: readonly Lease[],
  pod: Pick<Forwarding, "uuid" | "ifName">,
): void {
  const gone = (entry: Forwarding): boolean =>
    entry.uuid === pod.uuid && entry.ifName === pod.ifName && entry.plugins === undefined;
  const freed = new Set(leases.map(({ address }) => address));
  const used = BUILT_IN.some(({ name }) =>
    listLeases(name).some(({ address }) => name !== network.name || !freed.has(address)),
  );
  if (!used && listForwardings().every((entry) => entry.plugins !== undefined || gone(entry))) {
    removeRules();
    forgetFlows(listForwardings().filter(gone));
    forgetForwardings(gone);
  } else dropForwardings(gone);
  for (const address of freed) freeAddress(network.name, address);
  forgetUnfinished();
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
