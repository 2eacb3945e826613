// SPDX-License-Identifier: Apache-2.0
// Commands on images, killed or failing at each system call that changes something.
import { afterAll, expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { buildAci, busyboxAci, compress } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { BUSYBOX, writeImage } from "../support/oci-layout.ts";
import type { Rkt } from "../support/rkt.ts";
import { newKey } from "../support/signing.ts";
import { newSite } from "../support/site.ts";
import { disturb, type Operation } from "./everywhere.ts";

const test = needs("root", "sandbox", "strace", "busybox", "overlay");
const NAME = "example.com/busybox";
const ACI = busyboxAci();
const OTHER = buildAci({ name: "example.com/other", files: [{ name: "a", content: "hello" }] });
const key = await newKey();

const URL = "https://example.com/busybox.aci";
// Only the sandbox has the host name and the port.
const site = process.env["RKT_SANDBOX"] === "1" ? await newSite() : undefined;
if (site !== undefined) {
  const packed = compress(ACI, "gzip");
  site.serve(URL, { body: packed, headers: { etag: '"1"' } });
  site.serve(`${URL}.asc`, { body: await key.sign(packed) });
}
afterAll(() => site?.[Symbol.asyncDispose]());

async function trustAndSign(rkt: Rkt): Promise<void> {
  writeFileSync(`${rkt.work}/key`, key.publicKey);
  writeFileSync(`${rkt.work}/a.aci`, ACI);
  writeFileSync(`${rkt.work}/a.aci.asc`, await key.sign(ACI));
  writeFileSync(`${rkt.work}/other.aci`, OTHER);
  await rkt.ok(["trust", "--prefix=example.com", "--skip-fingerprint-review", `${rkt.work}/key`]);
}

const fetchFile = (rkt: Rkt) => ["fetch", `${rkt.work}/a.aci`];

async function fetchOnce(rkt: Rkt): Promise<void> {
  await trustAndSign(rkt);
  await rkt.ok(fetchFile(rkt));
}

async function fetchAndRun(rkt: Rkt): Promise<void> {
  await rkt.ok(fetchFile(rkt));
  await rkt.ok(["image", "verify", NAME]);
  const output = await rkt.ok(["run", "--net=none", NAME, "--", "-c", "echo works"]);
  expect(output).toBe("works\n");
}

/** Two layers, the second of which takes something away from the first. */
async function archive(rkt: Rkt): Promise<void> {
  const layout = `${rkt.work}/layout`;
  const items = [
    { name: "hello", content: "works\n" },
    { name: "bin/.wh.wc", content: "" },
  ];
  writeImage(layout, { layers: [BUSYBOX, { items }] });
  Bun.spawnSync(["tar", "-C", layout, "-cf", `${rkt.work}/image.tar`, "."]);
}

const OCI_FETCH = ["--insecure-options=image", "fetch"];
const ociArchive = (rkt: Rkt): string => `oci-archive:${rkt.work}/image.tar`;

async function fetchAndRunOci(rkt: Rkt): Promise<void> {
  const key = (await rkt.ok([...OCI_FETCH, "--full", ociArchive(rkt)])).trim();
  await rkt.ok(["image", "verify", key]);
  const run = ["--insecure-options=image", "run", "--net=none", key];
  expect(await rkt.ok([...run, "--", "-c", "cat /hello; ls /bin/wc || true"])).toBe("works\n");
}

const OPERATIONS: readonly Operation[] = [
  { name: "a first fetch of a file", before: trustAndSign, args: fetchFile, after: fetchAndRun },
  {
    name: "a fetch of a compressed image by its URL",
    async before(rkt) {
      await trustAndSign(rkt);
      await rkt.ok(["--insecure-options=image", "fetch", `${rkt.work}/other.aci`]);
    },
    args: () => ["fetch", URL],
    options: { env: site?.env ?? {} },
    async after(rkt) {
      await rkt.ok(["fetch", URL], { env: site?.env ?? {} });
      await fetchAndRun(rkt);
    },
    keepsPartial: true,
    // As with a file.
    leaveOut: /\/cas\/(tree|treestorelocks)\//,
  },
  {
    name: "a fetch of an OCI archive",
    before: archive,
    args: (rkt) => [...OCI_FETCH, ociArchive(rkt)],
    after: fetchAndRunOci,
    // Two layers are unpacked at a time.
    isParallel: true,
    // As with a file.
    leaveOut: /\/cas\/(db|imagelocks|treestorelocks)\//,
  },
  {
    name: "image rm of an OCI image",
    async before(rkt) {
      await archive(rkt);
      await rkt.ok([...OCI_FETCH, ociArchive(rkt)]);
    },
    args: () => ["image", "rm", "local/image"],
    removes: true,
    after: fetchAndRunOci,
  },
  {
    name: "a fetch of an image that is there",
    before: fetchOnce,
    args: fetchFile,
    after: fetchAndRun,
  },
  {
    name: "image rm",
    before: fetchOnce,
    args: () => ["image", "rm", NAME],
    removes: true,
    after: fetchAndRun,
  },
  {
    name: "image gc",
    async before(rkt) {
      await fetchOnce(rkt);
      // Its tree must stay, the other image's must not.
      await rkt.ok(["prepare", NAME, "--", "-c", "true"]);
      await rkt.ok(["--insecure-options=image", "fetch", `${rkt.work}/other.aci`]);
      writeFileSync(`${rkt.data}/cas/tmp/import-0123456789abcdef01234567`, "left by somebody");
    },
    args: () => ["image", "gc", "--grace-period=0s"],
    removes: true,
    after: fetchAndRun,
  },
];

for (const operation of OPERATIONS) {
  test(`${operation.name} may be killed anywhere`, async () => {
    expect(await disturb(operation, ["KILL"])).toEqual([]);
  });
  test(`${operation.name} says what failed and leaves nothing`, async () => {
    expect(await disturb(operation, ["ENOSPC", "EIO"])).toEqual([]);
  });
}
