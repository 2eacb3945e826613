// SPDX-License-Identifier: Apache-2.0
// The capability bounding set of an app, as a bit set (appc.md §8, rkt-runtime.md §9).
import type { Isolator } from "../appc/index.ts";
import { quote } from "../lib/text.ts";
import { Stage1Error } from "./errors.ts";

/** In the order of linux/capability.h: the position is the number. */
const NAMES = [
  "CHOWN",
  "DAC_OVERRIDE",
  "DAC_READ_SEARCH",
  "FOWNER",
  "FSETID",
  "KILL",
  "SETGID",
  "SETUID",
  "SETPCAP",
  "LINUX_IMMUTABLE",
  "NET_BIND_SERVICE",
  "NET_BROADCAST",
  "NET_ADMIN",
  "NET_RAW",
  "IPC_LOCK",
  "IPC_OWNER",
  "SYS_MODULE",
  "SYS_RAWIO",
  "SYS_CHROOT",
  "SYS_PTRACE",
  "SYS_PACCT",
  "SYS_ADMIN",
  "SYS_BOOT",
  "SYS_NICE",
  "SYS_RESOURCE",
  "SYS_TIME",
  "SYS_TTY_CONFIG",
  "MKNOD",
  "LEASE",
  "AUDIT_WRITE",
  "AUDIT_CONTROL",
  "SETFCAP",
  "MAC_OVERRIDE",
  "MAC_ADMIN",
  "SYSLOG",
  "WAKE_ALARM",
  "BLOCK_SUSPEND",
  "AUDIT_READ",
  "PERFMON",
  "BPF",
  "CHECKPOINT_RESTORE",
] as const;

/** Every capability this program knows of, and those that a newer kernel adds. */
export const ALL_CAPABILITIES = 0xffff_ffff_ffff_ffffn;

const bit = (number: number): bigint => 1n << BigInt(number);

export const SYS_ADMIN = 1n << 21n;
export const SETGID = 1n << 6n;
export const SETUID = 1n << 7n;

/** appc's default, what an app gets without an isolator, as a set (a test compares it with the names). */
export const DEFAULT_BOUNDING = 0xa80425fbn;

function parseCapability(name: string): bigint {
  const number = (NAMES as readonly string[]).indexOf(name.replace(/^CAP_/, ""));
  if (!name.startsWith("CAP_") || number < 0) {
    throw new Stage1Error(
      "CAPABILITY_UNKNOWN",
      `cannot use the capability ${quote(name)}: no such capability`,
      {
        remedy: "capabilities(7) lists them, for example CAP_NET_BIND_SERVICE",
      },
    );
  }
  return bit(number);
}

const RETAIN = "os/linux/capabilities-retain-set";
const REMOVE = "os/linux/capabilities-remove-set";

function setOf(isolator: Isolator): bigint {
  const value = isolator.value as { readonly set?: readonly string[] } | null;
  return (value?.set ?? []).reduce((set, name) => set | parseCapability(name), 0n);
}

/**
 * Retain sets add up and replace the default; remove sets are taken from the default; both kinds together
 * are refused. The command line's flags have replaced the image's isolators before this is called.
 */
export function boundingSet(isolators: readonly Isolator[]): bigint {
  const retain = isolators.filter((i) => i.name === RETAIN);
  const remove = isolators.filter((i) => i.name === REMOVE);
  if (retain.length > 0 && remove.length > 0) {
    throw new Stage1Error("CAPABILITY_CONFLICT", `cannot have both ${RETAIN} and ${REMOVE}`);
  }
  if (retain.length > 0) return retain.reduce((set, i) => set | setOf(i), 0n);
  return remove.reduce((set, i) => set & ~setOf(i), DEFAULT_BOUNDING);
}

/** The names in a set, `CAP_…`; for descriptions. */
export function capabilityNames(set: bigint): readonly string[] {
  return NAMES.filter((_, i) => (set & bit(i)) !== 0n).map((name) => `CAP_${name}`);
}
