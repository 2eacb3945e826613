// SPDX-License-Identifier: Apache-2.0
// Signals to a process that is surely the one meant: by pidfd, so that a recycled PID is never hit.
import { closeSync } from "node:fs";
import { check, libc } from "./libc.ts";

// The same on every architecture (asm-generic/unistd.h).
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;

export const SIGTERM = 15;
export const SIGKILL = 9;

/** A process, pinned. Disposing it closes the descriptor, not the process. */
export interface ProcessHandle extends Disposable {
  readonly pid: number;
  readonly fd: number;
  /** Throws ESRCH when the process has ended. */
  signal(number: number): void;
}

/** pidfd_open(2). The caller must check after it that the PID still means what it read it for. */
export function openProcess(pid: number): ProcessHandle {
  const fd = check(libc.syscall(SYS_PIDFD_OPEN, pid, 0, 0, 0, 0, 0), "pidfd_open");
  return {
    pid,
    fd,
    signal: (number) => {
      check(libc.syscall(SYS_PIDFD_SEND_SIGNAL, fd, number, 0, 0, 0, 0), "pidfd_send_signal");
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}
