// SPDX-License-Identifier: Apache-2.0
// Landlock (landlock(7)): this thread, and every program that it becomes, loses the file system, the network and
// signals to others, but for what is named. It needs no privilege and cannot be undone.
import { closeSync } from "node:fs";
import { isErrno } from "../lib/errors.ts";
import { AT_FDCWD, O_CLOEXEC, O_PATH } from "./constants.ts";
import { check, cstr, libc, ptr } from "./libc.ts";

// The same on every architecture (asm-generic/unistd.h).
const SYS_CREATE_RULESET = 444;
const SYS_ADD_RULE = 445;
const SYS_RESTRICT_SELF = 446;
const CREATE_RULESET_VERSION = 1;
const RULE_PATH_BENEATH = 1;

const EXECUTE = 1n << 0n;
const READ_FILE = 1n << 2n;
const READ_DIR = 1n << 3n;

/** What each version of the interface knows, by linux/landlock.h: rights on files, by the number of bits. */
const FILE_RIGHTS_OF = [0n, 13n, 14n, 15n, 15n, 16n] as const;
const NETWORK_ABI = 4;
const SCOPE_ABI = 6;
/** bind(2) and connect(2) of TCP. */
const NETWORK_RIGHTS = 0b11n;
/** Abstract unix sockets and signals, to whoever is not confined by this. */
const SCOPES = 0b11n;

export interface Allowed {
  /** Programs and libraries: read and executed, and all below them. */
  readonly execute: readonly string[];
  /** Read, and all below them. */
  readonly read: readonly string[];
}

/** The version of the kernel's interface; 0 without Landlock. */
function landlockVersion(): number {
  const version = libc.syscall(SYS_CREATE_RULESET, 0, 0, CREATE_RULESET_VERSION, 0, 0, 0);
  return Math.max(0, Number(version));
}

/** False where the kernel has no Landlock. Needs no_new_privs. Paths that are not there are left out. */
export function restrictToPaths(allowed: Allowed): boolean {
  const version = landlockVersion();
  if (version === 0) return false;
  const bits = FILE_RIGHTS_OF[Math.min(version, FILE_RIGHTS_OF.length - 1)] ?? 0n;
  const attributes = new BigUint64Array([
    (1n << bits) - 1n,
    version >= NETWORK_ABI ? NETWORK_RIGHTS : 0n,
    version >= SCOPE_ABI ? SCOPES : 0n,
  ]);
  // An older kernel refuses fields that it does not know.
  const size = version >= SCOPE_ABI ? 24 : version >= NETWORK_ABI ? 16 : 8;
  const ruleset = check(
    libc.syscall(SYS_CREATE_RULESET, ptr(attributes), size, 0, 0, 0, 0),
    "landlock_create_ruleset",
  );
  try {
    for (const path of allowed.execute) allow(ruleset, path, EXECUTE | READ_FILE | READ_DIR);
    for (const path of allowed.read) allow(ruleset, path, READ_FILE | READ_DIR);
    check(libc.syscall(SYS_RESTRICT_SELF, ruleset, 0, 0, 0, 0, 0), "landlock_restrict_self");
  } finally {
    closeSync(ruleset);
  }
  return true;
}

function allow(ruleset: number, path: string, rights: bigint): void {
  let fd: number;
  try {
    fd = check(libc.openat(AT_FDCWD, ptr(cstr(path)), O_PATH | O_CLOEXEC, 0), "open", path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    throw error;
  }
  try {
    if (!addRule(ruleset, fd, rights)) {
      // A file has no directory to be read (EINVAL).
      check(addRule(ruleset, fd, rights & ~READ_DIR) ? 0 : -1, "landlock_add_rule", path);
    }
  } finally {
    closeSync(fd);
  }
}

function addRule(ruleset: number, fd: number, rights: bigint): boolean {
  // struct landlock_path_beneath_attr is packed: 12 bytes.
  const rule = new DataView(new ArrayBuffer(12));
  rule.setBigUint64(0, rights, true);
  rule.setInt32(8, fd, true);
  const attributes = new Uint8Array(rule.buffer);
  return (
    Number(libc.syscall(SYS_ADD_RULE, ruleset, RULE_PATH_BENEATH, ptr(attributes), 0, 0, 0)) === 0
  );
}
