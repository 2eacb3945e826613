// SPDX-License-Identifier: Apache-2.0
// Commands on pods, killed at every system call that changes something: afterwards `rkt gc` must bring the
// data directory back to what it was, with no mount, process or control group left.
import { expect } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { crashEverywhere } from "../support/crash.ts";
import { needs } from "../support/needs.ts";
import { newRkt, processesBelow, type Rkt } from "../support/rkt.ts";
import { exists, mountsBelow } from "../support/temp.ts";

const test = needs("root", "sandbox", "strace", "busybox", "overlay");
const IMAGE = "example.com/busybox";

async function ready(rkt: Rkt): Promise<void> {
  writeFileSync(`${rkt.work}/a.aci`, busyboxAci());
  await rkt.ok(["--insecure-options=image", "fetch", `${rkt.work}/a.aci`]);
}

async function expectCollected(rkt: Rkt, at: string): Promise<void> {
  const list = await rkt.run(["list", "--full"]);
  expect({ at, status: list.status, stderr: list.stderr }).toMatchObject({ at, status: 0 });
  expect(list.stderr).not.toContain("this is a bug");
  const gc = await rkt.run(["gc", "--grace-period=0s", "--expire-prepared=0s"]);
  expect({ at, status: gc.status, stderr: gc.stderr }).toMatchObject({ at, status: 0 });
  const left = ["embryo", "prepare", "prepared", "run", "exited-garbage", "garbage"].flatMap(
    (state) =>
      exists(`${rkt.data}/pods/${state}`)
        ? readdirSync(`${rkt.data}/pods/${state}`).map((name) => `${state}/${name}`)
        : [],
  );
  expect({ at, left }).toEqual({ at, left: [] });
  expect({ at, mounts: mountsBelow(rkt.data) }).toEqual({ at, mounts: [] });
  expect({ at, processes: processesBelow(rkt.data) }).toEqual({ at, processes: [] });
}

for (const [what, args, before] of [
  ["prepare", ["prepare", IMAGE, "--", "-c", "true"], []],
  ["prepare --no-overlay", ["prepare", "--no-overlay", IMAGE, "--", "-c", "true"], []],
  ["run", ["run", "--net=none", IMAGE, "--", "-c", "true"], []],
  ["gc", ["gc", "--grace-period=0s"], ["run", "--net=none", IMAGE, "--", "-c", "true"]],
] as const) {
  test(`${what} may be killed anywhere`, async () => {
    await using rkt = newRkt();
    await ready(rkt);
    if (before.length > 0) await rkt.ok(before);
    const killed = await crashEverywhere({
      rkt,
      args,
      places: 25,
      check: (at) => expectCollected(rkt, at),
    });
    expect(killed).toBeGreaterThan(0);
  });
}
