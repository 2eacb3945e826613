// SPDX-License-Identifier: Apache-2.0
// The processes without power that decompress and unpack layers: what they report, and what is left when one is killed.
import { expect } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { needs } from "../support/needs.ts";
import { BUSYBOX, type OciLayerDescription, writeImage } from "../support/oci-layout.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";

const test = needs("root", "sandbox", "busybox", "overlay");
const ANY = "--insecure-options=image";

/** Long enough at work to be found there. */
const LONG: OciLayerDescription = {
  items: Array.from({ length: 20_000 }, (_, i) => ({ name: `d${i % 100}/f${i}`, content: "x" })),
};

function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return 0;
  }
}

/** The processes that do this job for `rkt`. */
function workers(rkt: number, job: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return words[0] === "rkt-confined" && words[1] === job && parentOf(parentOf(pid)) === rkt;
      } catch {
        return false;
      }
    });
}

async function someWorker(rkt: number, job: string): Promise<number> {
  for (;;) {
    const [pid] = workers(rkt, job);
    if (pid !== undefined) return pid;
    await Bun.sleep(1);
  }
}

function layers(rkt: Rkt): string[] {
  const directory = `${rkt.data}/cas/oci/layer/sha256`;
  return existsSync(directory) ? readdirSync(directory) : [];
}

test("when rkt is killed, whoever unpacks for it ends, and gc removes what it made", async () => {
  await using rkt = newRkt();
  writeImage(`${rkt.work}/img`, { layers: [LONG] });
  const running = rkt.spawn(["fetch", ANY, `oci:${rkt.work}/img`]);
  const pid = await someWorker(running.pid, "extract");
  running.kill("SIGKILL");
  await running.finished;
  while (existsSync(`/proc/${pid}`)) await Bun.sleep(1);
  expect(layers(rkt)).toHaveLength(1);
  expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
  await rkt.ok(["image", "gc", "--grace-period=0s"]);
  expect(layers(rkt)).toEqual([]);
  await rkt.ok(["fetch", ANY, `oci:${rkt.work}/img`]);
});

test("when a worker is killed, the fetch fails, leaves no layer, and can be repeated", async () => {
  await using rkt = newRkt();
  writeImage(`${rkt.work}/img`, { layers: [LONG] });
  for (const job of ["extract", "decompress"]) {
    const running = rkt.spawn(["fetch", ANY, `oci:${rkt.work}/img`]);
    process.kill(await someWorker(running.pid, job), "SIGKILL");
    const { status, stderr } = await running.finished;
    expect([job, status, stderr]).toEqual([
      job,
      254,
      expect.stringContaining("fetch: a process that unpacks a layer ended with status 137"),
    ]);
    expect(layers(rkt)).toEqual([]);
  }
  await rkt.ok(["fetch", ANY, `oci:${rkt.work}/img`]);
});

test("what a worker finds wrong is told in the same sentences as anything else", async () => {
  await using rkt = newRkt();
  const image = `oci:${rkt.work}/img`;
  writeImage(`${rkt.work}/img`, {
    layers: [BUSYBOX, { items: [{ name: "x", type: "link", link: "nowhere" }] }],
  });
  const { stderr } = await rkt.fails(["fetch", ANY, image], /cannot extract "x"/);
  expect(stderr).toContain(
    'fetch: cannot extract "x": target "nowhere" of hard link "x" is not in this layer before it, nor in one below\n',
  );
  const debug = await rkt.run(["fetch", "--debug", ANY, image]);
  expect(debug.stderr).toContain('cannot extract "x"\n');
});

test("nobody runs a worker by accident", () => {
  const run = (argv: readonly string[]) =>
    Bun.spawnSync(["bash", "-c", 'exec -a rkt-confined "$@"', "bash", ...argv]);
  const executable = process.env["RKT_EXECUTABLE"] ?? `${import.meta.dir}/../../dist/rkt`;
  for (const words of [[], ["extract", "none"], ["decompress", "gzip", "1"]]) {
    const { exitCode, stdout, stderr } = run([executable, ...words]);
    expect([exitCode, stdout.toString(), stderr.toString()]).toEqual([
      254,
      "",
      "rkt-confined: not a command: this program is a part of rkt\n",
    ]);
  }
});
