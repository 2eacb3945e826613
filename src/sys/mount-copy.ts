// SPDX-License-Identifier: Apache-2.0
// A directory as a mount of its own that is attached nowhere (open_tree(2)): for a process that is to reach nothing else.
import { AT_EMPTY_PATH, AT_FDCWD, O_CLOEXEC } from "./constants.ts";
import { check, cstr, libc, ptr } from "./libc.ts";

// The same on every architecture (asm-generic/unistd.h).
const SYS_OPEN_TREE = 428;
const SYS_MOUNT_SETATTR = 442;
const OPEN_TREE_CLONE = 1;
const NOSUID = 2n;
const NODEV = 4n;
const NOEXEC = 8n;

/** Nothing in it can be executed, no device opened; `..` of its root is itself. O_PATH-like. Needs CAP_SYS_ADMIN. */
export function copyMount(path: string): number {
  const name = cstr(path);
  const fd = check(
    libc.syscall(SYS_OPEN_TREE, AT_FDCWD, Number(ptr(name)), OPEN_TREE_CLONE | O_CLOEXEC, 0, 0, 0),
    "open_tree",
    path,
  );
  try {
    restrictMount(fd);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** The same for a mount that is attached nowhere yet. */
export function restrictMount(fd: number): void {
  // struct mount_attr: set, clear, propagation, user namespace (mount_setattr(2)).
  const attributes = new BigUint64Array([NOSUID | NODEV | NOEXEC, 0n, 0n, 0n]);
  const empty = cstr("");
  check(
    libc.syscall(
      SYS_MOUNT_SETATTR,
      fd,
      Number(ptr(empty)),
      AT_EMPTY_PATH,
      Number(ptr(attributes)),
      32,
      0,
    ),
    "mount_setattr",
  );
}
