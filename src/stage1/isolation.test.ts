// SPDX-License-Identifier: Apache-2.0
// What a program in a pod, however many capabilities its manifest gives it, cannot get from our own processes or
// from what the host lends. Each test is an attack that once worked, or a limit that once broke a start.
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cannotRunPods, outcome, TestPod } from "../../tests/payload/run-pod.ts";
import { onTerminal } from "../../tests/support/terminal.ts";
import { makePodCgroup } from "../cgroup/pod-cgroup.ts";

const reason = cannotRunPods();
if (reason !== undefined) console.warn(`stage1 isolation: skipped: ${reason}`);
const podTest = test.skipIf(reason !== undefined);

const CAP_KILL = "0000000000000020";
const retain = (...set: readonly string[]) => [
  { name: "os/linux/capabilities-retain-set", value: { set } },
];

/** Facts one after the other. */
const facts = (...list: readonly (readonly string[])[]): string[] =>
  list.flatMap((fact, i) => (i === 0 ? fact : ["--", ...fact]));

describe("a program that may trace others", () => {
  podTest("finds nothing open in PID 1 that leads out of the pod", async () => {
    using pod = new TestPod();
    const cgroup = makePodCgroup("00000000-0000-4000-8000-000000000004", {
      explain: () => undefined,
      note: () => undefined,
    })?.directory;
    const open = Array.from({ length: 40 }, (_, fd) => ["open", `/proc/1/fd/${fd}`]);
    const { stdout } = await pod.run(
      [{ run: facts(["cat", "/proc/1/comm"], ["ls", "/proc/1/root"], ...open) }],
      { insecure: { capabilities: true }, cgroup },
    );
    expect(stdout).toStartWith("rkt-pod\n");
    // Sockets and signal descriptors cannot be opened by name.
    expect(stdout).toContain("No such device or address");
    expect(stdout).not.toContain("opened");
  });

  podTest("finds PID 1 without power as soon as it runs", async () => {
    for (let i = 0; i < 10; i++) {
      using pod = new TestPod();
      const { stdout } = await pod.run([{ run: ["cat", "/proc/1/status"] }], {
        insecure: { capabilities: true },
      });
      expect(stdout).toContain(`CapPrm:\t${CAP_KILL}\n`);
      expect(stdout).toContain("NoNewPrivs:\t1\n");
    }
  });

  podTest("finds no more power in what waits for the post-stop handler", async () => {
    using pod = new TestPod();
    const { stdout, status } = await pod.run([
      {
        isolators: retain("CAP_SYS_PTRACE"),
        run: facts(["pids"], ["cat", "/proc/2/status"]),
        postStop: ["caps"],
      },
    ]);
    expect(status).toBe(0);
    expect(stdout).toStartWith("pid=3 ppid=2 ");
    const bounding = "CapBnd:\t0000000000080000\n";
    expect(stdout.split(bounding)).toHaveLength(3);
    // KILL, SETGID and SETUID remain: to pass a signal on, and to be root without groups.
    expect(stdout).toContain("CapPrm:\t00000000000800e0\n");
    expect(stdout).toContain("CapPrm:\t0000000000080000\n");
  });
});

podTest("handlers start with umask 022", async () => {
  using pod = new TestPod();
  const { stdout } = await pod.run([
    { run: ["out", "app"], preStart: ["umask"], postStop: ["umask"] },
  ]);
  expect(stdout).toBe("0022\napp\n0022\n");
});

podTest("the caller's session keyring stays outside, of enter too", async () => {
  using pod = new TestPod();
  const plan = pod.plan([{ run: facts(["keyring"], ["sleep"]) }]);
  const child = pod.spawn(plan);
  const entered = (await pod.enter(["/inspect", "keyring"])).stdout;
  child.kill("SIGTERM");
  const app = (await outcome(child)).stdout;
  const ours = (
    await outcome(
      Bun.spawn([join(pod.image, "inspect"), "keyring"], { stdout: "pipe", stderr: "pipe" }),
    )
  ).stdout;
  for (const ring of [entered, app, ours]) expect(ring).toMatch(/^keyring=\d+\n$/);
  expect(new Set([entered, app, ours]).size).toBe(3);
});

podTest("the host's own resolv.conf and hosts cannot be written", async () => {
  using pod = new TestPod();
  const { stdout } = await pod.run(
    [{ run: facts(["open", "/etc/resolv.conf", "w"], ["open", "/etc/hosts", "w"]) }],
    {
      files: { resolvConf: "/etc/resolv.conf", hosts: { path: "/etc/hosts", whenMissing: false } },
    },
  );
  expect(stdout).toBe("error: open: Read-only file system\n".repeat(2));
});

podTest("a low limit of open files is enough", async () => {
  using pod = new TestPod();
  const words = pod.words(pod.plan([{ run: ["limits"] }]));
  const { stderr, status } = await outcome(
    Bun.spawn(["sh", "-c", 'ulimit -n 20; exec "$@"', "sh", ...words], {
      stdout: "pipe",
      stderr: "pipe",
    }),
  );
  expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
});

podTest("a root that is a symbolic link is refused", async () => {
  using pod = new TestPod();
  const plan = pod.plan([{ rootfs: "directory", run: ["ls", "/"] }]);
  const link = join(pod.base, "link");
  symlinkSync("/", link);
  const ops = plan.ops.map((op) => (op.kind === "bindRoot" ? { ...op, sourcePath: link } : op));
  const result = await outcome(pod.spawn({ ...plan, ops }));
  expect(result).toEqual({
    stdout: "",
    stderr: `run: cannot open root "${link}": not a directory\n`,
    status: 254,
  });
});

podTest("a volume on /proc is refused: it would get the OOM score", async () => {
  using pod = new TestPod();
  const volume = join(pod.base, "proc");
  mkdirSync(join(volume, "self"), { recursive: true });
  writeFileSync(join(volume, "self/oom_score_adj"), "");
  const result = await pod.run(
    [
      {
        isolators: [{ name: "os/linux/oom-score-adj", value: 7 }],
        mounts: [{ volume: "p", path: "/proc" }],
        run: ["out", "x"],
      },
    ],
    { volumes: [{ kind: "host", name: "p", source: volume }] },
  );
  expect(result.stderr).toBe(`run: cannot mount volume "p" at "/proc": it lies in /proc\n`);
  expect(result.status).toBe(254);
  expect(readFileSync(join(volume, "self/oom_score_adj"), "utf8")).toBe("");
});

podTest("a start that fails before the pod is made removes its cgroup", async () => {
  using pod = new TestPod();
  const cgroup = makePodCgroup("00000000-0000-4000-8000-000000000005", {
    explain: () => undefined,
    note: () => undefined,
  })?.directory;
  if (cgroup === undefined) return;
  writeFileSync(join(pod.dir, "logs"), "in the way");
  const result = await pod.run([{ run: ["out", "x"] }], { cgroup });
  expect(result.status).toBe(254);
  expect(() => readFileSync(join(cgroup, "cgroup.procs"))).toThrow("ENOENT");
});

podTest("a caller's terminal is not passed on by enter when stdin is none", async () => {
  using pod = new TestPod();
  const child = pod.spawn(pod.plan([{ run: ["sleep"] }]));
  const words = await pod.enterWords(["/inspect", "fds", "--", "err", "said", "--", "exit", "3"]);
  const terminal = onTerminal(["sh", "-c", 'exec "$@" </dev/null', "sh", ...words]);
  // Two pipes: what comes through one may stand in the middle of what comes through the other.
  await terminal.until("said");
  await terminal.until("2 pipe:");
  expect(await terminal.end()).toBe(3);
  expect(terminal.seen()).toContain("1 pipe:");
  child.kill("SIGKILL");
  await child.exited;
});

podTest("a reader that takes nothing does not keep a pod that was told to stop", async () => {
  using pod = new TestPod();
  const words = pod.words(pod.plan([{ run: ["flood", "1000000"] }], { graceMs: 200 }));
  // The pipe's other end is held by a process that never reads.
  const child = Bun.spawn(["sh", "-c", '"$@" | { read -r _ <&3; }', "sh", ...words], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const supervisor = await stop(pod);
  while (existsSync(`/proc/${supervisor}/exe`)) await Bun.sleep(5);
  child.kill("SIGKILL");
  await child.exited;
});

/** TERM to the supervisor of a pod that is not our child. */
async function stop(pod: TestPod): Promise<string> {
  const parentOf = (pid: string) =>
    /\nPPid:\t(\d+)\n/.exec(readFileSync(`/proc/${pid.trim()}/status`, "utf8"))?.[1] ?? "";
  await pod.wait("stage1/rootfs/rkt/supervisor-status");
  const supervisor = parentOf(await pod.wait("pid"));
  process.kill(Number(supervisor), "SIGTERM");
  return supervisor;
}
