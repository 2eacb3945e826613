// SPDX-License-Identifier: Apache-2.0
// IPv6 for a pod of a built-in network that a file gives a prefix: an address beside that for IPv4 and with its number, the
// same routes, and what the kernel must be told. Loaded only for such a network. The networks' lock is held.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import type { NetlinkSocket } from "../sys/netlink.ts";
import { distrustRules } from "./apply-rules.ts";
import { NetworkError } from "./errors.ts";
import { toNumber } from "./ipv4.ts";
import { addressOf, formatPrefix, overlap, type Prefix, parsePrefix } from "./ipv6-prefix.ts";
import { listPrefixes, notePrefixes } from "./ipv6-rules.ts";
import { addAddress, addRoute } from "./netlink-messages.ts";

const CONF = "/proc/sys/net/ipv6/conf";
const GATEWAY = 1;

interface Network {
  readonly name: string;
  readonly masquerade: boolean;
  readonly subnet: string;
}

/** A pod's address in the network's prefix. */
export interface Address6 {
  readonly address: string;
  readonly gateway: string;
  readonly prefix: Prefix;
}

/** The address that goes with one of IPv4: whoever has the lease of that has this one too. */
export function addressFor(network: Network, prefix: Prefix, address: string): Address6 {
  const number = toNumber(address) - toNumber(network.subnet);
  return { address: addressOf(prefix, number), gateway: addressOf(prefix, GATEWAY), prefix };
}

/** Notes the prefix for the rules, which are then to be made. */
export function usePrefix({ name, masquerade }: Network, prefix: Prefix): void {
  if (!existsSync(CONF)) throw refused(name, "this kernel has no IPv6");
  const text = formatPrefix(prefix);
  const noted = listPrefixes();
  if (noted.some((each) => each.network === name && each.prefix === text)) return;
  for (const each of noted) {
    const other = parsePrefix(each.prefix);
    if (each.network === name || typeof other === "string" || !overlap(prefix, other)) continue;
    throw refused(name, `pods of the network ${quote(each.network)} have ${each.prefix}`);
  }
  distrustRules();
  notePrefixes([...noted, { network: name, prefix: text, masquerade }]);
}

function refused(name: string, reason: string): NetworkError {
  return new NetworkError(
    "NETWORK_ADDRESS",
    `cannot give the network ${quote(name)} IPv6: ${reason}`,
  );
}

function setting(link: string, name: string, value: string): void {
  writeFileSync(`${CONF}/${link}/${name}`, value);
}

/**
 * The host's end, before the pod's is up. It takes no word of the pod's about routes (CVE-2020-10749), and has an address of
 * the link's own, as without one it asks no neighbour for others; none is made by itself, which would take a second.
 */
export function prepareLink(link: string): void {
  for (const name of ["accept_ra", "autoconf", "accept_redirects"]) setting(link, name, "0");
  setting(link, "addr_gen_mode", "1");
  setting(link, "disable_ipv6", "0");
}

/** Run in the pod's network namespace: a machine may have IPv6 off on links unless told otherwise. */
export function allowInPod(ifName: string): void {
  setting(ifName, "accept_ra", "0");
  setting(ifName, "disable_ipv6", "0");
}

interface End {
  readonly socket: NetlinkSocket;
  readonly index: number;
}

/** Both links are up. */
export function connect6(
  { address, gateway, prefix }: Address6,
  { host, pod, outward }: { readonly host: End; readonly pod: End; readonly outward: boolean },
): void {
  host.socket.request([
    addAddress(host.index, "fe80::1", 64),
    addAddress(host.index, gateway, 128),
    addRoute({ index: host.index, destination: address, prefix: 128 }),
  ]);
  const { length } = prefix;
  pod.socket.request([
    addAddress(pod.index, address, length),
    addRoute({ index: pod.index, destination: gateway, prefix: 128, source: address }),
    addRoute({
      index: pod.index,
      destination: addressOf(prefix, 0),
      prefix: length,
      gateway,
      source: address,
    }),
  ]);
  if (outward) addDefaultRoute(pod, gateway);
}

/** Another network may have brought a way out: the first one counts. */
function addDefaultRoute({ socket, index }: End, gateway: string): void {
  try {
    socket.request([addRoute({ index, gateway, destination: "::", prefix: 0 })]);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

/**
 * There is no narrower switch that also lets answers in. A host that forwards takes no router advertisements unless told
 * to: links that took them so far go on taking them, or the host would lose its own way out.
 */
export function enableForwarding6(): void {
  if (read("all", "forwarding") !== "0") return;
  for (const link of readdirSync(CONF)) {
    if (link === "all" || link === "default" || read(link, "accept_ra") !== "1") continue;
    setting(link, "accept_ra", "2");
  }
  setting("all", "forwarding", "1");
}

const read = (link: string, name: string): string =>
  readFileSync(`${CONF}/${link}/${name}`, "utf8").trim();
