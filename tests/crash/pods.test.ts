// SPDX-License-Identifier: Apache-2.0
// Commands on pods, killed or failing at each system call that changes something. What is left is taken away by
// `rkt gc`, and no mount, process or control group is left that it would have to look for.
import { expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import type { Rkt, Running } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { exists } from "../support/temp.ts";
import { disturb, type Operation } from "./everywhere.ts";
import { podsIn } from "./sound.ts";

const test = needs("root", "sandbox", "strace", "busybox", "overlay");
const NAME = "example.com/busybox";
const ACI = busyboxAci();
const WORDS = [NAME, "--", "-c", "echo works"];
const RUN = ["run", "--net=none", ...WORDS];

async function fetch(rkt: Rkt): Promise<void> {
  writeFileSync(`${rkt.work}/a.aci`, ACI);
  await fetchSigned(rkt, `${rkt.work}/a.aci`);
}

async function runs(rkt: Rkt): Promise<void> {
  expect(await rkt.ok(RUN)).toBe("works\n");
}

async function fetchAndPrepare(rkt: Rkt): Promise<void> {
  await fetch(rkt);
  await rkt.ok(["prepare", ...WORDS]);
}

async function fetchAndRun(rkt: Rkt): Promise<void> {
  await fetch(rkt);
  await runs(rkt);
}

function podIn(rkt: Rkt, folder: string): string {
  return basename(podsIn(rkt, folder)[0] ?? "no pod");
}

const running = new WeakMap<Rkt, Running>();

async function startPod(rkt: Rkt): Promise<void> {
  const script = "echo up; while :; do sleep 0.05; done";
  const file = `--uuid-file-save=${rkt.work}/uuid`;
  const pod = rkt.spawn(["run", "--net=none", file, NAME, "--", "-c", script]);
  running.set(rkt, pod);
  await pod.until("up");
}

async function endPod(rkt: Rkt): Promise<void> {
  const pod = running.get(rkt);
  if (pod === undefined) return;
  running.delete(rkt);
  await rkt.ok(["stop", "--force", readFileSync(`${rkt.work}/uuid`, "utf8")]);
  await pod.finished;
}

/** A pod goes on without its log, and the status of `rkt run` is right without the file that says it again. */
const POD_SURVIVES = /UUID\/(logs|stage1\/rootfs\/rkt\/(status|pids))\b|cgroup\/.*SCOPE/;

const OPERATIONS: readonly Operation[] = [
  { name: "prepare", before: fetch, args: () => ["prepare", ...WORDS], after: runs },
  {
    name: "prepare --no-overlay",
    before: fetchAndRun,
    args: () => ["prepare", "--no-overlay", ...WORDS],
    after: runs,
  },
  { name: "run", before: fetch, args: () => RUN, after: runs, survives: POD_SURVIVES },
  {
    name: "run with limits",
    before: fetch,
    args: () => ["run", "--net=none", NAME, "--memory=32Mi", "--cpu=1", ...WORDS.slice(1)],
    after: runs,
    // A limit that cannot be set is a warning without --strict.
    survives: POD_SURVIVES,
    // The rest is as with run.
    leaveOut: /^(?!.*(?:SCOPE|UUID\/cgroups|oom-kills))/,
  },
  {
    name: "run-prepared",
    before: fetchAndPrepare,
    args: (rkt) => ["run-prepared", "--net=none", podIn(rkt, "prepared")],
    after: runs,
    survives: POD_SURVIVES,
    // As with run.
    leaveOut: /UUID\/(logs|stage1\/rootfs\/(dev|rkt|opt))/,
  },
  {
    name: "stop",
    before: fetch,
    each: startPod,
    calm: endPod,
    args: (rkt) => ["stop", `--uuid-file=${rkt.work}/uuid`],
    after: runs,
    removes: true,
  },
  {
    name: "rm",
    before: fetchAndRun,
    args: (rkt) => ["rm", podIn(rkt, "run")],
    after: runs,
    removes: true,
  },
  {
    name: "gc",
    async before(rkt) {
      await fetchAndPrepare(rkt);
      await runs(rkt);
      await rkt.ok(["gc", "--mark-only"]);
      await runs(rkt);
      for (const folder of ["embryo", "prepare"]) {
        // Behind the other in the order of UUIDs, in every run.
        mkdirSync(`${rkt.data}/pods/${folder}/ffffffff-0000-4000-8000-${folder.length}00000000000`);
      }
    },
    args: () => ["gc", "--grace-period=0s", "--expire-prepared=0s"],
    after: runs,
    removes: true,
  },
  {
    name: "export",
    before: fetchAndRun,
    args: (rkt) => ["export", "--overwrite", podIn(rkt, "run"), `${rkt.work}/exported.aci`],
    async after(rkt) {
      const file = `${rkt.work}/exported.aci`;
      if (exists(file)) await fetchSigned(rkt, file);
      await runs(rkt);
    },
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
