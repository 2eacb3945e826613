// SPDX-License-Identifier: Apache-2.0
// The pure parts of the built-in networks: messages for the kernel, rules, addresses.
import { describe, expect, test } from "bun:test";
import { joinRequests, splitMessages } from "../sys/netlink.ts";
import { fromNumber, netmask, toNumber } from "./ipv4.ts";
import { iptablesRules, nftRules } from "./masquerade.ts";
import { addRoute, attribute, linkIndex, makeVeth } from "./netlink-messages.ts";
import type { Forwarding } from "./ports.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("netlink", () => {
  test("an attribute is padded, its length is not", () => {
    expect(hex(attribute(3, new TextEncoder().encode("ab\0")))).toBe("0700030061620000");
    expect(hex(attribute(4))).toBe("04000400");
  });

  test("requests come apart as they went together", () => {
    const requests = [
      makeVeth("rkt-1", "eth0", 7),
      addRoute({ index: 2, destination: "172.16.28.0", prefix: 24, gateway: "172.16.28.1" }),
    ];
    const messages = splitMessages(joinRequests(requests, 5));
    expect(messages.map(({ sequence }) => sequence)).toEqual([5, 6]);
    expect(messages.map(({ type }) => type)).toEqual([16, 24]);
    expect(messages.map(({ body }) => hex(body))).toEqual(requests.map(({ body }) => hex(body)));
  });

  test("a packet that was cut off, or that lies about its length, ends the list", () => {
    const packet = joinRequests([makeVeth("a", "b", 1)], 1);
    expect(splitMessages(packet.subarray(0, packet.length - 1))).toEqual([]);
    expect(splitMessages(new Uint8Array(64))).toEqual([]);
  });

  test("a route names destination, gateway and link", () => {
    const { body } = addRoute({ index: 3, destination: "0.0.0.0", prefix: 0, gateway: "10.0.0.1" });
    expect(hex(body)).toBe("02000000fe030001000000000800050" + "00a0000010800040003000000");
    expect(linkIndex(Uint8Array.from([0, 0, 0, 0, 9, 0, 0, 0]))).toBe(9);
  });
});

test("addresses are numbers and back", () => {
  expect(fromNumber(toNumber("172.31.255.254"))).toBe("172.31.255.254");
  expect([netmask(24), netmask(16), netmask(32), netmask(0)]).toEqual([
    "255.255.255.0",
    "255.255.0.0",
    "255.255.255.255",
    "0.0.0.0",
  ]);
});

describe("rules", () => {
  const base: Forwarding = {
    protocol: "tcp",
    hostIP: "0.0.0.0",
    hostPort: 8080,
    podIP: "172.16.28.2",
    podPort: 80,
    uuid: "u",
    ifName: "eth0",
  };
  const list: Forwarding[] = [base, { ...base, protocol: "udp", hostIP: "10.0.0.1", podPort: 53 }];

  test("for nft", () => {
    expect(nftRules(list)).toMatchSnapshot();
    expect(nftRules([])).not.toContain("elements");
  });

  test("for iptables", () => {
    expect(iptablesRules(list)).toMatchSnapshot();
  });
});
