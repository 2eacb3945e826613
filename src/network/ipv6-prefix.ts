// SPDX-License-Identifier: Apache-2.0
// The IPv6 prefix that a file of net.d gives to a built-in network, and the addresses in it. Pure.
import { isIPv6 } from "node:net";
import { addressBytes } from "../lib/address-bytes.ts";

export interface Prefix {
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** Undefined: not an address and a length in decimal. */
function split(text: string): Prefix | undefined {
  const [address = "", length = "", ...rest] = text.split("/");
  if (rest.length > 0 || !isIPv6(address) || !/^[1-9]\d{0,2}$/.test(length)) return undefined;
  if (address.includes("%") || Number(length) > 128) return undefined;
  return { bytes: addressBytes(address), length: Number(length) };
}

const SHORTEST = 48;
/** 16 bits are left: a pod's number in default-restricted has as many. */
const LONGEST = 112;

/** The prefix, or why it cannot be one. */
export function parsePrefix(text: string): Prefix | string {
  const prefix = split(text);
  if (prefix === undefined) return 'it is not of the form "fd00:1:2:3::/64"';
  if (prefix.length < SHORTEST || prefix.length > LONGEST) {
    return `its length is not from ${SHORTEST} to ${LONGEST}`;
  }
  const [first = 0] = prefix.bytes;
  // fc00::/7 and 2000::/3: RFC 4193, RFC 4291.
  if (first >> 1 !== 0xfc >> 1 && first >> 5 !== 1) {
    return "it is neither of unique local addresses (fd00::/8) nor of global ones (2000::/3)";
  }
  if (formatPrefix(prefix) !== formatPrefix({ ...prefix, bytes: masked(prefix) })) {
    return `it has bits behind the first ${prefix.length}`;
  }
  return prefix;
}

/** The bytes of the prefix with zeros behind it. */
const masked = ({ bytes, length }: Prefix): Uint8Array =>
  bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, length - 8 * i))) & 0xff);

/** Address number `n` of the prefix, at most 65535. */
export function addressOf({ bytes }: Prefix, n: number): string {
  const address = Uint8Array.from(bytes);
  address[14] = n >> 8;
  address[15] = n & 255;
  return formatAddress(address);
}

function formatAddress(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

export const formatPrefix = ({ bytes, length }: Prefix): string =>
  `${formatAddress(bytes)}/${length}`;

export function overlap(a: Prefix, b: Prefix): boolean {
  const length = Math.min(a.length, b.length);
  const start = (prefix: Prefix) => masked({ ...prefix, length }).join(".");
  return start(a) === start(b);
}
