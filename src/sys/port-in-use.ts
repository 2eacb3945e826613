// SPDX-License-Identifier: Apache-2.0
// Does a program of the host have a port? Asked by binding to it (bind(2)), as the program would have done.
import { closeSync } from "node:fs";
import { addressBytes } from "../lib/address-bytes.ts";
import { check, errno, libcNetwork, ptr } from "./libc.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const EADDRINUSE = 98;

/** `address` is one of this host, "0.0.0.0" means all of IPv4. Throws EADDRNOTAVAIL for an address of somebody else. */
export function isPortInUse(protocol: "tcp" | "udp", address: string, port: number): boolean {
  const { socket, bind, setsockopt } = libcNetwork();
  const type = protocol === "tcp" ? SOCK_STREAM : SOCK_DGRAM;
  const family = address.includes(":") ? AF_INET6 : AF_INET;
  const fd = check(socket(family, type | SOCK_CLOEXEC, 0), "socket");
  try {
    if (protocol === "tcp") {
      // Connections that linger from before are no listener.
      const on = new Int32Array([1]);
      check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ptr(on), 4), "setsockopt");
    }
    const bytes = addressBytes(address);
    // struct sockaddr_in, or sockaddr_in6, which has the flow between port and address, and a scope at its end
    const name = new Uint8Array(bytes.length === 4 ? 16 : 28);
    const view = new DataView(name.buffer);
    view.setUint16(0, family, true);
    view.setUint16(2, port);
    name.set(bytes, bytes.length === 4 ? 4 : 8);
    const result = bind(fd, ptr(name), name.length);
    if (result < 0 && errno() === EADDRINUSE) return true;
    check(result, "bind", `${address}:${port}`);
    return false;
  } finally {
    closeSync(fd);
  }
}
