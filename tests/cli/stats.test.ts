// SPDX-License-Identifier: Apache-2.0
// `rkt stats`: who uses what, while it runs.
import { expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt, type Running } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const test = needs("root", "sandbox", "busybox", "overlay");
const IMAGE = "example.com/busybox";

interface Usage {
  readonly uuid: string;
  readonly app: string;
  readonly cpu_percent: number;
  readonly cpu_seconds: number;
  readonly memory_bytes: number;
  readonly memory_limit_bytes?: number;
  readonly pids: number;
  readonly read_bytes?: number;
  readonly written_bytes?: number;
  readonly sources: { readonly memory: string };
}

async function ready(rkt: Rkt): Promise<void> {
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci());
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

/** Starts a pod with an app for each script and waits until every one has printed "up". */
async function runningPod(
  rkt: Rkt,
  scripts: Readonly<Record<string, string>>,
): Promise<Running & { uuid: string }> {
  const file = `${rkt.work}/uuid`;
  const apps = Object.entries(scripts).flatMap(([name, script], i) => [
    ...(i === 0 ? [] : ["---"]),
    IMAGE,
    `--name=${name}`,
    "--",
    "-c",
    `${script}; echo up-${name}; while :; do sleep 1000; done`,
  ]);
  const pod = rkt.spawn(["run", "--net=none", `--uuid-file-save=${file}`, ...apps]);
  for (const name of Object.keys(scripts)) await pod.until(`up-${name}`);
  return Object.assign(pod, { uuid: readFileSync(file, "utf8").trim() });
}

async function stats(rkt: Rkt, ...args: readonly string[]): Promise<Usage[]> {
  return JSON.parse(await rkt.ok(["stats", "--format=json", ...args])) ?? [];
}

const KEEP = 8 * 1024 * 1024;

test("stats tells the apps of a pod apart", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using pod = await runningPod(rkt, {
    // A shell variable of that size, some processor time, two more processes, one of them an orphan.
    busy: `x=$(busybox head -c ${KEEP} /dev/zero | busybox tr '\\0' x); i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 900 & (sleep 901 &)`,
    idle: "true",
  });
  // The loop's sleep is there a moment after the word.
  let usages = await stats(rkt, pod.uuid);
  while ((usages.find(({ app }) => app === "busy")?.pids ?? 0) < 4) {
    await Bun.sleep(20);
    usages = await stats(rkt, pod.uuid);
  }
  expect(usages.map(({ app }) => app)).toEqual(["busy", "idle"]);
  const [busy, idle] = usages as [Usage, Usage];
  expect(usages.every(({ uuid }) => uuid === pod.uuid)).toBe(true);
  expect(busy.pids).toBe(4);
  expect(idle.pids).toBeLessThanOrEqual(2);
  expect(busy.memory_bytes).toBeGreaterThan(KEEP);
  expect(idle.memory_bytes).toBeGreaterThan(0);
  expect(idle.memory_bytes).toBeLessThan(KEEP);
  expect(busy.cpu_seconds).toBeGreaterThan(idle.cpu_seconds);
  expect(busy.cpu_percent).toBeGreaterThan(0);
  expect(busy.memory_limit_bytes).toBeUndefined();
  const table = (await rkt.ok(["stats"])).trim().split("\n");
  expect(table[0]?.split(/\t+/)).toEqual([
    ...["UUID", "APP", "CPU%", "CPU TIME", "MEMORY", "LIMIT", "PIDS", "READ", "WRITTEN"],
  ]);
  expect(table.slice(1).map((line) => line.split(/\t+/).slice(0, 2))).toEqual([
    [pod.uuid.slice(0, 8), "busy"],
    [pod.uuid.slice(0, 8), "idle"],
  ]);
  await rkt.ok(["stop", "--force", pod.uuid]);
});

test("stats counts what rkt enter runs", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using pod = await runningPod(rkt, { one: "true" });
  await using inside = rkt.spawn([
    "enter",
    pod.uuid,
    "/bin/sh",
    "-c",
    "echo in; sleep 902 & sleep 903 & wait",
  ]);
  await inside.until("in");
  let [usage] = await stats(rkt, pod.uuid);
  while ((usage?.pids ?? 0) < 5) {
    await Bun.sleep(20);
    [usage] = await stats(rkt, pod.uuid);
  }
  expect(usage?.pids).toBe(5);
  await rkt.ok(["stop", "--force", pod.uuid]);
});

needs(
  "root",
  "sandbox",
  "busybox",
  "overlay",
  "controllersV1",
)("stats shows an app's limit, and what the kernel counted for it", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using pod = rkt.spawn([
    ...["run", "--net=none", `--uuid-file-save=${rkt.work}/uuid`, IMAGE, "--memory=32Mi", "--"],
    ...["-c", "echo up; while :; do sleep 1000; done"],
  ]);
  await pod.until("up");
  const uuid = readFileSync(`${rkt.work}/uuid`, "utf8").trim();
  const [usage] = await stats(rkt, uuid);
  expect(usage?.memory_limit_bytes).toBe(32 * 1024 * 1024);
  expect(usage?.memory_bytes).toBeGreaterThan(0);
  expect(usage?.memory_bytes).toBeLessThan(32 * 1024 * 1024);
  expect(usage?.sources.memory).toBe("cgroup");
  await rkt.ok(["stop", "--force", uuid]);
});

test("stats --watch goes on until the pods that it was given have ended", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using pod = await runningPod(rkt, { one: "true" });
  await using watch = rkt.spawn(["stats", "--watch=20ms", "--format=json", pod.uuid]);
  await watch.until(/(.*\n){3}/);
  await rkt.ok(["stop", "--force", pod.uuid]);
  const { stdout, stderr, status } = await watch.finished;
  expect(stderr).toBe("");
  expect(status).toBe(0);
  for (const line of stdout.trim().split("\n")) {
    const list = JSON.parse(line) as Usage[] | null;
    for (const { app } of list ?? []) expect(app).toBe("one");
  }
});

test("stats says what it cannot show", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  expect(await rkt.ok(["stats", "--no-legend"])).toBe("");
  expect(await rkt.ok(["stats", "--format=json"])).toBe("[]\n");
  await rkt.fails(["stats", "01234567"], "01234567");
  await rkt.fails(["stats", "--watch=0s"], "more than zero");
  const uuid = (await rkt.ok(["prepare", IMAGE])).trim();
  await rkt.fails(["stats", uuid], "isn't currently running");
});
