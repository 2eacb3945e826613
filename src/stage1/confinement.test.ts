// SPDX-License-Identifier: Apache-2.0
// Seccomp filters as stage1 installs them: when, for whom, with how little a filter may leave, and what stage1's own
// processes keep. What each call gets is seccomp/seccomp.test.ts; from a user's side: tests/cli/seccomp.test.ts.
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cannotRunPods, outcome, TestPod } from "../../tests/payload/run-pod.ts";
import { seccompIsolator } from "../appc/index.ts";
import { compileIsolators } from "./seccomp/compile.ts";
import { type SeccompFilter, thisArchitecture } from "./seccomp/filter.ts";
import { NEEDED_CALLS } from "./seccomp/needs.ts";

const reason = cannotRunPods();
if (reason !== undefined) console.warn(`stage1 confinement: skipped: ${reason}`);
const podTest = test.skipIf(reason !== undefined);

function retain(set: readonly string[], errno = ""): SeccompFilter {
  const { filter } = compileIsolators([seccompIsolator("retain", set, errno)], thisArchitecture());
  if (filter === undefined) throw new Error("no filter");
  return filter;
}

/** What a static program calls to start and to print. */
const STATIC = ["arch_prctl", "set_tid_address", "write", "writev", "ioctl", "read", "brk"];
const PRINT = [...STATIC, "open", "openat", "readv", "close", "mmap", "munmap", "fstat"];

describe("a filter that leaves stage1 what it needs", () => {
  const filter = retain([...NEEDED_CALLS, ...PRINT]);
  // Exactly what is promised: a call that is missing in the list kills stage1 or the program here.
  const least = retain([...NEEDED_CALLS, "arch_prctl", "set_tid_address"]);

  podTest("is installed without no_new_privs, whoever the app is", async () => {
    expect(filter.early).toBe(true);
    for (const uid of [0, 1000]) {
      using pod = new TestPod();
      const { stdout, stderr } = await pod.run([{ filter, uid, gid: uid, run: ["caps"] }]);
      expect(stderr).toBe("");
      expect(stdout).toContain("NoNewPrivs:\t0\n");
      expect(stdout).toContain("Seccomp:\t2\n");
    }
  });

  podTest("lets handlers, several apps, and the word on a failure through", async () => {
    using pod = new TestPod();
    const app = { filter: least, uid: 7, preStart: ["out", "a"], postStop: ["out", "c"] };
    const apps = [
      { ...app, name: "one", run: ["out", "b"] },
      { ...app, name: "two", run: ["out", "b"] },
    ];
    const result = await pod.run(apps);
    const said = result.stdout.replaceAll(/^.*: /gm, "").trim().split("\n");
    expect(result.stderr).toBe("");
    expect(said.sort()).toEqual(["a", "a", "b", "b", "c", "c"]);
    using other = new TestPod();
    writeFileSync(join(other.image, "script"), "#!/none/sh\n", { mode: 0o755 });
    const missing = await other.run([{ filter: least, run: ["/script"] }]);
    expect(missing.stderr).toBe(
      'run: cannot execute "/script": its interpreter "/none/sh" is missing\n',
    );
    expect(missing.status).toBe(203);
  });

  podTest("is that of what enters, with pipes and with a terminal", async () => {
    using pod = new TestPod();
    const child = pod.spawn(pod.plan([{ filter, uid: 1000, run: ["sleep"] }]));
    const { stdout } = await pod.enter(["/inspect", "caps"]);
    expect(stdout).toContain("Seccomp:\t2\n");
    expect(stdout).toContain("NoNewPrivs:\t0\n");
    const words = await pod.enterWords(["/inspect", "out", "typed"], { terminal: true });
    let seen = "";
    const terminal = { data: (_: unknown, data: Uint8Array) => (seen += Buffer.from(data)) };
    const entered = Bun.spawn(words, { terminal: terminal as never });
    expect(await entered.exited).toBe(0);
    while (!seen.includes("typed")) await Bun.sleep(2);
    entered.terminal?.close();
    child.kill("SIGTERM");
    await child.exited;
  });
});

describe("a filter that leaves next to nothing", () => {
  const filter = retain(PRINT);

  podTest("comes last, with no_new_privs unless root keeps CAP_SYS_ADMIN", async () => {
    expect(filter.early).toBe(false);
    for (const [uid, set, wanted] of [
      [1000, ["CAP_SYS_ADMIN"], 1],
      [0, ["CAP_CHOWN"], 1],
      [0, ["CAP_SYS_ADMIN"], 0],
    ] as const) {
      using pod = new TestPod();
      const isolators = [{ name: "os/linux/capabilities-retain-set", value: { set } }];
      const { stdout, status } = await pod.run([{ filter, uid, isolators, run: ["caps"] }]);
      expect(stdout).toContain(`NoNewPrivs:\t${wanted}\n`);
      expect(stdout).toContain("Seccomp:\t2\n");
      expect(status).toBe(0);
    }
  });

  podTest("kills for what it does not name, and gives the errno when there is one", async () => {
    using pod = new TestPod();
    const killed = await pod.run([{ filter, run: ["pids"] }]);
    expect(killed.status).toBe(128 + 31);
    using other = new TestPod();
    const errno = retain(PRINT, "EXDEV");
    const { stdout } = await other.run([{ filter: errno, run: ["mknod", "/x", "1", "3"] }]);
    expect(stdout).toBe("error: mknod: Cross-device link\n");
  });

  podTest("does not swallow why a program cannot be executed", async () => {
    for (const [content, mode, why] of [
      ["#!/none/sh\n", 0o755, 'its interpreter "/none/sh" is missing'],
      ["text", 0o755, "it is neither an ELF program nor a script with #!"],
      ["text", 0o644, "it is not executable"],
      [undefined, 0, "no such file or directory"],
    ] as const) {
      using pod = new TestPod();
      if (content !== undefined) writeFileSync(join(pod.image, "p"), content, { mode });
      const result = await pod.run([{ filter, run: ["/p"] }]);
      expect(result.stderr).toBe(`run: cannot execute "/p": ${why}\n`);
      expect(result.status).toBe(203);
    }
  });
});

podTest("what enters an app without a filter has none, unless one may still come", async () => {
  for (const [calls, wanted] of [
    [[...NEEDED_CALLS, ...PRINT], 0],
    [PRINT, 2],
  ] as const) {
    using pod = new TestPod();
    const apps = [{ filter: retain(calls), run: ["sleep"] }];
    const child = pod.spawn(pod.plan(apps, { insecure: { seccomp: true } }));
    expect((await pod.enter(["/inspect", "caps"])).stdout).toContain(`Seccomp:\t${wanted}\n`);
    child.kill("SIGTERM");
    await child.exited;
  }
});

podTest(
  "the supervisor, PID 1 and enter's relay are filtered and cannot gain anything",
  async () => {
    using pod = new TestPod();
    const child = pod.spawn(pod.plan([{ run: ["cat", "/proc/1/status", "--", "sleep"] }]));
    const words = await pod.enterWords(["/inspect", "out", "in", "--", "sleep"]);
    const entered = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const reader = entered.stdout.getReader();
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("in\n");
    const confined = async (pid: number): Promise<void> => {
      const read = (): string => readFileSync(`/proc/${pid}/status`, "utf8");
      // The relay gives its power up while the program starts.
      while (!/\nSeccomp:\t2\n/.test(read())) await Bun.sleep(2);
      expect(read()).toContain("NoNewPrivs:\t1\n");
      expect(read()).toContain("CapEff:\t0000000000000000\n");
    };
    await confined(child.pid);
    await confined(entered.pid);
    entered.kill("SIGKILL");
    child.kill("SIGTERM");
    const { stdout, stderr } = await outcome(child);
    expect(stderr).toBe("");
    expect(stdout).toContain("Seccomp:\t2\n");
    expect(stdout).toContain("Name:\trkt-pod\n");
  },
);
