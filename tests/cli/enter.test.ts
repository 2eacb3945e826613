// SPDX-License-Identifier: Apache-2.0
// `rkt enter`: what runs beside an app is in every respect that the kernel shows what the app is.
import { expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt, type Running } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const test = needs("root", "sandbox", "busybox", "overlay");
const IMAGE = "example.com/busybox";
const NET = "--net=none";

type App = NonNullable<Parameters<typeof busyboxAci>[0]>["app"];

async function ready(rkt: Rkt, app: App = {}): Promise<void> {
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci({ app }));
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

/** All that /proc tells of the process that asks: run as the app, and again by `enter`. */
const ASK = `
cat /proc/self/status
for file in cgroup mountinfo limits oom_score_adj uid_map gid_map setgroups timerslack_ns sched coredump_filter personality; do
  case $file in sched) continue;; esac
  echo "== $file"; cat /proc/self/$file 2>&1
done
echo "== attr/current"; cat /proc/self/attr/current 2>&1
for name in cgroup ipc mnt net pid time user uts; do echo "== ns/$name"; readlink /proc/self/ns/$name; done
echo "== root"; readlink /proc/self/root
echo "== umask"; umask
echo "== environment"; env | grep -v -e ^SHLVL= -e ^_= -e ^PWD= -e ^OLDPWD= -e ^TERM= | sort
echo "== descriptors"; ls /proc/self/fd | wc -l
echo "== end"
`;

/** Lines of /proc/self/status that differ between any two processes: names of processes, and counters. */
const OWN_LINES = [
  "Pid", "PPid", "Tgid", "Ngid", "NSpid", "NStgid", "NSpgid", "NSsid", "Kthread",
  "SigQ", "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches",
  "VmPeak", "VmSize", "VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem", "VmData", "VmStk", "VmExe", "VmLib", "VmPTE", "VmSwap",
];

function answer(text: string): string[] {
  const from = text.indexOf("Name:");
  const to = text.indexOf("== end");
  expect(from).toBeGreaterThanOrEqual(0);
  expect(to).toBeGreaterThan(from);
  return text.slice(from, to).split("\n").filter((line) => !OWN_LINES.some((name) => line.startsWith(`${name}:`)));
}

async function pod(rkt: Rkt, flags: readonly string[], globals: readonly string[] = [], under: readonly string[] = []): Promise<Running & { uuid: string }> {
  const file = `${rkt.work}/uuid`;
  const running = rkt.spawn([...globals, "run", NET, `--uuid-file-save=${file}`, IMAGE, ...flags, "--", "-c",
    `${ASK} while :; do sleep 0.1; done`], { under });
  await running.until("== end");
  return Object.assign(running, { uuid: readFileSync(file, "utf8") });
}

const CASES: readonly { readonly name: string; readonly flags: readonly string[]; readonly globals?: readonly string[]; readonly app?: App; readonly under?: readonly string[] }[] = [
  { name: "by default", flags: [] },
  { name: "as another user with groups", flags: ["--user=1000", "--group=1000", "--supplementary-gids=7,9"] },
  { name: "with more capabilities", flags: ["--caps-retain=CAP_SYS_ADMIN,CAP_NET_ADMIN"] },
  { name: "without capabilities", flags: ["--caps-remove=CAP_CHOWN,CAP_SETUID,CAP_SETGID,CAP_KILL"] },
  { name: "with no new privileges", flags: [], app: { isolators: [{ name: "os/linux/no-new-privileges", value: true }] } },
  { name: "with an OOM score", flags: ["--oom-score-adj=300"] },
  { name: "that was started with other limits", flags: [], under: ["prlimit", "--nofile=100:200", "--core=0:0", "--nproc=5000:6000"] },
  { name: "with a memory limit", flags: ["--memory=64Mi"] },
  { name: "with a strict filter", flags: ["--seccomp=mode=remove,errno=EPERM,mount,umount2"] },
  { name: "without a filter", flags: [], globals: ["--insecure-options=seccomp"] },
  { name: "with all capabilities", flags: [], globals: ["--insecure-options=capabilities"] },
  { name: "with open paths", flags: [], globals: ["--insecure-options=paths"] },
  { name: "with a read-only root", flags: ["--readonly-rootfs=true"] },
];

for (const { name, flags, globals, app, under } of CASES) {
  test(`a program that enters is what the app is, ${name}`, async () => {
    await using rkt = newRkt();
    await ready(rkt, app);
    const running = await pod(rkt, flags, globals, under);
    const inside = answer(running.stdout());
    const entered = await rkt.run([...(globals ?? []), "enter", running.uuid, "/bin/sh", "-c", ASK]);
    expect(answer(entered.stdout)).toEqual(inside);
    running.kill("SIGTERM");
    await running.finished;
  });
}
