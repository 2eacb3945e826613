// SPDX-License-Identifier: Apache-2.0
// Puts the rules in force: with nft where it is, else with iptables. Callers hold the networks' lock.
import { isErrno } from "../lib/errors.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../sys/netlink.ts";
import { findTool, runTool } from "../sys/run-tool.ts";
import { NetworkError } from "./errors.ts";
import { IPTABLES_JUMPS, iptablesRules, NFT_REMOVE, nftRules, TABLE } from "./masquerade.ts";
import { getTable } from "./netlink-messages.ts";
import { listForwardings } from "./ports.ts";

type Firewall = { readonly kind: "nft" | "iptables"; readonly path: string };

function findFirewall(): Firewall | undefined {
  const nft = findTool("nft");
  if (nft !== undefined) return { kind: "nft", path: nft };
  const iptables = findTool("iptables");
  return iptables === undefined ? undefined : { kind: "iptables", path: iptables };
}

/** Makes the rules when they are not there; `changed`: also when they are. */
export function applyRules(changed: boolean, forwardings = listForwardings()): void {
  const firewall = findFirewall();
  if (firewall === undefined) {
    throw new NetworkError(
      "FIREWALL",
      "cannot set up address translation: neither nft nor iptables is there",
      {
        remedy: "install nftables, or use --net=none or --net=host",
      },
    );
  }
  if (!changed && isInForce(firewall)) return;
  if (firewall.kind === "nft") {
    run([firewall.path, "-f", "-"], nftRules(forwardings));
    return;
  }
  run([`${firewall.path}-restore`, "--noflush", "-w"], iptablesRules(forwardings));
  for (const [table, ...rule] of IPTABLES_JUMPS) {
    if (test(firewall, table, ["-C", ...rule])) continue;
    run([firewall.path, "-w", "-t", table, "-A", ...rule]);
  }
}

function isInForce(firewall: Firewall): boolean {
  if (firewall.kind === "nft") return hasTable();
  return IPTABLES_JUMPS.every(([table, ...rule]) => test(firewall, table, ["-C", ...rule]));
}

function hasTable(): boolean {
  using socket = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    socket.request([getTable(TABLE)]);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/** Nothing of ours is left, nor was anything changed when nothing was there. */
export function removeRules(): void {
  const firewall = findFirewall();
  if (firewall === undefined) return;
  if (firewall.kind === "nft") {
    if (hasTable()) run([firewall.path, "-f", "-"], NFT_REMOVE);
    return;
  }
  for (const [table, ...rule] of IPTABLES_JUMPS) {
    if (test(firewall, table, ["-C", ...rule]))
      run([firewall.path, "-w", "-t", table, "-D", ...rule]);
  }
  for (const [table, chain] of [
    ["raw", "RKT-GUARD"],
    ["nat", "RKT-PORTS"],
    ["nat", "RKT-LEAVE"],
  ] as const) {
    if (!test(firewall, table, ["-F", chain])) continue;
    run([firewall.path, "-w", "-t", table, "-X", chain]);
  }
}

const test = (firewall: Firewall, table: string, words: readonly string[]): boolean =>
  runTool([firewall.path, "-w", "-t", table, ...words]).status === 0;

function run(argv: readonly string[], input?: string): void {
  const { status, stderr } = runTool(argv, input);
  if (status === 0) return;
  throw new NetworkError("FIREWALL", "cannot set up address translation", {
    cause: new Error(`${argv[0]}: ${stderr}`),
  });
}
