// SPDX-License-Identifier: Apache-2.0
// Which ports of the host lead to which pod: one file for each in /run/rkt/ports, whoever makes the rules. Like these
// they do not survive a reboot. Callers hold the networks' lock.
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { isPortInUse } from "../sys/port-in-use.ts";
import { removeFile } from "../sys/remove-file.ts";
import type { CniHost } from "./cni/plugin.ts";
import type { PortMapping } from "./driver.ts";
import { NetworkError } from "./errors.ts";
import { RUN_DIRECTORY } from "./network-lock.ts";

const PORTS = join(RUN_DIRECTORY, "ports");
const NEW = join(RUN_DIRECTORY, "port.new");
const ANY = "0.0.0.0";
/** Every IPv6 address of the host. */
export const ANY6 = "::";

/** A port of the host, and where it leads. */
export interface Forwarding {
  readonly protocol: "tcp" | "udp";
  /** "0.0.0.0": every address of the host; one of a pod with IPv6 has another entry for that. */
  readonly hostIP: string;
  readonly hostPort: number;
  readonly podIP: string;
  readonly podPort: number;
  readonly uuid: string;
  /** The pod's end of its link: eth0. */
  readonly ifName: string;
  /** Mapped by plugins: there is no rule of ours. */
  readonly plugins?: PluginPort | undefined;
}

/** How to know whether the pod of a plugin's port lives, and to take the port from it when it does not. */
export interface PluginPort {
  /** rkt, which becomes the pod's supervisor. */
  readonly pid: number;
  /** The pod's network namespace as proc(5) shows it. */
  readonly netns: string;
  readonly host: CniHost;
}

const nameOf = ({ protocol, hostIP, hostPort }: Forwarding): string =>
  `${protocol}-${hostIP}:${hostPort}`;

export function listForwardings(): Forwarding[] {
  let names: string[];
  try {
    names = readdirSync(PORTS).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
  return names.map((name) => JSON.parse(readFileSync(join(PORTS, name), "utf8")) as Forwarding);
}

/** The pod's side of a mapping is known when it has an address. */
export function forwarding(
  mapping: PortMapping,
  pod: Pick<Forwarding, "podIP" | "uuid" | "ifName" | "plugins">,
): Forwarding {
  const { protocol, hostIP = ANY, hostPort, podPort } = mapping;
  return { protocol, hostIP, hostPort, podPort, ...pod };
}

/** Throws PORT_CONFLICT when a pod, or a program of the host, has one of the ports already. */
export function checkPorts(wanted: readonly Forwarding[], taken: readonly Forwarding[]): void {
  const seen = [...taken];
  for (const port of wanted) {
    const other = seen.find((known) => collide(known, port) && !isOtherHalf(known, port));
    if (other !== undefined) {
      throw conflict(
        `port ${nameOf(port)} already mapped to pod port ${other.podPort} of pod ${other.uuid}`,
      );
    }
    seen.push(port);
    if (isHeldByHost(port)) {
      throw conflict(`cannot map port ${nameOf(port)}: a program on this machine listens on it`);
    }
  }
}

/** One mapping of all addresses, for IPv4 and for IPv6. */
const isOtherHalf = (known: Forwarding, port: Forwarding): boolean =>
  port.hostIP === ANY6 &&
  known.hostIP === ANY &&
  known.uuid === port.uuid &&
  known.podPort === port.podPort;

function isHeldByHost({ protocol, hostIP, hostPort }: Forwarding): boolean {
  try {
    return isPortInUse(protocol, hostIP, hostPort);
  } catch (error) {
    if (!isErrno(error, "EADDRNOTAVAIL")) throw error;
    throw conflict(`cannot map port ${hostPort}: ${hostIP} is not an address of this machine`);
  }
}

export const collide = (a: Forwarding, b: Forwarding): boolean =>
  a.protocol === b.protocol &&
  a.hostPort === b.hostPort &&
  (a.hostIP === b.hostIP || coversAll(a, b) || coversAll(b, a));

const coversAll = (a: Forwarding, b: Forwarding): boolean =>
  a.hostIP === ANY || (a.hostIP === ANY6 && b.hostIP.includes(":"));

function conflict(sentence: string): NetworkError {
  return new NetworkError("PORT_CONFLICT", sentence, { remedy: "choose another host port" });
}

export function noteForwardings(list: readonly Forwarding[]): void {
  mkdirSync(PORTS, { recursive: true, mode: 0o755 });
  for (const entry of list) {
    const path = join(PORTS, nameOf(entry));
    // Whole or not at all, and not in the list before.
    writeFileSync(NEW, `${JSON.stringify(entry)}\n`, { mode: 0o644 });
    renameSync(NEW, path);
  }
}

/** Forgets those that `gone` says. */
export function forgetForwardings(gone: (entry: Forwarding) => boolean): void {
  for (const entry of listForwardings().filter(gone)) {
    removeFile(join(PORTS, nameOf(entry)));
  }
}
