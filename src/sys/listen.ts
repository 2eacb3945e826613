// SPDX-License-Identifier: Apache-2.0
// Listening sockets as descriptors, for a program that binds first, gives up its power, and then serves.
import { chmodSync, closeSync } from "node:fs";
import { check, libc, libcNetwork, ptr } from "./libc.ts";
import { removeFile } from "./remove-file.ts";

const AF_UNIX = 1;
const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ACCEPTCONN = 30;
const SO_DOMAIN = 39;
const F_GETFL = 3;
const F_SETFL = 4;
const BACKLOG = 256;

/** A socket on every IPv4 address of the host. */
export function listenTcp4(port: number): number {
  const address = new Uint8Array(16);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  return listening(AF_INET, address, (fd) => {
    const yes = new Int32Array([1]);
    check(
      libcNetwork().setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ptr(yes), yes.byteLength),
      "setsockopt",
    );
  });
}

/** A socket in the file system with this mode. What lies at the path is removed: the caller has locked it. */
export function listenUnix(path: string, mode: number): number {
  const name = Buffer.from(`${path}\0`);
  const address = new Uint8Array(2 + name.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  removeFile(path);
  // Nobody can connect until it listens.
  return listening(AF_UNIX, address, undefined, () => chmodSync(path, mode));
}

function listening(
  family: number,
  address: Uint8Array,
  beforeBind?: (fd: number) => void,
  afterBind?: () => void,
): number {
  const { socket, bind, listen } = libcNetwork();
  const fd = check(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  try {
    beforeBind?.(fd);
    check(bind(fd, ptr(address), address.length), "bind");
    afterBind?.();
    check(listen(fd, BACKLOG), "listen");
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** False also for what is no socket, or no descriptor. */
export function isListeningUnix(fd: number): boolean {
  return socketOption(fd, SO_DOMAIN) === AF_UNIX && socketOption(fd, SO_ACCEPTCONN) === 1;
}

function socketOption(fd: number, option: number): number | undefined {
  const value = new Int32Array(1);
  const size = new Uint32Array([value.byteLength]);
  const status = libcNetwork().getsockopt(fd, SOL_SOCKET, option, ptr(value), ptr(size));
  return status === 0 ? value[0] : undefined;
}

/** For a socket that somebody else made: nothing may wait in accept(2). */
export function makeNonBlocking(fd: number): void {
  const flags = check(libc.fcntl(fd, F_GETFL, 0), "fcntl");
  check(libc.fcntl(fd, F_SETFL, flags | SOCK_NONBLOCK), "fcntl");
}
