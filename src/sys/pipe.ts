// SPDX-License-Identifier: Apache-2.0
// Pipes between other processes, as descriptors.
import { O_CLOEXEC } from "./constants.ts";
import { check, libc, ptr } from "./libc.ts";

const SYS_PIPE2 = process.arch === "arm64" ? 59 : 293;
const F_SETPIPE_SZ = 1031;
const SIZE = 1 << 20;

export interface Pipe {
  readonly read: number;
  readonly write: number;
}

/** pipe2(2), both ends close-on-exec and the caller's to close, with room for 1 MiB where the limits allow it. */
export function makePipe(): Pipe {
  const ends = new Int32Array(2);
  check(libc.syscall(SYS_PIPE2, Number(ptr(ends)), O_CLOEXEC, 0, 0, 0, 0), "pipe");
  const [read = -1, write = -1] = ends;
  libc.fcntl(write, F_SETPIPE_SZ, SIZE);
  return { read, write };
}
