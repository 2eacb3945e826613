// SPDX-License-Identifier: Apache-2.0
// What a pod of a built-in network may not do to its host by its link.
import { expect } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const test = needs("root", "sandbox", "busybox", "overlay", "firewall");
const IMAGE = "example.com/busybox";
const WAIT = "echo up; while :; do busybox sleep 0.1; done";
const IPV6 = "/proc/sys/net/ipv6/conf";

async function ready(rkt: Rkt): Promise<void> {
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci());
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

const ofPods = (names: readonly string[]): string[] =>
  names.filter((name) => name.startsWith("rkt-"));

test("the host neither has an IPv6 address on a pod's link nor takes advertisements of routers from it", async () => {
  if (!existsSync(IPV6)) return console.error("skip: the kernel has no IPv6");
  await using rkt = newRkt();
  await ready(rkt);
  // What a desktop or a small server has: else an advertisement would not count anyway.
  for (const name of ["all", "default"]) writeFileSync(`${IPV6}/${name}/accept_ra`, "1");
  await using pod = rkt.spawn(["run", "--net=default,default-restricted", IMAGE, "--", "-c", WAIT]);
  await pod.until("up\n");
  const links = ofPods(readdirSync(IPV6));
  expect(links.length).toBe(2);
  for (const link of links) {
    expect(readFileSync(`${IPV6}/${link}/disable_ipv6`, "utf8")).toBe("1\n");
  }
  const addresses = readFileSync("/proc/net/if_inet6", "utf8").trim().split("\n");
  expect(ofPods(addresses.map((line) => line.split(/\s+/).at(-1) ?? ""))).toEqual([]);
});
