// SPDX-License-Identifier: Apache-2.0
// Commands on the store, killed or failed at every system call that changes something. What is left must be
// what `rkt gc` and `rkt image gc` take away, and the command must work the next time.
import { expect } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { buildAci } from "../support/aci.ts";
import { crashEverywhere } from "../support/crash.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { exists } from "../support/temp.ts";

const test = needs("root", "sandbox", "strace");
const INSECURE = "--insecure-options=image";

function aci(rkt: Rkt): string {
  const path = `${rkt.work}/a.aci`;
  writeFileSync(
    path,
    buildAci({
      files: [
        { name: "a", content: "hello" },
        { name: "d", type: "dir" },
      ],
    }),
  );
  return path;
}

/** What must hold of a store after any crash, once garbage was collected. */
async function expectSound(rkt: Rkt, at: string): Promise<void> {
  const collect = [await rkt.run(["gc", "--grace-period=0s"]), await rkt.run(["image", "gc"])];
  expect({
    at,
    status: collect.map((each) => each.status),
    stderr: collect.map((each) => each.stderr).join(""),
  }).toMatchObject({
    at,
    status: [0, 0],
  });
  expect({ at, left: rkt.leftovers() }).toEqual({ at, left: [] });
  const list = await rkt.run(["image", "list", "--full", "--no-legend", "--fields=id"]);
  expect({ at, status: list.status, stderr: list.stderr }).toEqual({ at, status: 0, stderr: "" });
  const listed = list.stdout
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  for (const id of listed) {
    const verified = await rkt.run(["image", "verify", id]);
    expect({ at, status: verified.status, text: verified.stdout + verified.stderr }).toMatchObject({
      at,
      status: 0,
    });
    expect((await rkt.run(["image", "cat-manifest", id])).status).toBe(0);
  }
  // A blob or manifest without a row in the index would stay for ever.
  for (const kind of ["blob", "imageManifest"]) {
    const dir = `${rkt.data}/cas/${kind}`;
    const files = exists(dir) ? readdirSync(dir, { recursive: true, withFileTypes: true }) : [];
    const names = files.filter((entry) => entry.isFile()).map((entry) => entry.name);
    expect({ at, kind, stray: names.filter((name) => !listed.includes(name)) }).toEqual({
      at,
      kind,
      stray: [],
    });
  }
}

test("fetch may be killed anywhere", async () => {
  await using rkt = newRkt();
  const args = [INSECURE, "fetch", aci(rkt)];
  const killed = await crashEverywhere({
    rkt,
    args,
    check: async (at) => {
      await expectSound(rkt, at);
      expect({ at, again: (await rkt.run(args)).status }).toEqual({ at, again: 0 });
      await expectSound(rkt, `${at}, and again`);
    },
  });
  expect(killed).toBeGreaterThan(5);
});

test("fetch says what failed when any one call fails, and leaves nothing broken", async () => {
  await using rkt = newRkt();
  const args = [INSECURE, "fetch", aci(rkt)];
  await crashEverywhere({
    rkt,
    args,
    fault: "ENOSPC",
    check: async (at) => {
      expect(at).not.toContain("this is a bug");
      await expectSound(rkt, at);
    },
  });
});

test("image rm and image gc may be killed anywhere", async () => {
  await using rkt = newRkt();
  await rkt.ok([INSECURE, "fetch", aci(rkt)]);
  for (const args of [
    ["image", "rm", "example.com/test"],
    ["image", "gc", "--grace-period=0s"],
  ]) {
    const killed = await crashEverywhere({
      rkt,
      args,
      check: async (at) => {
        await expectSound(rkt, at);
        await rkt.ok([INSECURE, "fetch", `${rkt.work}/a.aci`]);
      },
    });
    expect(killed).toBeGreaterThan(0);
  }
});

test("trust may be killed anywhere", async () => {
  await using rkt = newRkt();
  const { newKey } = await import("../support/signing.ts");
  const key = await newKey();
  writeFileSync(`${rkt.work}/key`, key.publicKey);
  const args = [
    "trust",
    "--prefix=example.com/app",
    "--skip-fingerprint-review",
    `${rkt.work}/key`,
  ];
  await crashEverywhere({
    rkt,
    args,
    check: async (at) => {
      // Half a key file would stop every later verification.
      const dir = `${rkt.local}/trustedkeys/prefix.d/example.com/app`;
      const names = exists(dir) ? readdirSync(dir) : [];
      for (const name of names.filter((each) => each === key.fingerprint)) {
        expect({ at, text: await Bun.file(`${dir}/${name}`).text() }).toMatchObject({
          text: expect.stringContaining("END PGP PUBLIC KEY BLOCK"),
        });
      }
      await rkt.ok(args);
    },
  });
});
