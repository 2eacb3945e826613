// SPDX-License-Identifier: Apache-2.0
// What rtnetlink(7) is asked for a pair of links, their addresses and routes, as requests. Pure. The numbers are those
// of linux/if_link.h, linux/if_addr.h and linux/rtnetlink.h.
import { addressBytes } from "../lib/address-bytes.ts";
import type { NetlinkRequest } from "../sys/netlink.ts";

const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;
const AF_INET = 2;
const AF_INET6 = 10;
const IFF_UP = 1;

const encoder = new TextEncoder();

const concat = (parts: readonly Uint8Array[]): Uint8Array => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};

const u32 = (n: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, n, true);
  return bytes;
};

const text = (value: string): Uint8Array => encoder.encode(`${value}\0`);

/** An attribute: length, type, payload, and zeros to the next multiple of four. */
export function attribute(type: number, ...payload: readonly Uint8Array[]): Uint8Array {
  const content = concat(payload);
  const bytes = new Uint8Array((content.length + 7) & ~3);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, content.length + 4, true);
  view.setUint16(2, type, true);
  bytes.set(content, 4);
  return bytes;
}

/** struct ifinfomsg. */
function link(index: number, flags: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, flags, true);
  return bytes;
}

export const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_NEWROUTE = 24;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;

/** Two links: `name` here, which is up, and `peer` in the network namespace `netnsFd`, which is not. */
export function makeVeth(name: string, peer: string, netnsFd: number): NetlinkRequest {
  const other = attribute(
    VETH_INFO_PEER,
    // Not up: the kernel opens a link only when it knows the other one.
    link(0, 0),
    attribute(IFLA_IFNAME, text(peer)),
    attribute(IFLA_NET_NS_FD, u32(netnsFd)),
  );
  const info = [
    attribute(IFLA_INFO_KIND, encoder.encode("veth")),
    attribute(IFLA_INFO_DATA, other),
  ];
  return {
    name: "make a pair of links",
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    body: concat([
      link(0, IFF_UP),
      attribute(IFLA_IFNAME, text(name)),
      attribute(IFLA_LINKINFO, ...info),
    ]),
  };
}

export const setLinkUp = (index: number): NetlinkRequest => ({
  name: "bring up a link",
  type: RTM_NEWLINK,
  flags: 0,
  body: link(index, IFF_UP),
});

export const getLink = (name: string): NetlinkRequest => ({
  name: `look up the link ${name}`,
  type: RTM_GETLINK,
  flags: 0,
  body: concat([link(0, 0), attribute(IFLA_IFNAME, text(name))]),
});

export const deleteLink = (name: string): NetlinkRequest => ({
  name: `delete the link ${name}`,
  type: RTM_DELLINK,
  flags: 0,
  body: concat([link(0, 0), attribute(IFLA_IFNAME, text(name))]),
});

/** A word about a link (`ip link` shows it), at most 255 bytes; the kernel takes it only for a link that is there. */
export const setAlias = (name: string, alias: string): NetlinkRequest => ({
  name: `mark the link ${name}`,
  type: RTM_NEWLINK,
  flags: 0,
  body: concat([
    link(0, 0),
    attribute(IFLA_IFNAME, text(name)),
    attribute(IFLA_IFALIAS, encoder.encode(alias)),
  ]),
});

/** The alias in the answer to `getLink`; "" without one. */
export function linkAlias(body: Uint8Array): string {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  for (let at = 16; at + 4 <= body.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4) break;
    if (view.getUint16(at + 2, true) === IFLA_IFALIAS) {
      return new TextDecoder().decode(body.subarray(at + 4, at + length)).replace(/\0.*$/s, "");
    }
    at += (length + 3) & ~3;
  }
  return "";
}

/** The index in the answer to `getLink`. */
export const linkIndex = (body: Uint8Array): number =>
  new DataView(body.buffer, body.byteOffset).getInt32(4, true);

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
/** IPv6 only: nobody is asked whether he has the address, which takes a second. */
const IFA_F_NODAD = 0x02;
/** No route to the subnet comes with the address. */
const IFA_F_NOPREFIXROUTE = 0x200;

export function addAddress(index: number, address: string, prefix: number): NetlinkRequest {
  const head = new Uint8Array(8);
  const six = address.includes(":");
  head[0] = six ? AF_INET6 : AF_INET;
  head[1] = prefix;
  new DataView(head.buffer).setUint32(4, index, true);
  return {
    name: `add the address ${address}`,
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    body: concat([
      head,
      attribute(IFA_LOCAL, addressBytes(address)),
      attribute(IFA_ADDRESS, addressBytes(address)),
      attribute(IFA_FLAGS, u32(IFA_F_NOPREFIXROUTE | (six ? IFA_F_NODAD : 0))),
    ]),
  };
}

const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PREFSRC = 7;

export interface Route {
  readonly index: number;
  readonly destination: string;
  readonly prefix: number;
  /** Undefined: on the link itself. */
  readonly gateway?: string | undefined;
  readonly source?: string | undefined;
}

export function addRoute({ index, destination, prefix, gateway, source }: Route): NetlinkRequest {
  const head = new Uint8Array(12);
  const family = destination.includes(":") ? AF_INET6 : AF_INET;
  head.set([family, prefix, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT]);
  head[6] = gateway === undefined ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  head[7] = RTN_UNICAST;
  const parts: Uint8Array[] = [head];
  if (prefix > 0) parts.push(attribute(RTA_DST, addressBytes(destination)));
  if (gateway !== undefined) parts.push(attribute(RTA_GATEWAY, addressBytes(gateway)));
  if (source !== undefined) parts.push(attribute(RTA_PREFSRC, addressBytes(source)));
  parts.push(attribute(RTA_OIF, u32(index)));
  return {
    name: `add the route to ${destination}/${prefix}`,
    type: RTM_NEWROUTE,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    body: concat(parts),
  };
}

const NFT_MSG_GETTABLE = (10 << 8) | 1;
const NFTA_TABLE_NAME = 1;

/** Is there an nftables table of this name for IPv4, or IPv6? ENOENT says no. */
export const getTable = (name: string, family: 4 | 6): NetlinkRequest => ({
  name: `look up the table ${name}`,
  type: NFT_MSG_GETTABLE,
  flags: 0,
  // struct nfgenmsg: family, version, resource
  body: concat([
    Uint8Array.of(family === 4 ? AF_INET : AF_INET6, 0, 0, 0),
    attribute(NFTA_TABLE_NAME, text(name)),
  ]),
});

const NFT_MSG_GETGEN = (10 << 8) | 16;

/** The number of the last change of any nftables rule of the network namespace. */
export const getGeneration = (): NetlinkRequest => ({
  name: "look up the generation of rules",
  type: NFT_MSG_GETGEN,
  flags: 0,
  body: new Uint8Array(4),
});

/** The number in the answer: its first attribute, behind struct nfgenmsg, in network order. */
export const generationIn = (body: Uint8Array): number =>
  new DataView(body.buffer, body.byteOffset).getUint32(8);
