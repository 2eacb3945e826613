// SPDX-License-Identifier: Apache-2.0
// Which addresses of a built-in network are taken: one file for each in /var/lib/cni/networks/NAME, as the plugin
// host-local keeps them, so that it and rkt never hand out the same one. The directory is the machine's and not the
// data directory's: pods of every data directory share the links. Callers hold the networks' lock.
import { linkSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { removeFile } from "../sys/remove-file.ts";
import { NetworkError } from "./errors.ts";
import { fromNumber, toNumber } from "./ipv4.ts";

export const LEASES = "/var/lib/cni/networks";
/** Beside the networks, so that nobody takes it for a lease. */
const NEW = join(LEASES, ".rkt-new");
const LAST = "last_reserved_ip.0";
/** The third line of a lease: it is rkt's own, and a plugin leaves it alone. */
const MARK = "rkt";

export interface Lease {
  readonly address: string;
  readonly uuid: string;
  readonly ifName: string;
}

export interface Range {
  readonly first: string;
  readonly last: string;
}

const directory = (network: string): string => join(LEASES, network);

/** rkt's own leases of a network. */
export function listLeases(network: string): Lease[] {
  const leases: Lease[] = [];
  for (const address of readNames(directory(network))) {
    if (!/^[0-9.]+$/.test(address)) continue;
    const [uuid = "", ifName = "", mark] = readLease(join(directory(network), address));
    if (mark === MARK) leases.push({ address, uuid, ifName });
  }
  return leases;
}

function readNames(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

function readLease(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split(/\r?\n/);
  } catch (error) {
    if (isErrno(error, "ENOENT", "EISDIR")) return [];
    throw error;
  }
}

/** Takes an address: `wanted`, else the next one after the last that was taken. Undefined: none is free. */
export function takeAddress(
  network: string,
  owner: { readonly uuid: string; readonly ifName: string },
  range: Range & { readonly wanted: string | undefined },
): string | undefined {
  const path = directory(network);
  mkdirSync(path, { recursive: true, mode: 0o755 });
  // Whole or not at all: of one that is cut off nobody could say whose it is.
  writeFileSync(NEW, `${owner.uuid}\r\n${owner.ifName}\r\n${MARK}\n`, { mode: 0o644 });
  const take = (address: string): boolean => {
    try {
      linkSync(NEW, join(path, address));
      return true;
    } catch (error) {
      if (isErrno(error, "EEXIST")) return false;
      throw error;
    }
  };
  try {
    if (range.wanted !== undefined) return takeWanted(network, range.wanted, take);
    return takeNext(path, range, take);
  } finally {
    removeFile(NEW);
  }
}

function takeNext(
  path: string,
  range: Range,
  take: (address: string) => boolean,
): string | undefined {
  const first = toNumber(range.first);
  const size = toNumber(range.last) - first + 1;
  const [before = ""] = readLease(join(path, LAST));
  const last = before === "" ? first - 1 : toNumber(before);
  const start = last >= first && last < first + size ? last - first + 1 : 0;
  for (let i = 0; i < size; i++) {
    const address = fromNumber(first + ((start + i) % size));
    if (!take(address)) continue;
    writeFileSync(join(path, LAST), address, { mode: 0o644 });
    return address;
  }
  return undefined;
}

function takeWanted(network: string, wanted: string, take: (address: string) => boolean): string {
  if (take(wanted)) return wanted;
  throw new NetworkError(
    "NETWORK_ADDRESS",
    `cannot join the network ${quote(network)}: the address ${wanted} is taken`,
    { remedy: "another address, or none; rkt gc frees those of pods that have ended" },
  );
}

export function freeAddress(network: string, address: string): void {
  removeFile(join(directory(network), address));
}

/** Of a process that was killed while it took an address. */
export function forgetUnfinished(): void {
  removeFile(NEW);
}
