// SPDX-License-Identifier: Apache-2.0
// One conversation with the kernel over netlink(7): requests go out in one packet, each is answered. What is in
// them is the caller's business.
import { closeSync } from "node:fs";
import { check, libcNetwork, ptr, SysError } from "./libc.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLMSG_ERROR = 2;
/** The end of a list (NLM_F_DUMP), in place of an acknowledgement. */
const NLMSG_DONE = 3;
const HEADER = 16;

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

export interface NetlinkRequest {
  /** For the error: what the kernel was asked to do. */
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  /** Behind the header; a multiple of four bytes long. */
  readonly body: Uint8Array;
}

export interface NetlinkReply {
  readonly type: number;
  readonly body: Uint8Array;
}

/** Messages in a received packet. Stops at what is not well-formed. */
export function splitMessages(
  packet: Uint8Array,
): { readonly type: number; readonly sequence: number; readonly body: Uint8Array }[] {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const messages = [];
  for (let at = 0; at + HEADER <= packet.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER || at + length > packet.length) break;
    messages.push({
      type: view.getUint16(at + 4, true),
      sequence: view.getUint32(at + 8, true),
      body: packet.subarray(at + HEADER, at + length),
    });
    at += (length + 3) & ~3;
  }
  return messages;
}

/** The requests as one packet; the first has the sequence number `first`. */
export function joinRequests(requests: readonly NetlinkRequest[], first: number): Uint8Array {
  const packet = new Uint8Array(requests.reduce((sum, { body }) => sum + HEADER + body.length, 0));
  const view = new DataView(packet.buffer);
  let at = 0;
  for (const [i, { type, flags, body }] of requests.entries()) {
    view.setUint32(at, HEADER + body.length, true);
    view.setUint16(at + 4, type, true);
    view.setUint16(at + 6, flags | NLM_F_REQUEST | NLM_F_ACK, true);
    view.setUint32(at + 8, first + i, true);
    packet.set(body, at + HEADER);
    at += HEADER + body.length;
  }
  return packet;
}

/** A socket in the network namespace in which it was opened, whichever this process is in later. */
export class NetlinkSocket implements Disposable {
  readonly #fd: number;
  #sequence = 1;

  /** NETLINK_ROUTE or NETLINK_NETFILTER. */
  constructor(protocol: number) {
    this.#fd = check(libcNetwork().socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), "socket");
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  /**
   * Has the kernel do one after the other. Throws the SysError of the first that failed, with its name; those
   * behind it were tried all the same. Returns what came besides the acknowledgements.
   */
  request(requests: readonly NetlinkRequest[]): readonly NetlinkReply[] {
    const first = this.#sequence;
    this.#sequence += requests.length;
    const packet = joinRequests(requests, first);
    check(libcNetwork().send(this.#fd, ptr(packet), packet.length, 0), "send");
    const replies: NetlinkReply[] = [];
    const waiting = new Set(requests.map((_, i) => first + i));
    let failed: { readonly errno: number; readonly name: string } | undefined;
    const buffer = new Uint8Array(32 * 1024);
    while (waiting.size > 0) {
      const length = check(libcNetwork().recv(this.#fd, ptr(buffer), buffer.length, 0), "recv");
      for (const { type, sequence, body } of splitMessages(buffer.slice(0, length))) {
        if (!waiting.has(sequence)) continue;
        if (type !== NLMSG_ERROR && type !== NLMSG_DONE) {
          replies.push({ type, body });
          continue;
        }
        waiting.delete(sequence);
        const errno = -new DataView(body.buffer, body.byteOffset).getInt32(0, true);
        const name = requests[sequence - first]?.name ?? "";
        if (errno !== 0) failed ??= { errno, name };
      }
    }
    if (failed !== undefined) throw SysError.of(failed.errno, failed.name);
    return replies;
  }
}
