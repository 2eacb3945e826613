// SPDX-License-Identifier: Apache-2.0
// What isolators and flags limit: memory, CPU, disks, kernel parameters; what cannot be enforced, and --strict.
// A machine whose controllers are on cgroup v1; the texts for v2 are in src/cgroup/layout.test.ts.

import { expect } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { isErrno } from "../../src/lib/errors.ts";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt, type Running } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { exists } from "../support/temp.ts";

const test = needs("root", "sandbox", "busybox", "overlay", "cgroup2", "controllersV1");
const IMAGE = "example.com/busybox";
const NET = "--net=none";
/** Takes and touches N MiB. */
const take = (mebibytes: number): string =>
  `busybox dd if=/dev/zero of=/dev/null bs=${mebibytes}M count=1 2>/dev/null`;

type Isolators = readonly { readonly name: string; readonly value: unknown }[];

async function ready(rkt: Rkt, isolators: Isolators = [], name = IMAGE): Promise<string> {
  const file = `${rkt.work}/${name.replace("/", "-")}.aci`;
  writeFileSync(file, busyboxAci({ name, app: { isolators } }));
  return fetchSigned(rkt, file, "--full");
}

function sh(rkt: Rkt, script: string, flags: readonly string[], ...more: string[]) {
  return rkt.run(["run", NET, ...more, IMAGE, ...flags, "--", "-c", script]);
}

interface Pod extends Running {
  readonly uuid: string;
  /** Content of a file of the pod's cgroup of a v1 controller; `app` "" for the pod itself. */
  cgroup(controller: string, file: string, app?: string): string;
  /** The v1 controllers in which anything was made for the pod. */
  controllers(): string[];
}

async function runningPod(rkt: Rkt, words: readonly string[]): Promise<Pod> {
  const file = `${rkt.work}/uuid`;
  const pod = rkt.spawn(["run", NET, `--uuid-file-save=${file}`, ...words]);
  await pod.until("up");
  const uuid = readFileSync(file, "utf8");
  await rkt.ok(["status", "--wait-ready=true", uuid]);
  const made = (): string[] => {
    const noted = `${rkt.data}/pods/run/${uuid}/cgroups`;
    return exists(noted) ? readFileSync(noted, "utf8").trim().split("\n") : [];
  };
  const of = (directory: string): string => directory.split("/")[4] ?? "";
  return Object.assign(pod, {
    uuid,
    cgroup(controller: string, name: string, app = "busybox") {
      const directory = made().find(
        (path) =>
          of(path) === controller &&
          (app === "" ? path.endsWith(".scope") : path.endsWith(`/${app}`)),
      );
      return readFileSync(`${directory}/${name}`, "utf8").trim();
    },
    controllers: () => [...new Set(made().map(of))].sort(),
  });
}

const UP = "echo up; while :; do busybox sleep 0.1; done";

test("a memory bomb is killed, said to be, and nothing is left", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const file = `${rkt.work}/uuid`;
  const bomb = await sh(rkt, `exec ${take(64)}`, ["--memory=16Mi"], `--uuid-file-save=${file}`);
  expect(bomb.stderr).toContain(
    'app "busybox" was killed: it ran out of memory, its limit is 16Mi',
  );
  expect(bomb.status).toBe(137);
  const uuid = readFileSync(file, "utf8");
  const status = await rkt.ok(["status", uuid]);
  expect(status).toContain("app-busybox=137\noom-kills-busybox=1\n");
  const json = JSON.parse(await rkt.ok(["status", uuid, "--format=json"]));
  expect(json.apps[0]).toMatchObject({ exit_code: 137, oom_kills: 1 });
  // A part of an app may be killed, and the app go on.
  const part = await sh(rkt, `${take(64)}; exit 0`, ["--memory=16Mi"]);
  expect(part.stderr).toContain("ran out of memory, its limit is 16Mi: processes killed: 1");
  expect(part.status).toBe(0);
  // Killed by somebody else: not said.
  const other = await sh(rkt, "kill -9 $$", ["--memory=16Mi"]);
  expect(other.stderr).not.toContain("memory");
  expect(other.status).toBe(137);
  const usual = await rkt.ok(["status", uuid]);
  expect(usual).toContain("oom-kills");
});

test("4 MiB are enough for a shell, and what fits into a limit is not killed", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const small = await sh(rkt, "echo works", ["--memory=4Mi"]);
  expect(small).toMatchObject({ stdout: "works\n", status: 0 });
  expect((await sh(rkt, take(32), ["--memory=64Mi"])).status).toBe(0);
});

test("limits are in the kernel's files, each app in a cgroup of its own", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using pod = await runningPod(rkt, [
    IMAGE,
    "--name=first",
    "--memory=48Mi",
    "--cpu=250m",
    "--cpu-shares=512",
    "--",
    "-c",
    UP,
    "---",
    IMAGE,
    "--name=second",
    "--cpu=5m",
    "--",
    "-c",
    UP,
  ]);
  expect(pod.controllers()).toEqual(["cpu", "memory"]);
  expect(pod.cgroup("memory", "memory.limit_in_bytes", "first")).toBe(String(48 << 20));
  expect(pod.cgroup("cpu", "cpu.cfs_period_us", "first")).toBe("100000");
  expect(pod.cgroup("cpu", "cpu.cfs_quota_us", "first")).toBe("25000");
  expect(pod.cgroup("cpu", "cpu.shares", "first")).toBe("512");
  // Less than a millisecond in the usual period: the period becomes longer.
  expect(pod.cgroup("cpu", "cpu.cfs_period_us", "second")).toBe("1000000");
  expect(pod.cgroup("cpu", "cpu.cfs_quota_us", "second")).toBe("5000");
  expect(pod.cgroup("cpu", "cpu.shares", "second")).toBe("1024");
  const main = readFileSync(
    `${rkt.data}/pods/run/${pod.uuid}/stage1/rootfs/rkt/pids/first`,
    "utf8",
  ).trim();
  expect(pod.cgroup("memory", "cgroup.procs", "first").split("\n")).toContain(main);
  expect(pod.cgroup("cpu", "cgroup.procs", "first").split("\n")).toContain(main);
  // A program that is entered is bound by the same.
  const entered = await rkt.ok(["enter", "--app=first", pod.uuid, "/bin/cat", "/proc/self/cgroup"]);
  const inside = entered.split("\n").map((line) => line.split(":"));
  expect(inside.find(([, controller]) => controller === "memory")?.[2]).toBe("/");
  expect(inside.find(([, controller]) => controller === "cpu")?.[2]).toBe("/");
});

test("a pod without limits touches no cgroup v1", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using pod = await runningPod(rkt, [IMAGE, "--", "-c", UP]);
  expect(pod.controllers()).toEqual([]);
});

test("the flags win over the image", async () => {
  await using rkt = newRkt();
  const quantity = (limit: string) => ({ default: false, request: limit, limit });
  await ready(rkt, [
    { name: "resource/memory", value: quantity("16Mi") },
    { name: "resource/cpu", value: quantity("2") },
    { name: "os/linux/cpu-shares", value: 100 },
  ]);
  expect((await sh(rkt, take(64), [])).status).toBe(137);
  await using pod = await runningPod(rkt, [
    IMAGE,
    "--memory=99Mi",
    "--cpu-shares=7",
    "--",
    "-c",
    UP,
  ]);
  expect(pod.cgroup("memory", "memory.limit_in_bytes")).toBe(String(99 << 20));
  expect(pod.cgroup("cpu", "cpu.cfs_quota_us")).toBe("200000");
  expect(pod.cgroup("cpu", "cpu.shares")).toBe("7");
});

/** The manifest of a pod of one app with isolators of both. */
async function podManifest(rkt: Rkt, pod: Isolators, app: Isolators, script = UP): Promise<string> {
  const id = await ready(rkt);
  const file = `${rkt.work}/pod.json`;
  const manifest = {
    acVersion: "0.8.11",
    acKind: "PodManifest",
    apps: [
      {
        name: "busybox",
        image: { id },
        app: { exec: ["/bin/sh", "-c", script], user: "0", group: "0", isolators: app },
      },
    ],
    isolators: pod,
  };
  writeFileSync(file, JSON.stringify(manifest));
  return `--pod-manifest=${file}`;
}

const memory = (limit: string) => ({ name: "resource/memory", value: { default: false, limit } });
const cpu = (limit: string) => ({ name: "resource/cpu", value: { default: false, limit } });

test("the pod's limits bound those of its apps", async () => {
  await using rkt = newRkt();
  const flag = await podManifest(rkt, [memory("16Mi"), cpu("1")], [memory("1Gi"), cpu("4")]);
  await using pod = await runningPod(rkt, [flag]);
  expect(pod.cgroup("memory", "memory.limit_in_bytes", "")).toBe(String(16 << 20));
  expect(pod.cgroup("cpu", "cpu.cfs_quota_us", "")).toBe("100000");
  expect(pod.cgroup("cpu", "cpu.cfs_quota_us")).toBe("100000");
  const bomb = await podManifest(rkt, [memory("16Mi")], [], take(64));
  const result = await rkt.run(["run", NET, bomb]);
  expect(result.stderr).toContain("ran out of memory, its limit is 16Mi");
  expect(result.status).toBe(137);
});

test("disks are limited, all of them", async () => {
  await using rkt = newRkt();
  const limit = (name: string, amount: string) => ({
    name,
    value: { default: true, limit: amount },
  });
  await ready(rkt, [limit("resource/block-bandwidth", "10M"), limit("resource/block-iops", "500")]);
  const disks = readdirSync("/sys/block").filter(
    (name) => readFileSync(`/sys/block/${name}/size`, "utf8").trim() !== "0",
  );
  await using pod = await runningPod(rkt, [IMAGE, "--", "-c", UP]);
  for (const disk of disks) {
    const device = readFileSync(`/sys/block/${disk}/dev`, "utf8").trim();
    for (const direction of ["read", "write"]) {
      const bytes = pod.cgroup("blkio", `blkio.throttle.${direction}_bps_device`);
      expect(bytes.split("\n")).toContain(`${device} 10000000`);
      const operations = pod.cgroup("blkio", `blkio.throttle.${direction}_iops_device`);
      expect(operations.split("\n")).toContain(`${device} 500`);
    }
  }
});

const sysctl = (value: Readonly<Record<string, string>>) => ({ name: "os/unix/sysctl", value });

test("kernel parameters of the pod's namespaces are set, others refused", async () => {
  await using rkt = newRkt();
  const before = readFileSync("/proc/sys/kernel/shmmni", "utf8");
  const flag = await podManifest(
    rkt,
    [
      sysctl({
        "kernel.shmmni": "77",
        "fs.mqueue.msg_max": "9",
        "net.ipv4.ip_forward": "1",
        "net.ipv4.conf.lo.rp_filter": "2",
      }),
    ],
    [],
    "cat /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/lo/rp_filter",
  );
  expect(await rkt.run(["run", NET, flag])).toMatchObject({ stdout: "77\n9\n1\n2\n", status: 0 });
  expect(readFileSync("/proc/sys/kernel/shmmni", "utf8")).toBe(before);
  await rkt.fails(
    ["run", "--net=host", flag],
    'cannot set the sysctl "net.ipv4.ip_forward": the pod uses the host\'s network',
  );
  const refused = [
    "vm.swappiness",
    "kernel.core_pattern",
    "kernel.hostname",
    "net../../kernel/core_pattern",
    "net",
  ];
  for (const name of refused) {
    const wrong = await podManifest(rkt, [sysctl({ [name]: "1" })], []);
    await rkt.fails(["run", NET, wrong], "it belongs to the whole machine");
  }
  const unknown = await podManifest(rkt, [sysctl({ "net.ipv4.no_such_thing": "1" })], []);
  await rkt.fails(["run", NET, unknown], 'cannot set sysctl "net/ipv4/no_such_thing"');
});

const bandwidth = { name: "resource/network-bandwidth", value: { default: true, limit: "1M" } };

test("an isolator that cannot be enforced is named; --strict makes it an error", async () => {
  await using rkt = newRkt();
  await ready(rkt, [bandwidth]);
  const said =
    'app "busybox": the isolator resource/network-bandwidth cannot be enforced: this version does not shape network traffic';
  const run = await sh(rkt, "echo ran", []);
  expect(run).toMatchObject({ stdout: "ran\n", status: 0 });
  expect(run.stderr).toContain(`warning: ${said}`);
  const strict = await rkt.fails(["run", NET, "--strict", IMAGE], said);
  expect(strict.stderr).not.toContain("warning");
  await rkt.fails(["prepare", "--strict", IMAGE], said);
  expect(await rkt.ok(["list", "--no-legend"])).not.toContain("prepared");
  const uuid = (await rkt.ok(["prepare", IMAGE, "--", "-c", "echo later"])).trim();
  await rkt.fails(["run-prepared", NET, "--strict", uuid], said);
  expect(await rkt.ok(["status", uuid])).toContain("state=prepared");
  expect((await rkt.run(["run-prepared", NET, uuid])).stdout).toBe("later\n");
  // What is enforced is no problem.
  await ready(rkt, [], "example.com/other");
  const kept = ["--memory=32Mi", "--cpu=1", "--cpu-shares=100"];
  const result = await rkt.run([
    ...["run", NET, "--strict", "example.com/other"],
    ...[...kept, "--", "-c", "echo strict"],
  ]);
  expect(result).toMatchObject({ stdout: "strict\n", status: 0 });
});

test("a security label without its module is said, and refused by --strict", async () => {
  await using rkt = newRkt();
  const context = { user: "system_u", role: "system_r", type: "container_t", level: "s0" };
  await ready(rkt, [
    { name: "os/linux/selinux-context", value: context },
    { name: "os/linux/apparmor-profile", value: { profile: "rkt-no-such-profile" } },
  ]);
  const run = await sh(rkt, "true", []);
  const modules = exists("/sys/fs/selinux/enforce") || exists("/sys/kernel/security/apparmor");
  if (modules) return;
  expect(run.stderr).toContain("selinux-context cannot be enforced: the kernel has no SELinux");
  expect(run.stderr).toContain("apparmor-profile cannot be enforced: the kernel has no AppArmor");
  await rkt.fails(["run", NET, "--strict", IMAGE], "cannot be enforced");
});

test("limits and sysctls hold in a user namespace", async () => {
  await using rkt = newRkt();
  const settings = { "kernel.shmmni": "77", "fs.mqueue.msg_max": "9", "net.ipv4.ip_forward": "1" };
  const script =
    "cat /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max /proc/sys/net/ipv4/ip_forward";
  const flag = await podManifest(
    rkt,
    [sysctl(settings)],
    [memory("16Mi")],
    `${script}; ${take(64)}`,
  );
  const result = await rkt.run(["run", NET, "--private-users", flag]);
  expect(result.stdout).toBe("77\n9\n1\n");
  expect(result.stderr).toContain("ran out of memory, its limit is 16Mi");
  expect(result.status).toBe(137);
  await using pod = await runningPod(rkt, [
    ...["--private-users", IMAGE],
    ...["--memory=32Mi", "--", "-c", UP],
  ]);
  const entered = await rkt.ok(["enter", pod.uuid, "/bin/cat", "/proc/self/cgroup"]);
  expect(entered).toMatch(/^\d+:memory:\/$/m);
});

test("gc removes the cgroups of a pod whose supervisor was killed", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const pod = await runningPod(rkt, [IMAGE, "--memory=32Mi", "--cpu=1", "--", "-c", UP]);
  const made = readFileSync(`${rkt.data}/pods/run/${pod.uuid}/cgroups`, "utf8").trim().split("\n");
  expect(made.every((directory) => exists(directory))).toBe(true);
  pod.kill("SIGKILL");
  await pod.finished;
  await rkt.ok(["gc", "--grace-period=0s"]);
  expect(made.filter((directory) => exists(directory))).toEqual([]);
});

test("a fork bomb is bounded by its memory, and a stop ends all of it", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const bomb = "echo up; b() { b & b & busybox sleep 1; }; while :; do b; done";
  const words = [IMAGE, "--memory=16Mi", "--cpu=200m", "--", "-c", bomb];
  for (const flags of [["--force"], []]) {
    // The kernel may choose the app's first process, and then the app has ended: once more.
    let isStopped = false;
    for (let tries = 0; tries < 30 && !isStopped; tries++) {
      await using pod = await runningPod(rkt, words);
      const of = (file: string): string | undefined => {
        try {
          return pod.cgroup("memory", file);
        } catch (error) {
          if (isErrno(error, "ENOENT", "ENODEV")) return undefined;
          throw error;
        }
      };
      // Until processes are killed for the memory; together they then owe CPU time for minutes.
      let oom = of("memory.oom_control");
      while (oom !== undefined && !/^oom_kill [1-9]/m.test(oom)) {
        await Bun.sleep(20);
        oom = of("memory.oom_control");
      }
      const most = of("memory.max_usage_in_bytes");
      if (most !== undefined) expect(Number(most)).toBeLessThanOrEqual(16 << 20);
      isStopped = (await rkt.run(["stop", ...flags, pod.uuid])).status === 0;
      await pod.finished;
      await rkt.ok(["gc", "--grace-period=0s"]);
    }
    expect(isStopped).toBe(true);
  }
});

test("a limit below what a program needs kills the app, which is said", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const result = await sh(rkt, "echo ran", ["--memory=4096"]);
  expect(result.stdout).toBe("");
  expect(result.stderr).toContain("ran out of memory, its limit is 4096");
  expect(result.status).toBe(137);
});

test("a pod that cannot start leaves no cgroup", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const failed = await sh(rkt, "", ["--memory=32Mi", "--exec=/bin/none"]);
  expect(failed.status).not.toBe(0);
  await rkt.fails(["run", NET, IMAGE, "--memory=32Mi", "--caps-retain=CAP_NONE"], "CAP_NONE");
  await rkt.ok(["run", NET, "--dry-run", IMAGE, "--memory=32Mi"]);
});
