// SPDX-License-Identifier: Apache-2.0
// IPv4 addresses as text and number. Pure.

export const toNumber = (address: string): number =>
  address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);

export const fromNumber = (n: number): string =>
  [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255].join(".");

/** "255.255.255.0" for 24. */
export const netmask = (prefix: number): string =>
  fromNumber(prefix === 0 ? 0 : (0xffff_ffff << (32 - prefix)) >>> 0);
