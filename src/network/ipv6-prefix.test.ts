// SPDX-License-Identifier: Apache-2.0
// Prefixes of built-in networks, the addresses in them, and the rules for them.
import { describe, expect, test } from "bun:test";
import { addressOf, formatPrefix, overlap, type Prefix, parsePrefix } from "./ipv6-prefix.ts";
import { iptablesRules6, nftRules6 } from "./ipv6-rules.ts";
import type { Forwarding } from "./ports.ts";

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (typeof parsed === "string") throw new Error(`${text}: ${parsed}`);
  return parsed;
}

test("a prefix is shown in its shortest form, and has addresses", () => {
  expect(formatPrefix(prefix("FD00:0:0::/48"))).toBe("fd00::/48");
  expect(addressOf(prefix("fd00:1:2:3::/64"), 5)).toBe("fd00:1:2:3::5");
  expect(addressOf(prefix("2001:db8::/112"), 65534)).toBe("2001:db8::fffe");
  expect(addressOf(prefix("fd00:1:2:3:4:5:6::/112"), 1)).toBe("fd00:1:2:3:4:5:6:1");
  expect(formatPrefix(prefix("fd00:0:0:ff80::/57"))).toBe("fd00:0:0:ff80::/57");
});

test("what is no prefix for pods is said why", () => {
  for (const [text, reason] of [
    ["", "form"],
    ["fd00::", "form"],
    ["fd00::/64/64", "form"],
    ["fd00::/064", "form"],
    ["fd00::%eth0/64", "form"],
    ["172.16.0.0/64", "form"],
    ["fd00::/129", "form"],
    ["fd00::/47", "length"],
    ["fd00::/113", "length"],
    ["fe80::/64", "unique local"],
    ["ff02::/64", "unique local"],
    ["::/64", "unique local"],
    ["::ffff:1.2.3.4/112", "unique local"],
    ["fd00:0:0:0:1::/64", "bits behind"],
    ["fd00:0:0:ffc0::/57", "bits behind"],
  ] as const) {
    expect(`${text}: ${parsePrefix(text)}`).toContain(reason);
  }
});

test("prefixes overlap when one is within the other", () => {
  expect(overlap(prefix("fd00::/48"), prefix("fd00:0:0:1::/64"))).toBe(true);
  expect(overlap(prefix("fd00:0:0:2::/64"), prefix("fd00:0:0:1::/64"))).toBe(false);
  expect(overlap(prefix("fd00:0:0:2::/63"), prefix("fd00:0:0:3::/64"))).toBe(true);
});

describe("rules", () => {
  const base: Forwarding = {
    protocol: "tcp",
    hostIP: "::",
    hostPort: 8080,
    podIP: "fd00:1::2",
    podPort: 80,
    uuid: "u",
    ifName: "eth0",
  };
  const list: Forwarding[] = [base, { ...base, protocol: "udp", hostIP: "fd77::1", podPort: 53 }];
  const prefixes = [
    { network: "default", prefix: "fd00:1::/64", masquerade: true },
    { network: "default-restricted", prefix: "fd00:2::/64", masquerade: false },
  ];

  test("for nft", () => {
    expect(nftRules6(prefixes, list)).toMatchSnapshot();
    expect(nftRules6(prefixes, [])).not.toContain("elements");
  });

  test("for iptables", () => {
    expect(iptablesRules6(prefixes, list)).toMatchSnapshot();
  });
});
