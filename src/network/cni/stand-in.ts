// SPDX-License-Identifier: Apache-2.0
// A namespace that looks like one that is gone. Plugins that masquerade (bridge, ptp) find the rules to remove by
// the addresses of the pod's interface, and without a namespace leave them on the host for ever; a pod's namespace
// ends with its last process, long before gc.
import { closeSync } from "node:fs";
import { addressBytes } from "../../lib/address-bytes.ts";
import { NETLINK_ROUTE, type NetlinkRequest, NetlinkSocket } from "../../sys/netlink.ts";
import { inNetworkNamespace, makeNetworkNamespace } from "../../sys/network-namespace.ts";
import type { Attachment } from "../driver.ts";
import { attribute, getLink, linkIndex, RTM_NEWLINK } from "../netlink-messages.ts";

export interface StandIn extends Disposable {
  readonly netnsFd: number;
  readonly netnsPath: string;
}

/** The interface is one end of a pair whose other end is beside it: nothing of it is on the host. */
export function makeStandIn(ifName: string, addresses: Attachment["addresses"]): StandIn {
  const fd = makeNetworkNamespace();
  const standIn: StandIn = {
    netnsFd: fd,
    netnsPath: `/proc/${process.pid}/fd/${fd}`,
    [Symbol.dispose]: () => closeSync(fd),
  };
  try {
    inNetworkNamespace(fd, () => {
      using socket = new NetlinkSocket(NETLINK_ROUTE);
      socket.request([makePair(ifName)]);
      const reply = socket.request([getLink(ifName)]).find(({ type }) => type === RTM_NEWLINK);
      if (reply === undefined) throw new Error("the kernel did not answer for a link it made");
      const index = linkIndex(reply.body);
      for (const each of addresses) socket.request([giveAddress(index, each)]);
    });
    return standIn;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

const NLM_F_CREATE_EXCL = 0x600;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const RTM_NEWADDR = 20;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const AF_INET = 2;
const AF_INET6 = 10;

type Address = Attachment["addresses"][number];

function giveAddress(index: number, { address, prefix }: Address): NetlinkRequest {
  const bytes = addressBytes(address);
  // struct ifaddrmsg: family, prefix length, flags, scope, index
  const head = Uint8Array.of(bytes.length === 4 ? AF_INET : AF_INET6, prefix, 0, 0, 0, 0, 0, 0);
  new DataView(head.buffer).setUint32(4, index, true);
  return {
    name: `add the address ${address}`,
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE_EXCL,
    body: Buffer.concat([head, attribute(IFA_LOCAL, bytes), attribute(IFA_ADDRESS, bytes)]),
  };
}

/** A veth(4) pair, down; the kernel names the other end. */
function makePair(ifName: string): NetlinkRequest {
  const kind = attribute(IFLA_INFO_KIND, Buffer.from("veth"));
  return {
    name: "make a pair of links",
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE_EXCL,
    // A struct ifinfomsg of zeros: no family, no index, no flags.
    body: Buffer.concat([
      new Uint8Array(16),
      attribute(IFLA_IFNAME, Buffer.from(`${ifName}\0`)),
      attribute(IFLA_LINKINFO, kind),
    ]),
  };
}
