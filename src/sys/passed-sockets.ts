// SPDX-License-Identifier: Apache-2.0
// Sockets that whoever started this process opened for it (sd_listen_fds(3)).
import { libcNetwork, ptr } from "./libc.ts";

export interface PassedSocket {
  readonly fd: number;
  readonly protocol: "tcp" | "udp";
  readonly port: number;
}

const FIRST = 3;
const AF_INET = 2;
const AF_INET6 = 10;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;

/** Of the first `count` descriptors behind the standard ones those that are sockets of TCP and UDP. */
export function passedSockets(count: number): PassedSocket[] {
  const { getsockname, getsockopt } = libcNetwork();
  const found: PassedSocket[] = [];
  for (let fd = FIRST; fd < FIRST + count; fd++) {
    const name = new Uint8Array(128);
    const length = new Uint32Array([name.length]);
    if (getsockname(fd, ptr(name), ptr(length)) < 0) continue;
    const view = new DataView(name.buffer);
    const family = view.getUint16(0, true);
    const type = new Int32Array(1);
    const size = new Uint32Array([4]);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, ptr(type), ptr(size)) < 0) continue;
    if (family !== AF_INET && family !== AF_INET6) continue;
    if (type[0] !== SOCK_STREAM && type[0] !== SOCK_DGRAM) continue;
    found.push({ fd, protocol: type[0] === SOCK_STREAM ? "tcp" : "udp", port: view.getUint16(2) });
  }
  return found;
}
