// SPDX-License-Identifier: Apache-2.0
// Network namespaces (network_namespaces(7)). The calls act on the calling thread, which is the one that executes
// stage1 in the end; between two of them nothing may be awaited.
import { closeSync } from "node:fs";
import { AT_FDCWD, O_CLOEXEC, O_RDONLY } from "./constants.ts";
import { check, cstr, libc, libcFiles, libcNetwork, ptr } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;

/** A descriptor of the namespace that this thread is in, closed on exec. */
function ownNamespace(): number {
  const path = cstr("/proc/thread-self/ns/net");
  return check(libc.openat(AT_FDCWD, ptr(path), O_RDONLY | O_CLOEXEC, 0), "open network namespace");
}

/** From here on this thread is in the namespace (setns(2)). */
export function enterNetworkNamespace(fd: number): void {
  check(libcNetwork().setns(fd, CLONE_NEWNET), "setns");
}

/** A new namespace as a descriptor: it lasts as long as somebody has it open or is in it. */
export function makeNetworkNamespace(): number {
  const ours = ownNamespace();
  try {
    check(libcFiles().unshare(CLONE_NEWNET), "unshare");
    try {
      return ownNamespace();
    } finally {
      enterNetworkNamespace(ours);
    }
  } finally {
    closeSync(ours);
  }
}

/** Runs `work`, which must not be asynchronous, in the namespace. */
export function inNetworkNamespace<T>(fd: number, work: () => T): T {
  const ours = ownNamespace();
  try {
    enterNetworkNamespace(fd);
    try {
      return work();
    } finally {
      enterNetworkNamespace(ours);
    }
  } finally {
    closeSync(ours);
  }
}
