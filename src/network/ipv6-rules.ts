// SPDX-License-Identifier: Apache-2.0
// The IPv6 rules of built-in networks that were given a prefix, beside those for IPv4 and in the same transaction. Which
// prefixes there are is noted in /run/rkt/ipv6 for as long as the rules are there. Callers hold the networks' lock.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { LINK_PREFIX, TABLE } from "./masquerade.ts";
import { RUN_DIRECTORY } from "./network-lock.ts";
import { ANY6, type Forwarding } from "./ports.ts";

export const PREFIXES = join(RUN_DIRECTORY, "ipv6");

/** A prefix whose addresses pods have, or had. */
export interface NotedPrefix {
  readonly network: string;
  readonly prefix: string;
  readonly masquerade: boolean;
}

export function listPrefixes(): readonly NotedPrefix[] {
  try {
    return JSON.parse(readFileSync(PREFIXES, "utf8")) as NotedPrefix[];
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

export function notePrefixes(list: readonly NotedPrefix[]): void {
  writeFileSync(`${PREFIXES}.new`, `${JSON.stringify(list)}\n`, { mode: 0o644 });
  renameSync(`${PREFIXES}.new`, PREFIXES);
}

const MULTICAST = "ff00::/8";
const LINK_LOCAL = "fe80::/10";
const LOOPBACK = "::1";

const elements = (list: readonly string[]): string =>
  list.length === 0 ? "" : `elements = { ${list.join(", ")} };`;

/** Deletes the table whether it is there or not. */
export const NFT_REMOVE6 = `table ip6 ${TABLE}\ndelete table ip6 ${TABLE}\n`;

export function nftRules6(
  prefixes: readonly NotedPrefix[],
  forwardings: readonly Forwarding[],
): string {
  const target = ({ podIP, podPort }: Forwarding) => `${podIP} . ${podPort}`;
  const one = forwardings
    .filter(({ hostIP }) => hostIP !== ANY6)
    .map((f) => `${f.hostIP} . ${f.protocol} . ${f.hostPort} : ${target(f)}`);
  const any = forwardings
    .filter(({ hostIP }) => hostIP === ANY6)
    .map((f) => `${f.protocol} . ${f.hostPort} : ${target(f)}`);
  const pods = [...new Set(forwardings.map(({ podIP }) => `${podIP} . ${podIP}`))];
  const leave = prefixes.map(({ prefix, masquerade }) =>
    masquerade
      ? `ip6 saddr ${prefix} ip6 daddr != { ${prefix}, ${MULTICAST} } masquerade`
      : `ct status dnat ip6 daddr ${prefix} masquerade`,
  );
  return `${NFT_REMOVE6}table ip6 ${TABLE} {
  map ports {
    type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service
    ${elements(one)}
  }
  map any-ports {
    type inet_proto . inet_service : ipv6_addr . inet_service
    ${elements(any)}
  }
  set hairpin {
    type ipv6_addr . ipv6_addr
    ${elements(pods)}
  }
  # From a pod comes nothing but what is of its own address, and for no address that is the link's alone.
  chain guard {
    type filter hook prerouting priority raw; policy accept;
    iifname "${LINK_PREFIX}*" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname "${LINK_PREFIX}*" ip6 saddr ${LINK_LOCAL} drop
    iifname "${LINK_PREFIX}*" ip6 daddr ${LINK_LOCAL} drop
    iifname "${LINK_PREFIX}*" fib saddr . iif oif missing drop
  }
  chain forward-ports {
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports
    dnat ip6 to meta l4proto . th dport map @any-ports
  }
  chain from-outside {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump forward-ports
  }
  # The kernel routes nothing of ::1 away from the host.
  chain from-host {
    type nat hook output priority -100; policy accept;
    ip6 daddr != ${LOOPBACK} fib daddr type local jump forward-ports
  }
  chain leave {
    type nat hook postrouting priority srcnat; policy accept;
    ${leave.join("\n    ")}
    ct status dnat ip6 saddr . ip6 daddr @hairpin masquerade
  }
}
`;
}

/** For `ip6tables-restore --noflush`; the jumps are those for IPv4. */
export function iptablesRules6(
  prefixes: readonly NotedPrefix[],
  forwardings: readonly Forwarding[],
): string {
  const pods = [...new Set(forwardings.map(({ podIP }) => podIP))];
  const dnated = "-m conntrack --ctstate DNAT";
  const neighbours = ["neighbour-solicitation", "neighbour-advertisement"];
  const lines = [
    "*raw",
    ":RKT-GUARD - [0:0]",
    ...neighbours.map((type) => `-A RKT-GUARD -p icmpv6 --icmpv6-type ${type} -j RETURN`),
    `-A RKT-GUARD -s ${LINK_LOCAL} -j DROP`,
    `-A RKT-GUARD -d ${LINK_LOCAL} -j DROP`,
    "-A RKT-GUARD -m rpfilter --invert -j DROP",
    "COMMIT",
    "*nat",
    ":RKT-PORTS - [0:0]",
    ":RKT-LEAVE - [0:0]",
    `-A RKT-PORTS -d ${LOOPBACK} -j RETURN`,
    ...forwardings.map((f) => {
      const address = f.hostIP === ANY6 ? "" : `-d ${f.hostIP} `;
      return `-A RKT-PORTS ${address}-p ${f.protocol} --dport ${f.hostPort} -j DNAT --to-destination [${f.podIP}]:${f.podPort}`;
    }),
    ...prefixes.flatMap(({ prefix, masquerade }) =>
      masquerade
        ? [
            `-A RKT-LEAVE -s ${prefix} -d ${MULTICAST} -j RETURN`,
            `-A RKT-LEAVE -s ${prefix} ! -d ${prefix} -j MASQUERADE`,
          ]
        : [`-A RKT-LEAVE -d ${prefix} ${dnated} -j MASQUERADE`],
    ),
    ...pods.map((ip) => `-A RKT-LEAVE -s ${ip} -d ${ip} ${dnated} -j MASQUERADE`),
    "COMMIT",
    "",
  ];
  return lines.join("\n");
}
