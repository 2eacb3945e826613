// SPDX-License-Identifier: Apache-2.0
// Many pods after and beside each other leave the machine's links, rules, addresses and mounts as they were.
// RKT_ROUNDS=500 is the long run; CI does fewer.
import { expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { networkState } from "../support/network-state.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const NEEDS = ["root", "sandbox", "busybox", "overlay", "firewall"] as const;
const IMAGE = "example.com/busybox";
const ROUNDS = Number(process.env["RKT_ROUNDS"] ?? 120);
const MINUTES = 60_000;

async function ready(rkt: Rkt): Promise<void> {
  const ports = [{ name: "web", protocol: "tcp", port: 8000, count: 1, socketActivated: false }];
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci({ app: { ports } }));
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

/** Four at a time; `flags` of the round with this number. */
async function rounds(
  rkt: Rkt,
  count: number,
  flags: (round: number) => readonly string[],
): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < count; i = next++) {
      await rkt.ok(["run", ...flags(i), IMAGE, "--exec=/bin/busybox", "--", "true"]);
      // Garbage is collected beside pods that start, as a timer does it.
      if (i % 25 === 24) await rkt.ok(["gc", "--grace-period=0s"]);
    }
  };
  await Promise.all([0, 1, 2, 3].map(worker));
  await rkt.ok(["gc", "--grace-period=0s"]);
}

needs(...NEEDS)(
  `${ROUNDS} rounds on the built-in networks, four at a time`,
  async () => {
    await using rkt = newRkt();
    await ready(rkt);
    const before = networkState();
    await rounds(
      rkt,
      ROUNDS,
      (i) =>
        [
          ["--net=default"],
          ["--net=default", `--port=web:${9000 + i}`],
          ["--net=default,default-restricted"],
          ["--net=default-restricted", `--port=web:127.0.0.1:${9000 + i}`],
        ][i % 4] ?? [],
    );
    expect(networkState()).toBe(before);
  },
  10 * MINUTES,
);

needs(...NEEDS, "cniPlugins")(
  "rounds on a network by plugins, four at a time",
  async () => {
    await using rkt = newRkt();
    await ready(rkt);
    mkdirSync(`${rkt.local}/net.d`);
    const lan = {
      cniVersion: "1.0.0",
      name: "rounds",
      plugins: [
        {
          type: "ptp",
          ipMasq: true,
          ipam: {
            type: "host-local",
            subnet: "10.96.0.0/24",
            dataDir: `${rkt.work}/ipam`,
            routes: [{ dst: "0.0.0.0/0" }],
          },
        },
        { type: "portmap", capabilities: { portMappings: true } },
      ],
    };
    writeFileSync(`${rkt.local}/net.d/10-rounds.conflist`, JSON.stringify(lan));
    // The first round: the plugins leave their own empty chains.
    const round = (i: number) => ["--net=rounds", `--port=web:${9000 + i}`];
    await rounds(rkt, 1, round);
    const before = networkState();
    await rounds(rkt, ROUNDS / 10, round);
    expect(networkState()).toBe(before);
  },
  10 * MINUTES,
);
