// SPDX-License-Identifier: Apache-2.0
// Programs that try to get out of their pod, to stay in it, or to take the machine down. Each gets nothing, and the
// pod can be stopped afterwards and leaves nothing (newRkt looks for mounts, processes and cgroups at its end).
import { expect } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt, type RunOptions } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const test = needs("root", "sandbox", "busybox", "overlay", "inspect");
const IMAGE = "example.com/busybox";
const NET = "--net=none";
const INSPECT = readFileSync(join(import.meta.dir, "../../build/inspect"));
const BUSYBOX = readFileSync("/bin/busybox");
const POWER = "--caps-retain=CAP_SYS_ADMIN,CAP_SYS_PTRACE,CAP_KILL,CAP_DAC_OVERRIDE";

async function ready(rkt: Rkt): Promise<void> {
  const files = [
    { name: "inspect", content: INSPECT, mode: 0o755 },
    { name: "suid", type: "dir" },
    { name: "suid/grep", content: BUSYBOX, mode: 0o4755 },
  ];
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci({ files }));
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

/** Without the filter of system calls: what holds then holds by itself. */
const OPEN = "--insecure-options=seccomp";

const sh = (
  rkt: Rkt,
  script: string,
  flags: readonly string[] = [],
  pod: readonly string[] = [],
  globals: readonly string[] = [],
) => rkt.run([...globals, "run", NET, ...pod, IMAGE, ...flags, "--", "-c", script]);

/** A pod whose app runs `script`, which says "ready" and must not end by itself. */
async function start(
  rkt: Rkt,
  script: string,
  flags: readonly string[] = [],
  options: RunOptions = {},
  globals: readonly string[] = [],
) {
  const file = `${rkt.work}/uuid`;
  const app = [IMAGE, ...flags, "--", "-c", script];
  const running = rkt.spawn([...globals, "run", NET, `--uuid-file-save=${file}`, ...app], options);
  await running.until("ready");
  return Object.assign(running, { uuid: readFileSync(file, "utf8") });
}

/** What nothing in a pod may change. */
function host(): unknown {
  return {
    corePattern: readFileSync("/proc/sys/kernel/core_pattern", "utf8"),
    hostname: readFileSync("/proc/sys/kernel/hostname", "utf8"),
    mounts: readFileSync("/proc/self/mountinfo", "utf8").split("\n").length,
    shm: readdirSync("/dev/shm"),
    busybox: statSync("/bin/busybox").mtimeMs,
  };
}

test("a fork bomb can be stopped", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  // Of a user of its own, so that the test's machine keeps its processes whatever happens.
  const pod = await start(
    rkt,
    "bomb() { bomb & bomb & wait; }; echo ready; bomb",
    ["--user=54321", "--group=54321"],
    {
      under: ["prlimit", "--nproc=200:200"],
    },
  );
  await pod.until(/fork/, "stderr");
  await rkt.ok(["stop", "--force", pod.uuid]);
  await pod.finished;
});

test("a flood of descriptors ends at the app's limit, and the pod can be entered and stopped", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const pod = await start(rkt, "exec /inspect hoard -- out ready -- sleep", [], {
    under: ["prlimit", "--nofile=500:500"],
  });
  expect(pod.stdout()).toContain("hoarded 497\n");
  expect(await rkt.ok(["enter", pod.uuid, "/bin/echo", "in"])).toBe("in\n");
  await rkt.ok(["stop", pod.uuid]);
  await pod.finished;
});

test("PID 1 of the pod can be neither killed, stopped nor traced from inside", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const pod = await start(
    rkt,
    "for s in KILL STOP TERM INT HUP QUIT SEGV USR1; do kill -$s 1; done; grep State /proc/1/status; echo ready; while :; do sleep 0.1; done",
    [POWER],
    {},
    [OPEN],
  );
  expect(pod.stdout()).not.toMatch(/State:\s+[TtZX]/);
  expect(await rkt.ok(["enter", pod.uuid, "/bin/echo", "in"])).toBe("in\n");
  await rkt.ok(["stop", pod.uuid]);
  await pod.finished;
});

test("an app that ignores SIGTERM is killed in the end", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const pod = await start(rkt, "trap '' TERM INT HUP; echo ready; while :; do sleep 0.1; done");
  await rkt.ok(["stop", "--force", pod.uuid]);
  expect((await pod.finished).status).toBe(137);
});

test("an app that mounts over /proc stops no one from looking, entering and stopping", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const before = host();
  const pod = await start(
    rkt,
    "mount -t tmpfs tmpfs /proc && mkdir -p /proc/self/attr && echo x > /proc/self/oom_score_adj; echo ready; while :; do sleep 0.1; done",
    ["--caps-retain=CAP_SYS_ADMIN"],
    {},
    [OPEN],
  );
  expect(await rkt.ok(["enter", pod.uuid, "/bin/sh", "-c", "ls /proc"])).toBe("self\n");
  expect(await rkt.ok(["status", pod.uuid])).toContain("state=running");
  await rkt.ok(["stop", pod.uuid]);
  await pod.finished;
  expect(host()).toEqual(before);
});

test("no kernel parameter, device or cgroup file of the host can be written", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const before = host();
  const script = `
    for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/sys/vm/drop_caches; do
      (echo '|/inspect' > $file) 2> /dev/null && echo "wrote $file"
    done
    find / -xdev -name 'cgroup.*' ! -path '/proc/*' 2> /dev/null; find /sys -type f -name '*release_agent*' -o -name tasks 2> /dev/null |
      while read file; do (echo 0 > "$file") 2> /dev/null && echo "wrote $file"; done
    for flags in remount,rw remount,bind,rw; do
      mount -o $flags /proc/sys 2> /dev/null && echo "remounted"
      mount -o $flags /sys 2> /dev/null && echo "remounted"
    done
    unshare -U true 2> /dev/null && echo "unshared"
    unshare -m true 2> /dev/null && echo "unshared"
    mknod /disk b 8 0 2> /dev/null && (cat /disk > /dev/null) 2> /dev/null && echo "read a disk"
    echo end`;
  const plain = await sh(rkt, script);
  expect(plain.stdout).toBe("end\n");
  expect(host()).toEqual(before);
});

test("in a user namespace not even CAP_SYS_ADMIN changes a parameter of the kernel", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const before = host();
  const script = `
    exec 2> /dev/null
    mount -o remount,bind,rw /proc/sys; umount /proc/sys
    mkdir /p && mount -t proc proc /p
    for root in /proc /p; do
      (test -e $root/sys/kernel/core_pattern && echo '|/inspect' > $root/sys/kernel/core_pattern) && echo "wrote a core pattern"
    done
    echo end`;
  const result = await sh(
    rkt,
    script,
    ["--caps-retain=CAP_SYS_ADMIN"],
    ["--private-users"],
    [OPEN],
  );
  expect(result.stdout).toBe("end\n");
  expect(host()).toEqual(before);
});

test("no process of ours can be read, followed or traced, with all the power of a pod", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const script = `
    for name in root cwd; do
      ls /proc/1/$name/ 2> /dev/null | grep -x -e etc -e home -e var && echo "saw the host through $name"
    done
    for fd in $(ls /proc/1/fd 2> /dev/null); do
      case $(readlink /proc/1/fd/$fd) in /*) echo "PID 1 holds $(readlink /proc/1/fd/$fd)";; esac
    done
    (echo x > /proc/1/exe) 2> /dev/null && echo "wrote our program"
    (echo x > /proc/1/mem) 2> /dev/null && echo "wrote our memory"
    for fd in /proc/self/fd/*; do
      case $(readlink $fd) in ""|pipe:*|socket:*|/dev/null|/proc/*) ;; *) echo "inherited $(readlink $fd)";; esac
    done
    echo end`;
  const result = await sh(rkt, script, [POWER], [], [OPEN]);
  expect(result.stdout.replaceAll("PID 1 holds /dev/null\n", "")).toBe("end\n");
});

test("a program with the set-user-ID bit gets no more than the app's bounding set", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const result = await sh(rkt, "/suid/grep -E 'CapPrm|CapBnd' /proc/self/status", [
    "--user=1000",
    "--caps-retain=CAP_CHOWN",
  ]);
  for (const line of result.stdout.trim().split("\n")) expect(line).toMatch(/:\s+(0{16}|0{15}1)$/);
});

test("/dev/shm is the pod's own and counts as its memory", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const before = host();
  const result = await sh(
    rkt,
    "dd if=/dev/zero of=/dev/shm/full bs=1M count=256 2> /dev/null; echo $?",
    ["--memory=32Mi"],
  );
  expect(result.stdout).not.toBe("0\n");
  expect(host()).toEqual(before);
});

test("control characters that a name brings reach no terminal", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const pod = await start(rkt, "echo ready; while :; do sleep 0.1; done");
  const name = "/bin/\u001b[31mred\u0007";
  const entered = await rkt.run(["enter", pod.uuid, name]);
  expect(entered.status).toBe(203);
  const run = await rkt.run(["run", NET, IMAGE, `--exec=${name}`]);
  expect(run.status).not.toBe(0);
  for (const { stderr } of [entered, run]) expect(stderr).not.toMatch(/[\u0007\u001b]/);
});

test("a gigabyte of output costs the pod no memory and its log no disk", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const pod = rkt.spawn(
    [
      "run",
      NET,
      `--uuid-file-save=${rkt.work}/uuid`,
      IMAGE,
      "--",
      "-c",
      "/inspect flood 1073741824 > /dev/stdout; echo flooded >&2; sleep 1000",
    ],
    {
      under: ["sh", "-c", 'exec "$@" > /dev/null', "sh"],
    },
  );
  await pod.until("flooded", "stderr");
  const uuid = readFileSync(`${rkt.work}/uuid`, "utf8");
  const dir = join(rkt.data, "pods/run", uuid);
  const supervisor = readFileSync(join(dir, "ppid"), "utf8").trim();
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${supervisor}/status`, "utf8"))?.[1];
  expect(Number(peak)).toBeLessThan(4096);
  const logs = readdirSync(join(dir, "logs")).map((name) => statSync(join(dir, "logs", name)).size);
  expect(logs.reduce((sum, size) => sum + size, 0)).toBeLessThan(64 * 1024 * 1024);
  await rkt.ok(["stop", "--force", uuid]);
  await pod.finished;
});

test("an image that swaps /dev/null and /dev/console has its kernel paths masked all the same", async () => {
  await using rkt = newRkt();
  const link = (name: string, to: string) => ({ name, type: "symlink", link: to });
  const files = [
    link("dev/null", "/proc/sys/kernel/core_pattern"),
    link("dev/console", "/proc/sys/kernel/core_pattern"),
    link("dev/pts", "/proc/sys"),
  ];
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci({ files }));
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
  const before = host();
  const script = `
    test -c /dev/null && test ! -L /dev/null && echo "a device"
    test -L /dev/pts || echo "a directory"
    for file in kcore keys timer_list; do
      test ! -e /proc/$file || test -z "$(head -c 1 /proc/$file 2> /dev/null)" || echo "read $file"
    done
    (echo x > /proc/sys/kernel/core_pattern) 2> /dev/null && echo "wrote a core pattern"
    (echo x > /dev/console) 2> /dev/null
    echo end`;
  expect((await sh(rkt, script)).stdout).toBe("a device\na directory\nend\n");
  expect(host()).toEqual(before);
});
