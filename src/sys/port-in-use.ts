// SPDX-License-Identifier: Apache-2.0
// Does a program of the host have a port? Asked by binding to it (bind(2)), as the program would have done.
import { closeSync } from "node:fs";
import { check, errno, libcNetwork, ptr } from "./libc.ts";

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const EADDRINUSE = 98;

/** `address` is IPv4 of this host, "0.0.0.0" means all. Throws EADDRNOTAVAIL for an address of somebody else. */
export function isPortInUse(protocol: "tcp" | "udp", address: string, port: number): boolean {
  const { socket, bind, setsockopt } = libcNetwork();
  const type = protocol === "tcp" ? SOCK_STREAM : SOCK_DGRAM;
  const fd = check(socket(AF_INET, type | SOCK_CLOEXEC, 0), "socket");
  try {
    if (protocol === "tcp") {
      // Connections that linger from before are no listener.
      const on = new Int32Array([1]);
      check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ptr(on), 4), "setsockopt");
    }
    const name = new Uint8Array(16);
    const view = new DataView(name.buffer);
    view.setUint16(0, AF_INET, true);
    view.setUint16(2, port);
    name.set(address.split(".").map(Number), 4);
    const result = bind(fd, ptr(name), name.length);
    if (result < 0 && errno() === EADDRINUSE) return true;
    check(result, "bind", `${address}:${port}`);
    return false;
  } finally {
    closeSync(fd);
  }
}
