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
  "Pid",
  "PPid",
  "Tgid",
  "Ngid",
  "NSpid",
  "NStgid",
  "NSpgid",
  "NSsid",
  "Kthread",
  "SigQ",
  "voluntary_ctxt_switches",
  "nonvoluntary_ctxt_switches",
  "VmPeak",
  "VmSize",
  "VmHWM",
  "VmRSS",
  "RssAnon",
  "RssFile",
  "RssShmem",
  "VmData",
  "VmStk",
  "VmExe",
  "VmLib",
  "VmPTE",
  "VmSwap",
];

function answer(text: string): string[] {
  const from = text.indexOf("Name:");
  const to = text.indexOf("== end");
  expect(from).toBeGreaterThanOrEqual(0);
  expect(to).toBeGreaterThan(from);
  return text
    .slice(from, to)
    .split("\n")
    .filter((line) => !OWN_LINES.some((name) => line.startsWith(`${name}:`)));
}

interface Case {
  readonly name: string;
  /** Of the app. */
  readonly flags?: readonly string[];
  /** Of the pod. */
  readonly pod?: readonly string[];
  /** Before the command. */
  readonly globals?: readonly string[];
  readonly app?: App;
  readonly under?: readonly string[];
}

async function start(rkt: Rkt, one: Omit<Case, "name">): Promise<Running & { uuid: string }> {
  const file = `${rkt.work}/uuid`;
  const command = [...(one.globals ?? []), "run", NET, ...(one.pod ?? [])];
  const script = `${ASK} while :; do sleep 0.1; done`;
  const app = [IMAGE, ...(one.flags ?? []), "--", "-c", script];
  const running = rkt.spawn([...command, `--uuid-file-save=${file}`, ...app], {
    under: one.under ?? [],
  });
  await running.until("== end");
  return Object.assign(running, { uuid: readFileSync(file, "utf8") });
}

const CASES: readonly Case[] = [
  { name: "by default" },
  {
    name: "as another user with groups",
    flags: ["--user=1000", "--group=1000", "--supplementary-gids=7,9"],
  },
  { name: "with more capabilities", flags: ["--caps-retain=CAP_SYS_ADMIN,CAP_NET_ADMIN"] },
  {
    name: "without capabilities",
    flags: ["--caps-remove=CAP_CHOWN,CAP_SETUID,CAP_SETGID,CAP_KILL"],
  },
  {
    name: "with no new privileges",
    app: { isolators: [{ name: "os/linux/no-new-privileges", value: true }] },
  },
  { name: "with an OOM score", flags: ["--oom-score-adj=300"] },
  {
    name: "that was started with other limits",
    under: ["prlimit", "--nofile=100:200", "--core=0:0", "--nproc=5000:6000"],
  },
  { name: "with a memory limit", flags: ["--memory=64Mi"] },
  { name: "with a strict filter", flags: ["--seccomp=mode=remove,errno=EPERM,mount,umount2"] },
  { name: "without a filter", globals: ["--insecure-options=seccomp"] },
  { name: "with all capabilities", globals: ["--insecure-options=capabilities"] },
  { name: "with open paths", globals: ["--insecure-options=paths"] },
  { name: "in a user namespace", pod: ["--private-users"] },
  { name: "with a read-only root", flags: ["--readonly-rootfs=true"] },
];

for (const one of CASES) {
  test(`a program that enters is what the app is, ${one.name}`, async () => {
    await using rkt = newRkt();
    await ready(rkt, one.app);
    const running = await start(rkt, one);
    const entered = await rkt.run([
      ...(one.globals ?? []),
      ...["enter", running.uuid, "/bin/sh", "-c", ASK],
    ]);
    expect(entered.stderr).toBe("");
    expect(answer(entered.stdout)).toEqual(answer(running.stdout()));
    running.kill("SIGTERM");
    await running.finished;
  });
}

/** The ids that `rkt enter FLAGS` has in a pod whose app runs with `flags`. */
async function ids(rkt: Rkt, uuid: string, ...flags: readonly string[]): Promise<string> {
  const output = await rkt.ok(["enter", ...flags, uuid, "/bin/id"]);
  return output.trim().replaceAll(/\([^)]*\)/g, "");
}

test("--user and --group name who enters an app that is root", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const { uuid } = await start(rkt, { flags: ["--supplementary-gids=7"] });
  expect(await ids(rkt, uuid)).toBe("uid=0 gid=0 groups=7");
  expect(await ids(rkt, uuid, "--user=1000")).toBe("uid=1000 gid=0 groups=7");
  expect(await ids(rkt, uuid, "--user=1000", "--group=9")).toBe("uid=1000 gid=9 groups=7");
  expect(await ids(rkt, uuid, "--group=/bin")).toStartWith("uid=0 gid=0");
  const status = await rkt.ok(["enter", "--user=1000", uuid, "/bin/cat", "/proc/self/status"]);
  for (const set of ["Inh", "Prm", "Eff", "Amb"])
    expect(status).toContain(`Cap${set}:\t0000000000000000`);
  await rkt.fails(
    ["enter", "--user=nobody-knows", uuid, "/bin/id"],
    'failed to configure user "nobody-knows"',
  );
});

test("--user and --group give nobody more than the app may be", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const plain = await start(rkt, {
    flags: ["--user=1000", "--group=1000", "--supplementary-gids=7"],
  });
  for (const flag of ["--user=root", "--user=1001"]) {
    await rkt.fails(["enter", flag, plain.uuid, "/bin/id"], "enter: cannot enter the app as user");
  }
  await rkt.fails(
    ["enter", "--group=0", plain.uuid, "/bin/id"],
    "enter: cannot enter the app as group",
  );
  expect(await ids(rkt, plain.uuid, "--user=1000", "--group=7")).toBe("uid=1000 gid=7 groups=7");
});

test("an app that is root without CAP_SETUID cannot be entered as another", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const { uuid } = await start(rkt, { flags: ["--caps-remove=CAP_SETUID"] });
  await rkt.fails(["enter", "--user=1000", uuid, "/bin/id"], "CAP_SETUID");
  expect(await ids(rkt, uuid, "--group=9")).toBe("uid=0 gid=9");
});

test("enter ends as its program does, with pipes where there is no terminal", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const { uuid } = await start(rkt, {});
  const sh = (script: string, stdin = "") =>
    rkt.run(["enter", uuid, "/bin/sh", "-c", script], { stdin });
  expect((await sh("exit 7")).status).toBe(7);
  expect((await sh("kill -TERM $$")).status).toBe(143);
  expect((await sh("kill -KILL $$")).status).toBe(137);
  const piped = await sh("cat; echo err >&2; test -t 0 || echo pipe; echo $TERM", "in\n");
  expect(piped.stdout).toBe("in\npipe\nvt100\n");
  expect(piped.stderr).toBe("err\n");
  const passed = await rkt.run(["enter", uuid, "/bin/sh", "-c", "echo $TERM"], {
    env: { TERM: "screen" },
  });
  expect(passed.stdout).toBe("screen\n");
});

test.each([
  ["root", [], []],
  ["another user", ["--user=1000", "--group=1000"], []],
  ["another user of a user namespace", ["--user=1000"], ["--private-users"]],
] as const)("a signal reaches a program that entered as %s", async (_name, flags, pod) => {
  await using rkt = newRkt();
  await ready(rkt);
  const { uuid } = await start(rkt, { flags, pod });
  const script = "trap 'exit 3' TERM; echo there; while :; do sleep 0.1; done";
  const entered = rkt.spawn(["enter", uuid, "/bin/sh", "-c", script], { timeout: 20_000 });
  await entered.until("there");
  entered.kill("SIGTERM");
  expect((await entered.finished).status).toBe(3);
});
