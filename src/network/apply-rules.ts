// SPDX-License-Identifier: Apache-2.0
// Puts the rules in force: with nft where it is, else with iptables. What was put there is noted, so that it is
// noticed when it is there no longer, and goes with the tool it came with. Callers hold the networks' lock.
import { readFileSync, readlinkSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../sys/netlink.ts";
import { removeFile } from "../sys/remove-file.ts";
import { findTool, runTool } from "../sys/run-tool.ts";
import { NetworkError } from "./errors.ts";
import { forgetFlows } from "./flows.ts";
import { iptablesRules6, listPrefixes, NFT_REMOVE6, nftRules6, PREFIXES } from "./ipv6-rules.ts";
import { IPTABLES_JUMPS, iptablesRules, NFT_REMOVE, nftRules, TABLE } from "./masquerade.ts";
import { generationIn, getGeneration, getTable } from "./netlink-messages.ts";
import { RUN_DIRECTORY } from "./network-lock.ts";
import { type Forwarding, forgetForwardings, listForwardings } from "./ports.ts";

const NOTE = join(RUN_DIRECTORY, "rules");

type Tool = "nft" | "iptables";
type Firewall = { readonly kind: Tool; readonly path: string };

/** What was put in force, where, and the number that the kernel gave to all nftables rules then; -1: unknown. */
interface Note {
  readonly tool: Tool;
  readonly netns: string;
  readonly generation: number;
}

function findFirewall(wanted?: Tool): Firewall | undefined {
  for (const kind of wanted === undefined ? (["nft", "iptables"] as const) : [wanted]) {
    const path = findTool(kind);
    if (path !== undefined) return { kind, path };
  }
  return undefined;
}

/** Makes the rules when they are not as they were made; `changed`: in any case. */
export function applyRules(changed: boolean, ports = listForwardings()): void {
  const note = readNote();
  // The usual case, and no tool is looked for.
  if (!changed && note?.tool === "nft" && isUntouched(note)) return;
  const own = ports.filter(({ plugins }) => plugins === undefined);
  const forwardings = own.filter(({ podIP }) => !podIP.includes(":"));
  const prefixes = listPrefixes();
  const forwardings6 = own.filter(({ podIP }) => podIP.includes(":"));
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
  if (note !== undefined && note.tool !== firewall.kind) removeWith(note.tool);
  // Before the first rule: whatever happens from here on, who removes them knows by what.
  writeNote(firewall.kind, -1);
  if (firewall.kind === "iptables") {
    applyIptables(firewall.path, iptablesRules(forwardings));
    if (prefixes.length > 0) applyIptables(ip6tables(), iptablesRules6(prefixes, forwardings6));
    return;
  }
  const before = generation();
  const rules6 = prefixes.length > 0 ? nftRules6(prefixes, forwardings6) : "";
  run([firewall.path, "-f", "-"], nftRules(forwardings) + rules6);
  const after = generation();
  // Somebody else was at it meanwhile, and may have taken ours away: the next pod makes them again.
  if (after === before + 1) writeNote("nft", after);
}

/** Whatever happens next, even to this process: the next pod that needs rules makes them again. */
export function distrustRules(): void {
  const note = readNote();
  if (note !== undefined) writeNote(note.tool, -1);
}

/** Rules first: one that is no longer noted would never be removed, should this end in between. */
export function dropForwardings(gone: (entry: Forwarding) => boolean): void {
  const list = listForwardings();
  const kept = list.filter((entry) => !gone(entry));
  if (kept.length === list.length) return;
  applyRules(true, kept);
  forgetFlows(list.filter(gone));
  forgetForwardings(gone);
}

/** The rules in our chains come all at once; those that lead there one by one, each when it is not there. */
function applyIptables(path: string, rules: string): void {
  run([`${path}-restore`, "--noflush", "-w"], rules);
  for (const [table, ...rule] of IPTABLES_JUMPS) {
    if (test(path, table, ["-C", ...rule])) continue;
    run([path, "-w", "-t", table, "-A", ...rule]);
  }
}

/** It comes with iptables. */
function ip6tables(): string {
  const path = findTool("ip6tables");
  if (path !== undefined) return path;
  throw new NetworkError("FIREWALL", "cannot set up rules for IPv6: ip6tables is not there", {
    remedy: "install nftables, or iptables with its tools for IPv6",
  });
}

/** The number counts every change of any table: a flush, or a rule that somebody deleted. */
function isUntouched(note: Note): boolean {
  return note.generation >= 0 && note.generation === generation();
}

function generation(): number {
  using socket = new NetlinkSocket(NETLINK_NETFILTER);
  const [reply] = socket.request([getGeneration()]);
  return reply === undefined ? -1 : generationIn(reply.body);
}

function hasTable(family: 4 | 6): boolean {
  using socket = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    socket.request([getTable(TABLE, family)]);
    return true;
  } catch (error) {
    // EINVAL: the kernel has no nftables.
    if (isErrno(error, "ENOENT", "EINVAL")) return false;
    throw error;
  }
}

/** Undefined also for rules of another network namespace or boot. */
function readNote(): Note | undefined {
  let text: string;
  try {
    text = readFileSync(NOTE, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  const [tool = "", netns = "", generation = ""] = text.trimEnd().split(" ");
  if ((tool !== "nft" && tool !== "iptables") || netns !== ownNamespace()) return undefined;
  return { tool, netns, generation: /^\d+$/.test(generation) ? Number(generation) : -1 };
}

function writeNote(tool: Tool, generation: number): void {
  writeFileSync(`${NOTE}.new`, `${tool} ${ownNamespace()} ${generation}\n`, { mode: 0o644 });
  renameSync(`${NOTE}.new`, NOTE);
}

const ownNamespace = (): string => readlinkSync("/proc/self/ns/net");

/** Nothing of ours is left, nor was anything changed when nothing was there. */
export function removeRules(): void {
  const note = readNote();
  if (note?.tool === "iptables") removeWith("iptables");
  // Asked and not noted: the kernel knows, and it costs no process.
  if (hasTable(4) || hasTable(6)) removeWith("nft");
  removeFile(NOTE);
  removeFile(PREFIXES);
}

function removeWith(tool: Tool): void {
  const firewall = findFirewall(tool);
  if (firewall === undefined) {
    throw new NetworkError(
      "FIREWALL",
      `cannot remove rules: ${tool}, which made them, is not there`,
      { remedy: `install ${tool} again, then rkt gc` },
    );
  }
  if (tool === "nft") {
    run([firewall.path, "-f", "-"], NFT_REMOVE + (hasTable(6) ? NFT_REMOVE6 : ""));
    return;
  }
  removeIptables(firewall.path);
  if (listPrefixes().length > 0) removeIptables(ip6tables());
}

function removeIptables(path: string): void {
  for (const [table, ...rule] of IPTABLES_JUMPS) {
    if (test(path, table, ["-C", ...rule])) run([path, "-w", "-t", table, "-D", ...rule]);
  }
  for (const [table, chain] of [
    ["raw", "RKT-GUARD"],
    ["nat", "RKT-PORTS"],
    ["nat", "RKT-LEAVE"],
  ] as const) {
    if (!test(path, table, ["-F", chain])) continue;
    run([path, "-w", "-t", table, "-X", chain]);
  }
}

const test = (path: string, table: string, words: readonly string[]): boolean =>
  runTool([path, "-w", "-t", table, ...words]).status === 0;

function run(argv: readonly string[], input?: string): void {
  const { status, stderr } = runTool(argv, input);
  if (status === 0) return;
  throw new NetworkError("FIREWALL", "cannot set up address translation", {
    cause: new Error(`${argv[0]}: ${stderr}`),
  });
}
