// SPDX-License-Identifier: Apache-2.0
// The rules of the built-in networks, for nft and for iptables. Pure: all of them are a function of the ports that are
// forwarded, and are always replaced as a whole, in one transaction.
import type { Forwarding } from "./ports.ts";

/** Everything of ours is in this table. */
export const TABLE = "rkt";
export const LINK_PREFIX = "rkt-";
const MASQUERADED = "172.16.28.0/24";
/** Its pods have no way out, so that who comes by a forwarded port must look like a neighbour. */
const RESTRICTED = "172.31.0.0/16";
const MULTICAST = "224.0.0.0/4";
const LOOPBACK = "127.0.0.0/8";

const ANY = "0.0.0.0";

const elements = (list: readonly string[]): string =>
  list.length === 0 ? "" : `elements = { ${list.join(", ")} };`;

/** Deletes the table whether it is there or not. */
export const NFT_REMOVE = `table ip ${TABLE}\ndelete table ip ${TABLE}\n`;

export function nftRules(forwardings: readonly Forwarding[]): string {
  const target = ({ podIP, podPort }: Forwarding) => `${podIP} . ${podPort}`;
  const one = forwardings
    .filter(({ hostIP }) => hostIP !== ANY)
    .map((f) => `${f.hostIP} . ${f.protocol} . ${f.hostPort} : ${target(f)}`);
  const any = forwardings
    .filter(({ hostIP }) => hostIP === ANY)
    .map((f) => `${f.protocol} . ${f.hostPort} : ${target(f)}`);
  const pods = [...new Set(forwardings.map(({ podIP }) => `${podIP} . ${podIP}`))];
  return `${NFT_REMOVE}table ip ${TABLE} {
  map ports {
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
    ${elements(one)}
  }
  map any-ports {
    type inet_proto . inet_service : ipv4_addr . inet_service
    ${elements(any)}
  }
  set hairpin {
    type ipv4_addr . ipv4_addr
    ${elements(pods)}
  }
  # Links with forwarded ports route 127.0.0.0/8: a pod must not reach the host's loopback by it.
  chain guard {
    type filter hook prerouting priority raw; policy accept;
    iifname "${LINK_PREFIX}*" ip daddr ${LOOPBACK} drop
    iifname "${LINK_PREFIX}*" ip saddr ${LOOPBACK} drop
  }
  chain forward-ports {
    dnat ip to ip daddr . meta l4proto . th dport map @ports
    dnat ip to meta l4proto . th dport map @any-ports
  }
  chain from-outside {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump forward-ports
  }
  chain from-host {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump forward-ports
  }
  chain leave {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${MASQUERADED} ip daddr != { ${MASQUERADED}, ${MULTICAST} } masquerade
    ct status dnat ip saddr ${LOOPBACK} masquerade
    ct status dnat ip saddr . ip daddr @hairpin masquerade
    ct status dnat ip daddr ${RESTRICTED} masquerade
  }
}
`;
}

/** The jumps into our chains: table, the kernel's chain, ours with its condition. */
export const IPTABLES_JUMPS = [
  ["raw", "PREROUTING", "-i", `${LINK_PREFIX}+`, "-j", "RKT-GUARD"],
  ["nat", "PREROUTING", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "RKT-PORTS"],
  ["nat", "OUTPUT", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "RKT-PORTS"],
  ["nat", "POSTROUTING", "-j", "RKT-LEAVE"],
] as const;

/** Our chains and what is in them, for `iptables-restore --noflush`. */
export function iptablesRules(forwardings: readonly Forwarding[]): string {
  const pods = [...new Set(forwardings.map(({ podIP }) => podIP))];
  const dnated = "-m conntrack --ctstate DNAT";
  const lines = [
    "*raw",
    ":RKT-GUARD - [0:0]",
    `-A RKT-GUARD -d ${LOOPBACK} -j DROP`,
    `-A RKT-GUARD -s ${LOOPBACK} -j DROP`,
    "COMMIT",
    "*nat",
    ":RKT-PORTS - [0:0]",
    ":RKT-LEAVE - [0:0]",
    ...forwardings.map((f) => {
      const address = f.hostIP === ANY ? "" : `-d ${f.hostIP} `;
      return `-A RKT-PORTS ${address}-p ${f.protocol} --dport ${f.hostPort} -j DNAT --to-destination ${f.podIP}:${f.podPort}`;
    }),
    `-A RKT-LEAVE -s ${MASQUERADED} -d ${MULTICAST} -j RETURN`,
    `-A RKT-LEAVE -s ${MASQUERADED} ! -d ${MASQUERADED} -j MASQUERADE`,
    `-A RKT-LEAVE -s ${LOOPBACK} ${dnated} -j MASQUERADE`,
    `-A RKT-LEAVE -d ${RESTRICTED} ${dnated} -j MASQUERADE`,
    ...pods.map((ip) => `-A RKT-LEAVE -s ${ip} -d ${ip} ${dnated} -j MASQUERADE`),
    "COMMIT",
    "",
  ];
  return lines.join("\n");
}
