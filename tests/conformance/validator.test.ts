// SPDX-License-Identifier: Apache-2.0
// `make conformance`: the App Container specification's own validator, main and sidekick with handlers in one pod, in
// each way in which rkt runs it; and actool, which reads what rkt writes.
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { tempDir } from "../support/temp.ts";
import { actool, buildPrograms, makeImages, type Programs } from "./programs.ts";
import { table, type Verdict, verdict } from "./verdict.ts";

const test = needs("root", "sandbox", "overlay", "firewall", "cniPlugins");
const MAIN = "coreos.com/ace-validator-main";
const SIDEKICK = "coreos.com/ace-validator-sidekick";
/** The validator waits 100 ms for an answer; on a busy machine that is not always enough. */
const TRIES = 3;

const dir = tempDir("rkt-conformance");
const verdicts = new Map<string, Verdict>();
let programs: Programs;
let images: readonly string[];

beforeAll(() => {
  programs = buildPrograms(dir);
  images = makeImages(programs, dir);
});

afterAll(() => {
  if (verdicts.size > 0) console.log(`\n${table(verdicts)}\n`);
  dir[Symbol.dispose]();
});

async function ready(): Promise<Rkt> {
  const rkt = newRkt();
  for (const image of images) await fetchSigned(rkt, image);
  const lan = {
    cniVersion: "1.0.0",
    name: "lan",
    type: "bridge",
    bridge: "ace0",
    isGateway: true,
    ipam: { type: "host-local", ranges: [[{ subnet: "10.94.0.0/24" }]], dataDir: `${rkt.work}/ip` },
  };
  mkdirSync(`${rkt.local}/net.d`, { recursive: true });
  writeFileSync(`${rkt.local}/net.d/10-lan.conf`, JSON.stringify(lan));
  return rkt;
}

/** A directory of the host that is empty, each time. */
function hostVolume(rkt: Rkt): string {
  const source = `${rkt.work}/db-${crypto.randomUUID()}`;
  mkdirSync(source);
  return `--volume=database,kind=host,source=${source}`;
}

const EMPTY = "--volume=database,kind=empty";
const WAYS: Readonly<Record<string, (rkt: Rkt) => string[]>> = {
  default: (rkt) => ["--net=default", hostVolume(rkt)],
  restricted: () => ["--net=default-restricted", "--no-overlay", EMPTY],
  plugins: () => ["--net=lan", EMPTY],
  host: (rkt) => ["--net=host", hostVolume(rkt)],
};

async function validate(rkt: Rkt, way: string, run: () => ReturnType<Rkt["run"]>): Promise<void> {
  await using service = rkt.spawn(["metadata-service"]);
  await service.until("Metadata service running", "stderr");
  for (let attempt = 1; ; attempt++) {
    const { stdout, stderr, status } = await run();
    const found = verdict(stdout, stderr);
    if (found.onlySlow && attempt < TRIES) continue;
    verdicts.set(way, found);
    expect(found.complaints).toEqual([]);
    // Nothing that the images ask for is ignored.
    expect(stderr).toBe("");
    expect(stdout.split("\n").sort().join(" ")).toBe(
      " main OK poststop OK prestart OK sidekick OK",
    );
    expect(status).toBe(0);
    return;
  }
}

for (const [way, flags] of Object.entries(WAYS)) {
  test(`the specification's validator finds nothing wrong: ${way}`, async () => {
    await using rkt = await ready();
    const words = (): string[] => ["--mds-register", "--log-prefix=never", ...flags(rkt)];
    await validate(rkt, way, () => rkt.run(["run", ...words(), MAIN, SIDEKICK]));
  });
}

test("the specification's validator finds nothing wrong: a pod that was prepared", async () => {
  await using rkt = await ready();
  await validate(rkt, "prepared", async () => {
    const uuid = (await rkt.ok(["prepare", hostVolume(rkt), MAIN, SIDEKICK])).trim();
    return rkt.run(["run-prepared", "--mds-register", "--log-prefix=never", uuid]);
  });
});

test("the specification's actool reads the image manifests, images and pod manifests that rkt writes", async () => {
  await using rkt = await ready();
  const uuid = (await rkt.ok(["prepare", EMPTY, MAIN, "--memory=64M", SIDEKICK])).trim();
  const write = (name: string, text: string): string => {
    writeFileSync(`${rkt.work}/${name}`, text);
    return `${rkt.work}/${name}`;
  };
  const pod = write("pod", await rkt.ok(["cat-manifest", uuid]));
  const image = write("image", await rkt.ok(["image", "cat-manifest", MAIN]));
  const exported = `${rkt.work}/exported.aci`;
  await rkt.ok(["image", "export", MAIN, exported]);
  actool(programs, "validate", "--type=manifest", pod, image);
  actool(programs, "validate", "--type=appimage", exported);
  expect(readFileSync(exported)).toEqual(readFileSync(images[0] as string));
});
