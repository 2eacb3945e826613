// SPDX-License-Identifier: Apache-2.0
// What pods' networks leave on the machine, as text: equal before and after when nothing is left.
const LEASES = "/var/lib/cni/networks";

function command(...argv: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...argv]);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return stdout.toString();
}

/** Links, addresses, routes, rules, leases, ports and mounts. */
export function networkState(): string {
  return [
    // Not whether they have a carrier, nor how many packets went by: other tests' links and rules stay around.
    command("ip", "-o", "link").replace(/ <.*/g, ""),
    command("ip", "-4", "-o", "addr").replace(/valid_lft.*/g, ""),
    // Addresses of links come by themselves, and some time after the link.
    command("ip", "-6", "-o", "addr", "show", "scope", "global").replace(
      / tentative| +valid_lft.*/g,
      "",
    ),
    command("ip", "route"),
    command("ip", "-6", "route").replace(/^fe80::.*\n/gm, ""),
    command(
      "sh",
      "-c",
      "nft list ruleset 2>/dev/null || { iptables-save; ip6tables-save; } | grep RKT || true",
    ),
    command(
      "sh",
      "-c",
      `find ${LEASES} /run/rkt/ports /run/rkt/ipv6 -type f 2>/dev/null | grep -v last_reserved || true`,
    ),
    command("sh", "-c", "grep -v tmpfs /proc/self/mounts"),
  ]
    .join("\n")
    .replace(/ linkdown| counter packets \d+ bytes \d+/g, "");
}
