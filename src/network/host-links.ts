// SPDX-License-Identifier: Apache-2.0
// The host's ends of pods' links. A name has 15 bytes (netdevice(7)) and a UUID 36, so that names of two pods can be
// the same: whose a link is says its alias, and a pod whose name is taken gets another part of its UUID for one.
import { isErrno } from "../lib/errors.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../sys/netlink.ts";
import { LINK_PREFIX } from "./masquerade.ts";
import {
  deleteLink,
  getLink,
  linkAlias,
  linkIndex,
  makeVeth,
  RTM_NEWLINK,
  setAlias,
} from "./netlink-messages.ts";

interface Owner {
  readonly uuid: string;
  readonly ifName: string;
}

const aliasOf = ({ uuid, ifName }: Owner): string => `rkt:${uuid}:${ifName}`;

/** Four, of 32 bits each. */
function candidates({ uuid, ifName }: Owner): string[] {
  const digits = uuid.replaceAll("-", "");
  const tail = ifName.replace(/^eth/, "-").slice(0, 3);
  return [0, 8, 16, 24].map((at) => `${LINK_PREFIX}${digits.slice(at, at + 8)}${tail}`);
}

interface Link {
  readonly name: string;
  readonly index: number;
  readonly alias: string;
}

export function findLink(socket: NetlinkSocket, name: string): Link | undefined {
  try {
    const reply = socket.request([getLink(name)]).find(({ type }) => type === RTM_NEWLINK);
    if (reply === undefined) return undefined;
    return { name, index: linkIndex(reply.body), alias: linkAlias(reply.body) };
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}

function ownLink(socket: NetlinkSocket, owner: Owner): Link | undefined {
  const alias = aliasOf(owner);
  for (const name of candidates(owner)) {
    const link = findLink(socket, name);
    if (link?.alias === alias) return link;
  }
  return undefined;
}

/** Has the pod a link? The kernel removes it when the pod ends. */
export function hasLink(owner: Owner): boolean {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  return ownLink(socket, owner) !== undefined;
}

/** Makes the pair: the pod's end is in its namespace, ours has the name that is returned. */
export function makeLink(socket: NetlinkSocket, owner: Owner, netnsFd: number): string {
  const names = candidates(owner);
  for (const [i, name] of names.entries()) {
    try {
      socket.request([makeVeth(name, owner.ifName, netnsFd)]);
    } catch (error) {
      if (isErrno(error, "EEXIST") && i + 1 < names.length) continue;
      throw error;
    }
    socket.request([setAlias(name, aliasOf(owner))]);
    return name;
  }
  throw new Error("no name for a link");
}

/** Removes the pod's link, and no other's. */
export function removeLink(owner: Owner): void {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  const link = ownLink(socket, owner);
  if (link === undefined) return;
  try {
    socket.request([deleteLink(link.name)]);
  } catch (error) {
    if (!isErrno(error, "ENODEV")) throw error;
  }
}
