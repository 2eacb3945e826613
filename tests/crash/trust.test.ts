// SPDX-License-Identifier: Apache-2.0
// `rkt trust`, killed or failing at each system call that changes something: half a key would stop every
// verification that comes later.
import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { buildAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import type { Rkt } from "../support/rkt.ts";
import { newKey } from "../support/signing.ts";
import { disturb, type Operation } from "./everywhere.ts";

const test = needs("root", "sandbox", "strace");
const ACI = buildAci();
const key = await newKey();
const other = await newKey({ name: "Another Signer" });

const trust = (rkt: Rkt, file: string) => [
  "trust",
  "--prefix=example.com",
  "--skip-fingerprint-review",
  `${rkt.work}/${file}`,
];

const OPERATION: Operation = {
  name: "trust",
  async before(rkt) {
    writeFileSync(`${rkt.work}/key`, key.publicKey);
    writeFileSync(`${rkt.work}/other`, other.publicKey);
    writeFileSync(`${rkt.work}/a.aci`, ACI);
    writeFileSync(`${rkt.work}/a.aci.asc`, await key.sign(ACI));
    await rkt.ok(["list"]);
  },
  args: (rkt) => trust(rkt, "key"),
  async after(rkt) {
    // The directory can be used by whoever comes next, and the key is trusted when its command says so.
    await rkt.ok(trust(rkt, "other"));
    await rkt.ok(trust(rkt, "key"));
    await rkt.ok(["fetch", `${rkt.work}/a.aci`]);
  },
};

test("trust may be killed anywhere", async () => {
  expect(await disturb(OPERATION, ["KILL"])).toEqual([]);
});

test("trust says what failed and leaves nothing", async () => {
  expect(await disturb(OPERATION, ["ENOSPC", "EIO"])).toEqual([]);
});
