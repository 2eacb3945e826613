// SPDX-License-Identifier: Apache-2.0
// An IP address as the kernel takes it. Pure.

/** Of an address that `isIpAddress` takes: 4 or 16 bytes in network order. */
export function addressBytes(address: string): Uint8Array {
  if (!address.includes(":")) return Uint8Array.from(address.split("."), Number);
  const [head = [], tail = []] = address.split("::").map(groupsOf);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (const [i, group] of head.entries()) view.setUint16(2 * i, group);
  for (const [i, group] of tail.entries()) view.setUint16(16 - 2 * (tail.length - i), group);
  return bytes;
}

/** The groups of one side of `::`; an IPv4 address at the end is two of them (RFC 4291 §2.2). */
function groupsOf(side: string): number[] {
  if (side === "") return [];
  return side.split(":").flatMap((group) => {
    if (!group.includes(".")) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}
