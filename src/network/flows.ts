// SPDX-License-Identifier: Apache-2.0
// UDP flows that the kernel tracks (nf_conntrack). Where a flow leads is decided with its first packet, and one that goes on
// never ends: without this, who talked to a port of a pod that is gone would go on talking to its address, also when
// another pod has that. TCP needs none of it: a connection ends with its pod.
import { addressBytes } from "../lib/address-bytes.ts";
import { isErrno } from "../lib/errors.ts";
import { NETLINK_NETFILTER, type NetlinkRequest, NetlinkSocket } from "../sys/netlink.ts";
import { ANY6, type Forwarding } from "./ports.ts";

// linux/netfilter/nfnetlink_conntrack.h
const CT_GET = (1 << 8) | 1;
const CT_DELETE = (1 << 8) | 2;
const NLM_F_DUMP = 0x300;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_DST = 4;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_DST_PORT = 3;
const AF_INET = 2;
const AF_INET6 = 10;
const UDP = 17;
/** Bits of an attribute's type that are no part of it: nested, network order. */
const TYPE = 0x3fff;
type Family = typeof AF_INET | typeof AF_INET6;
/** struct nfgenmsg: family, version, resource. */
const generic = (family: Family): Uint8Array => Uint8Array.of(family, 0, 0, 0);
const GENERIC_LENGTH = 4;
const familyOf = ({ hostIP }: Forwarding): Family => (hostIP.includes(":") ? AF_INET6 : AF_INET);

const request = (name: string, type: number, flags: number, body: Uint8Array): NetlinkRequest => ({
  name,
  type,
  flags,
  body,
});

/** The first attribute of a type, header included; undefined when there is none that is whole. */
function attributeOf(bytes: Uint8Array, wanted: number): Uint8Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) return undefined;
    if ((view.getUint16(at + 2, true) & TYPE) === wanted) return bytes.subarray(at, at + length);
    at += (length + 3) & ~3;
  }
  return undefined;
}

const payloadOf = (bytes: Uint8Array | undefined, ...path: readonly number[]): Uint8Array =>
  path.reduce<Uint8Array>(
    (inner, type) => attributeOf(inner, type)?.subarray(4) ?? new Uint8Array(0),
    bytes ?? new Uint8Array(0),
  );

/** `tuple`: CTA_TUPLE_ORIG, as a packet of the flow looks before it is led elsewhere. */
function leadsBy(tuple: Uint8Array, port: Forwarding): boolean {
  const { hostIP, hostPort } = port;
  const inner = tuple.subarray(4);
  const [protocol] = payloadOf(inner, CTA_TUPLE_PROTO, CTA_PROTO_NUM);
  const [high = 0, low = 0] = payloadOf(inner, CTA_TUPLE_PROTO, CTA_PROTO_DST_PORT);
  if (protocol !== UDP || high * 256 + low !== hostPort) return false;
  if (hostIP === "0.0.0.0" || hostIP === ANY6) return true;
  const type = familyOf(port) === AF_INET ? CTA_IP_V4_DST : CTA_IP_V6_DST;
  return payloadOf(inner, CTA_TUPLE_IP, type).join(".") === addressBytes(hostIP).join(".");
}

/** Forgets the flows to ports that lead to another pod from now on, or to none. After the rules are changed. */
export function forgetFlows(ports: readonly Forwarding[]): void {
  const udp = ports.filter(({ protocol }) => protocol === "udp");
  for (const family of [AF_INET, AF_INET6] as const) {
    const those = udp.filter((port) => familyOf(port) === family);
    if (those.length > 0) forgetFlowsOf(family, those);
  }
}

function forgetFlowsOf(family: Family, ports: readonly Forwarding[]): void {
  using socket = new NetlinkSocket(NETLINK_NETFILTER);
  for (const tuple of tuplesOf(socket, family)) {
    if (!ports.some((port) => leadsBy(tuple, port))) continue;
    try {
      socket.request([
        request("forget a flow", CT_DELETE, 0, Buffer.concat([generic(family), padded(tuple)])),
      ]);
    } catch (error) {
      // It ended meanwhile.
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }
}

function tuplesOf(socket: NetlinkSocket, family: Family): Uint8Array[] {
  try {
    return socket
      .request([request("list flows", CT_GET, NLM_F_DUMP, generic(family))])
      .map(({ body }) => attributeOf(body.subarray(GENERIC_LENGTH), CTA_TUPLE_ORIG))
      .filter((tuple) => tuple !== undefined);
  } catch (error) {
    // The kernel tracks nothing, or cannot be asked about it (nf_conntrack_netlink).
    if (isErrno(error, "EINVAL", "EOPNOTSUPP")) return [];
    throw error;
  }
}

function padded(attribute: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((attribute.length + 3) & ~3);
  bytes.set(attribute);
  return bytes;
}
