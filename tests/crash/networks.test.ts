// SPDX-License-Identifier: Apache-2.0
// `rkt run` on a network, killed or failing at each system call about it: after gc no link, address, rule or port is
// left. What else a run does is in pods.test.ts.
import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { networkState } from "../support/network-state.ts";
import type { Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { disturb, type Operation } from "./everywhere.ts";

const test = needs("root", "sandbox", "strace", "busybox", "overlay", "firewall");
const NAME = "example.com/busybox";
const WORDS = [NAME, "--", "-c", "echo works"];
const PORTS = [{ name: "web", protocol: "tcp", port: 8000, count: 1, socketActivated: false }];

/** Stations work side by side on one machine: each has its own port. */
const ports = new Map<Rkt, number>();

function portOf(rkt: Rkt): number {
  const port = ports.get(rkt) ?? 8100 + ports.size;
  ports.set(rkt, port);
  return port;
}

async function fetch(rkt: Rkt): Promise<void> {
  writeFileSync(`${rkt.work}/a.aci`, busyboxAci({ app: { ports: PORTS } }));
  await fetchSigned(rkt, `${rkt.work}/a.aci`);
}

const args = (rkt: Rkt) => ["run", "--net=default", `--port=web:${portOf(rkt)}`, ...WORDS];

const RUN: Operation = {
  name: "run on a network",
  before: fetch,
  args,
  async after(rkt) {
    expect(await rkt.ok(args(rkt))).toBe("works\n");
  },
  // All the rest is as without a network.
  leaveOut:
    /^(?!.*(\/run\/rkt|\/var\/lib\/cni|UUID\/net|net-info|ip_forward|route_localnet|setns|unshare))/,
};

async function leavesNothing(faults: Parameters<typeof disturb>[1]): Promise<void> {
  const before = networkState();
  expect(await disturb(RUN, faults)).toEqual([]);
  expect(networkState()).toBe(before);
}

test("a run on a network may be killed anywhere", () => leavesNothing(["KILL"]));

test("a run on a network says what failed and leaves nothing", () =>
  leavesNothing(["ENOSPC", "EIO"]));
