// SPDX-License-Identifier: Apache-2.0
// Real pods: what a program finds inside, how pods end. As root; skipped with a reason elsewhere.
import { describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cannotRunPods, outcome, TestPod } from "../../tests/payload/run-pod.ts";
import { onTerminal } from "../../tests/support/terminal.ts";
import { makePodCgroup } from "../cgroup/pod-cgroup.ts";

const reason = cannotRunPods();
if (reason !== undefined) console.warn(`stage1 pods: skipped: ${reason}`);
const podTest = test.skipIf(reason !== undefined);

for (const rootfs of ["overlay", "directory"] as const) {
  podTest(`a program runs in a root of kind ${rootfs} and its status is the pod's`, async () => {
    using pod = new TestPod();
    const result = await pod.run([
      { rootfs, run: ["out", "hello", "--", "err", "oops", "--", "exit", "7"] },
    ]);
    expect(result).toEqual({ stdout: "hello\n", stderr: "oops\n", status: 7 });
    expect(pod.status()).toBe("7\n");
  });
}

describe("what a program finds", () => {
  podTest("only three descriptors, a fresh session, umask 022, default signals", async () => {
    using pod = new TestPod();
    const { stdout } = await pod.run([
      { run: ["fds", "--", "umask", "--", "signals", "--", "pids", "--", "cwd"] },
    ]);
    expect(stdout.replace(/pipe:\[\d+\]/g, "pipe").replace(/SigQ.*\n/, "")).toBe(
      [
        "0 /dev/null",
        "1 pipe",
        "2 pipe",
        "0022",
        "SigPnd:\t0000000000000000",
        "SigBlk:\t0000000000000000",
        "SigIgn:\t0000000000000000",
        "SigCgt:\t0000000000000000",
        "pid=2 ppid=1 sid=2 pgid=2",
        "/",
        "",
      ].join("\n"),
    );
  });

  podTest("the default capabilities, nothing inheritable or ambient", async () => {
    using pod = new TestPod();
    const { stdout } = await pod.run([{ run: ["caps"] }]);
    expect(stdout).toContain("CapInh:\t0000000000000000\n");
    for (const set of ["CapPrm", "CapEff", "CapBnd"]) {
      expect(stdout).toContain(`${set}:\t00000000a80425fb\n`);
    }
    expect(stdout).toContain("CapAmb:\t0000000000000000\n");
    expect(stdout).toContain("NoNewPrivs:\t0\n");
  });

  podTest(
    "no capability for another user, whose groups are set; and no new privileges",
    async () => {
      using pod = new TestPod();
      const { stdout } = await pod.run([
        {
          uid: 1000,
          gid: 1001,
          groups: [7, 8],
          isolators: [{ name: "os/linux/no-new-privileges", value: true }],
          run: ["ids", "--", "caps", "--", "open", "/dev/stdout", "w"],
        },
      ]);
      expect(stdout).toContain("uid=1000 euid=1000 gid=1001 egid=1001 groups=7,8\n");
      expect(stdout).toContain("CapEff:\t0000000000000000\n");
      expect(stdout).toContain("CapBnd:\t00000000a80425fb\n");
      expect(stdout).toContain("NoNewPrivs:\t1\n");
      expect(stdout).toEndWith("opened\n");
    },
  );

  podTest("retained capabilities only", async () => {
    using pod = new TestPod();
    const isolators = [
      { name: "os/linux/capabilities-retain-set", value: { set: ["CAP_NET_BIND_SERVICE"] } },
    ];
    const { stdout } = await pod.run([{ isolators, run: ["caps"] }]);
    expect(stdout).toContain("CapEff:\t0000000000000400\n");
  });

  podTest("its environment exactly, and its working directory", async () => {
    using pod = new TestPod();
    mkdirSync(join(pod.image, "work"));
    const { stdout } = await pod.run([
      { environment: { A: "1", PATH: "/x" }, workingDirectory: "/work", run: ["env", "--", "cwd"] },
    ]);
    expect(stdout).toBe(
      "A=1\nPATH=/x\nSHELL=/bin/sh\nUSER=root\nLOGNAME=root\nHOME=/root\nAC_APP_NAME=app\ncontainer=rkt\n/work\n",
    );
  });

  podTest("the devices of the specification and nothing of the host's", async () => {
    using pod = new TestPod();
    const { stdout } = await pod.run([
      {
        run: [
          "ls",
          "/dev",
          "--",
          "stat",
          "/dev/null",
          "--",
          "stat",
          "/dev/tty",
          "--",
          "readlink",
          "/dev/ptmx",
          "--",
          "open",
          "/dev/urandom",
          "--",
          "open",
          "/dev/null",
          "w",
        ],
      },
    ]);
    expect(stdout).toBe(
      [
        ..."console fd full mqueue net null ptmx pts random shm stderr stdin stdout tty urandom zero".split(
          " ",
        ),
        "char mode=0666 uid=0 gid=0 size=0 rdev=1:3",
        "char mode=0666 uid=0 gid=0 size=0 rdev=5:0",
        "pts/ptmx",
        "opened",
        "opened",
        "",
      ].join("\n"),
    );
  });

  podTest("that a device it makes cannot be opened", async () => {
    using pod = new TestPod();
    const { stdout } = await pod.run([
      {
        run: [
          "mknod",
          "/disk",
          "1",
          "5",
          "--",
          "mknod",
          "/dev/disk",
          "1",
          "5",
          "--",
          "mknod",
          "/dev/shm/disk",
          "1",
          "5",
        ],
      },
    ]);
    expect(stdout).toBe("error: open: Permission denied\n".repeat(3));
  });

  podTest("kernel paths that are masked or read-only, unless paths are insecure", async () => {
    using pod = new TestPod();
    const run = [
      "open",
      "/proc/kcore",
      "--",
      "ls",
      "/sys/firmware",
      "--",
      "open",
      "/proc/sys/kernel/core_pattern",
      "w",
      "--",
      "open",
      "/proc/sysrq-trigger",
      "w",
      "--",
      "write",
      "/proc/sys/kernel/domainname",
      "x",
    ];
    const { stdout } = await pod.run([{ run }]);
    // An empty masked directory lists nothing; a masked file opens as /dev/null where it exists at all.
    expect(stdout).toContain("error: open: Read-only file system\n");
    expect(stdout).toContain("error: /proc/sys/kernel/domainname: Read-only file system\n");
    using open = new TestPod();
    const insecure = await open.run([{ run: ["open", "/proc/sys/kernel/core_pattern", "w"] }], {
      insecure: { paths: true },
    });
    expect(insecure.stdout).toBe("opened\n");
  });

  podTest(
    "the pod's host name, loopback only, and namespaces that are not the host's",
    async () => {
      using pod = new TestPod();
      const { stdout } = await pod.run(
        [
          {
            run: ["hostname", "--", "cat", "/etc/hostname", "--", "interfaces", "--", "namespaces"],
          },
        ],
        { hostname: "rkt-abc" },
      );
      expect(stdout).toStartWith("rkt-abc\nrkt-abc\n");
      expect(stdout).toContain("lo:");
      expect(stdout).not.toContain("eth0");
      for (const name of ["cgroup", "ipc", "mnt", "net", "pid", "uts"]) {
        const host = (await Bun.$`readlink /proc/self/ns/${name}`.text()).trim();
        expect(stdout).not.toContain(host);
      }
    },
  );

  podTest("the host's network when asked", async () => {
    using pod = new TestPod();
    const { stdout } = await pod.run([{ run: ["namespaces"] }], { network: "host" });
    expect(stdout).toContain((await Bun.$`readlink /proc/self/ns/net`.text()).trim());
  });

  podTest("nothing of the host through PID 1, which runs from no file", async () => {
    using pod = new TestPod();
    const { stdout } = await pod.run([
      {
        run: [
          "ls",
          "/proc/1/root",
          "--",
          "open",
          "/proc/1/fd/3",
          "--",
          "readlink",
          "/proc/1/exe",
          "--",
          "cat",
          "/proc/1/environ",
        ],
      },
    ]);
    expect(stdout).toBe(
      "error: opendir: Permission denied\nerror: open: No such file or directory\nerror: readlink: Permission denied\nerror: /proc/1/environ: Permission denied\n",
    );
  });

  podTest("even an all-powerful program sees no host root through PID 1", async () => {
    using pod = new TestPod();
    const { stdout } = await pod.run([{ run: ["ls", "/proc/1/root"] }], {
      insecure: { capabilities: true },
    });
    expect(stdout).toBe("");
  });

  podTest("a root that is read-only but for its volumes", async () => {
    using pod = new TestPod();
    const { stdout } = await pod.run(
      [
        {
          readOnly: true,
          mounts: [{ volume: "v", path: "/data" }],
          run: [
            "write",
            "/x",
            "1",
            "--",
            "write",
            "/data/x",
            "1",
            "--",
            "write",
            "/dev/shm/x",
            "1",
          ],
        },
      ],
      { volumes: [{ kind: "empty", name: "v", mode: "0700", uid: 5, gid: 6 }] },
    );
    expect(stdout).toBe("error: /x: Read-only file system\nwritten\nwritten\n");
    expect(readdirSync(join(pod.dir, "sharedVolumes/v"))).toEqual(["x"]);
  });

  podTest(
    "volumes: a host directory read-only, a file, an empty one with owner and mode",
    async () => {
      using pod = new TestPod();
      const host = mkdtempSync(join(tmpdir(), "volume-"));
      writeFileSync(join(host, "f"), "from the host\n");
      try {
        const { stdout } = await pod.run(
          [
            {
              mounts: [
                { volume: "dir", path: "/a/b/c" },
                { volume: "file", path: "/etc/conf" },
                { volume: "empty", path: "/var/e" },
              ],
              run: [
                "cat",
                "/a/b/c/f",
                "--",
                "write",
                "/a/b/c/g",
                "x",
                "--",
                "cat",
                "/etc/conf",
                "--",
                "stat",
                "/var/e",
              ],
            },
          ],
          {
            volumes: [
              { kind: "host", name: "dir", source: host, readOnly: true },
              { kind: "host", name: "file", source: join(host, "f") },
              { kind: "empty", name: "empty", mode: "2750", uid: 5, gid: 6 },
            ],
          },
        );
        expect(stdout).toBe(
          "from the host\nerror: /a/b/c/g: Read-only file system\nfrom the host\ndirectory mode=2750 uid=5 gid=6 size=4096 rdev=0:0\n",
        );
      } finally {
        rmSync(host, { recursive: true });
      }
    },
  );
});

describe("a hostile image", () => {
  for (const path of ["dev", "proc", "sys"]) {
    podTest(`cannot redirect /${path} with a symbolic link`, async () => {
      using pod = new TestPod();
      mkdirSync(join(pod.image, "elsewhere"));
      symlinkSync("/elsewhere", join(pod.image, path));
      const result = await pod.run([{ run: ["out", "ran"] }]);
      expect(result.stderr).toMatch(
        /^run: cannot mount \w+ at "\/\w+": a symbolic link is in the way\n$/,
      );
      expect(result).toMatchObject({ stdout: "", status: 254 });
    });
  }

  podTest("cannot lead a volume out of its root", async () => {
    using pod = new TestPod();
    const outside = mkdtempSync(join(tmpdir(), "outside-"));
    const source = mkdtempSync(join(tmpdir(), "source-"));
    try {
      symlinkSync(outside, join(pod.image, "abs"));
      symlinkSync("../../../../../../../../../..", join(pod.image, "up"));
      const result = await pod.run(
        [
          {
            mounts: [
              { volume: "v", path: `/up${outside}/x` },
              { volume: "v", path: "/up/y" },
            ],
            run: ["ls", "/y", "--", "ls", outside],
          },
        ],
        { volumes: [{ kind: "host", name: "v", source }] },
      );
      expect(result).toEqual({ stdout: "x\n", stderr: "", status: 0 });
      expect(readdirSync(outside)).toEqual([]);
    } finally {
      rmSync(outside, { recursive: true });
      rmSync(source, { recursive: true });
    }
  });

  podTest("cannot have the handed-over hosts file written through a dangling link", async () => {
    using pod = new TestPod();
    mkdirSync(join(pod.image, "etc"));
    symlinkSync("/run/nowhere/hosts", join(pod.image, "etc/hosts"));
    writeFileSync(join(pod.dir, "hosts"), "127.0.0.1 localhost\n");
    const { stdout } = await pod.run(
      [{ run: ["cat", "/etc/hosts", "--", "readlink", "/etc/mtab"] }],
      {
        files: { hosts: { path: "hosts", whenMissing: true } },
      },
    );
    expect(stdout).toBe("127.0.0.1 localhost\n../proc/self/mounts\n");
  });
});

describe("a program that cannot be executed", () => {
  const cases: [string, string | Uint8Array | undefined, number, string][] = [
    ["is missing", undefined, 0, 'cannot execute "/prog": no such file or directory'],
    [
      "lacks its interpreter",
      "#!/no/such -e\n",
      0o755,
      'cannot execute "/prog": its interpreter "/no/such" is missing',
    ],
    ["is not executable", "#!/inspect\n", 0o644, 'cannot execute "/prog": it is not executable'],
    [
      "is text",
      "hello",
      0o755,
      'cannot execute "/prog": it is neither an ELF program nor a script with #!',
    ],
  ];
  for (const [what, content, mode, sentence] of cases) {
    podTest(`and ${what} is told so with status 203`, async () => {
      using pod = new TestPod();
      if (content !== undefined) writeFileSync(join(pod.image, "prog"), content, { mode });
      const result = await pod.run([{ run: ["/prog"] }]);
      expect(result).toEqual({ stdout: "", stderr: `run: ${sentence}\n`, status: 203 });
      expect(pod.status()).toBe("203\n");
    });
  }

  podTest("because its ELF interpreter is missing is told which", async () => {
    using pod = new TestPod();
    writeFileSync(join(pod.image, "prog"), await Bun.file("/bin/ls").bytes(), { mode: 0o755 });
    const { stderr } = await pod.run([{ run: ["/prog"] }]);
    expect(stderr).toMatch(
      /^run: cannot execute "\/prog": its ELF interpreter "\/lib.*ld-.*" is missing\n$/,
    );
  });

  podTest("or whose directory is missing: status 254", async () => {
    using pod = new TestPod();
    const result = await pod.run([{ workingDirectory: "/nowhere", run: ["out", "x"] }]);
    expect(result).toEqual({
      stdout: "",
      stderr: 'run: cannot change to working directory "/nowhere": no such file or directory\n',
      status: 254,
    });
  });
});

describe("several apps", () => {
  podTest("share shared memory, not roots; lines carry their app's name", async () => {
    using pod = new TestPod();
    const { stdout, status } = await pod.run([
      {
        name: "one",
        run: ["write", "/dev/shm/x", "1", "--", "write", "/only-one", "1", "--", "sleep", "0.3"],
      },
      { name: "two", run: ["sleep", "0.2", "--", "cat", "/dev/shm/x", "--", "stat", "/only-one"] },
    ]);
    expect(stdout.split("\n").sort().join("\n")).toMatch(
      /^\none\[\d\]: written\none\[\d\]: written\ntwo\[\d\]: 1error: \/only-one: No such file or directory$/,
    );
    expect(status).toBe(1);
  });

  podTest(
    "one that ends with 0 leaves the other running, one that fails ends the pod",
    async () => {
      using pod = new TestPod();
      const result = await pod.run([
        { name: "fine", run: ["exit", "0"] },
        { name: "bad", run: ["sleep", "0.2", "--", "exit", "5"] },
        { name: "long", run: ["await", "15", "--", "exit", "0"] },
      ]);
      expect(result.stdout).toContain("caught 15");
      expect(result.status).toBe(5);
      expect([pod.status("fine"), pod.status("bad"), pod.status("long")]).toEqual([
        "0\n",
        "5\n",
        "0\n",
      ]);
    },
  );

  podTest("none of them starts when one cannot be set up", async () => {
    using pod = new TestPod();
    const result = await pod.run([
      { name: "good", run: ["out", "ran"] },
      { name: "bad", workingDirectory: "/nowhere", run: ["out", "ran"] },
    ]);
    expect(result).toEqual({
      stdout: "",
      stderr:
        'run: app "bad": cannot change to working directory "/nowhere": no such file or directory\n',
      status: 254,
    });
  });

  podTest("one that ignores TERM is killed after the grace period", async () => {
    using pod = new TestPod();
    const result = await pod.run(
      [
        { name: "stubborn", run: ["ignore", "15", "--", "sleep"] },
        { name: "bad", run: ["sleep", "0.2", "--", "exit", "3"] },
      ],
      { graceMs: 100 },
    );
    expect(result.status).toBe(3);
    expect(pod.status("stubborn")).toBe("137\n");
  });
});

describe("signals", () => {
  podTest("TERM stops the pod in order", async () => {
    using pod = new TestPod();
    const child = pod.spawn(pod.plan([{ run: ["await", "15", "--", "exit", "4"] }]));
    await pod.wait("logs/app");
    child.kill("SIGTERM");
    expect(await outcome(child)).toEqual({
      stdout: "awaiting 15\ncaught 15\n",
      stderr: "",
      status: 4,
    });
  });

  podTest("a second one does not wait", async () => {
    using pod = new TestPod();
    const child = pod.spawn(
      pod.plan([{ run: ["ignore", "15", "--", "out", "up", "--", "sleep"] }]),
    );
    await pod.wait("logs/app");
    child.kill("SIGTERM");
    child.kill("SIGINT");
    expect(await child.exited).toBe(137);
    expect(pod.status()).toBe("137\n");
  });

  podTest("KILL of the supervisor leaves nothing running", async () => {
    using pod = new TestPod();
    const child = pod.spawn(pod.plan([{ run: ["daemon", "--", "out", "up", "--", "sleep"] }]));
    await pod.wait("logs/app");
    const pid1 = Number(await pod.wait("pid"));
    child.kill("SIGKILL");
    await child.exited;
    // Gone, or dead and waiting for whoever adopted it.
    const isAlive = async () =>
      / [RSD] /.test(
        await Bun.file(`/proc/${pid1}/stat`)
          .text()
          .catch(() => ""),
      );
    while (await isAlive()) await Bun.sleep(2);
  });

  podTest("an app that dies of one has status 128 and the number", async () => {
    using pod = new TestPod();
    const result = await pod.run([{ run: ["kill", "9"] }]);
    expect(result.status).toBe(137);
  });

  podTest("orphans are reaped, and killed when the apps have ended", async () => {
    using pod = new TestPod();
    const { stdout, status } = await pod.run([
      { run: ["orphans", "20", "--", "sleep", "0.3", "--", "zombies", "--", "daemon"] },
    ]);
    expect({ stdout, status }).toEqual({ stdout: "0\n", status: 0 });
  });
});

describe("event handlers", () => {
  podTest("run before and after the app as root, in its root", async () => {
    using pod = new TestPod();
    const { stdout, status } = await pod.run([
      {
        uid: 1000,
        gid: 1000,
        preStart: ["out", "before", "--", "ids", "--", "write", "/dev/shm/f", "x"],
        run: ["ids", "--", "cat", "/dev/shm/f", "--", "exit", "3"],
        postStop: ["out", "after", "--", "ids", "--", "caps", "--", "exit", "9"],
      },
    ]);
    expect(stdout).toStartWith(
      "before\nuid=0 euid=0 gid=0 egid=0 groups=\nwritten\nuid=1000 euid=1000 gid=1000 egid=1000 groups=\nxafter\nuid=0 euid=0 gid=0 egid=0 groups=\n",
    );
    expect(stdout).toContain("CapEff:\t00000000a80425fb");
    expect(status).toBe(3);
  });

  podTest("a pre-start handler that fails is the app's failure", async () => {
    using pod = new TestPod();
    const result = await pod.run([{ preStart: ["exit", "6"], run: ["out", "ran"] }]);
    expect(result).toEqual({
      stdout: "",
      stderr: 'run: cannot run the pre-start handler "/inspect": it ended with status 6\n',
      status: 6,
    });
  });

  podTest("a stop reaches the app through its handlers' parent", async () => {
    using pod = new TestPod();
    const child = pod.spawn(pod.plan([{ run: ["await", "15"], postStop: ["out", "after"] }]));
    await pod.wait("logs/app");
    child.kill("SIGTERM");
    expect((await outcome(child)).stdout).toBe("awaiting 15\ncaught 15\nafter\n");
  });
});

describe("output", () => {
  podTest("arrives whole, and in the log with time and stream", async () => {
    using pod = new TestPod();
    const { stdout } = await pod.run([{ run: ["out", "one", "--", "err", "two"] }]);
    expect(stdout).toBe("one\n");
    // A program may write a line in two parts; the log says so, and loses nothing.
    const texts = new Map<string, string>();
    for (const line of (pod.read("logs/app") ?? "").split("\n").slice(0, -1)) {
      const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) (.*)$/.exec(
        line,
      );
      const [, stream = line, tag = "", text = ""] = form ?? [];
      texts.set(stream, `${texts.get(stream) ?? ""}${text}${tag === "F" ? "\n" : ""}`);
    }
    expect(Object.fromEntries(texts)).toEqual({ stdout: "one\n", stderr: "two\n" });
  });

  podTest("of 20 MB is complete, and its log is turned over", async () => {
    using pod = new TestPod();
    const { stdout } = await pod.run([{ run: ["flood", "20000000"] }], { logMaxBytes: 1_000_000 });
    expect(stdout.length).toBe(20_000_000);
    expect(pod.read("logs/app")?.length).toBeLessThanOrEqual(1_000_000);
    expect(pod.read("logs/app.1")?.length).toBeLessThanOrEqual(1_000_000);
  });

  podTest("goes on into the log when the caller's reader is gone", async () => {
    using pod = new TestPod();
    const child = pod.spawn(
      pod.plan([{ run: ["out", "a", "--", "sleep", "0.3", "--", "out", "b", "--", "out", "c"] }]),
    );
    await pod.wait("logs/app");
    await child.stdout.cancel();
    expect(await child.exited).toBe(0);
    expect(pod.read("logs/app")).toMatch(/stdout F c\n$/);
  });

  podTest("does not end a pod late because a daemon holds it", async () => {
    using pod = new TestPod();
    expect(await pod.run([{ run: ["daemon", "--", "out", "done"] }])).toEqual({
      stdout: "done\n",
      stderr: "",
      status: 0,
    });
  });

  podTest("--interactive without a terminal passes the caller's stdin", async () => {
    using pod = new TestPod();
    const child = pod.spawn(
      pod.plan([{ run: ["read"] }], { interactive: { terminal: false } }),
      "pipe",
    );
    child.stdin?.write("typed\n");
    await child.stdin?.end();
    expect((await outcome(child)).stdout).toBe("typed\n");
  });
});

describe("a terminal", () => {
  podTest("is the app's own, takes input, follows the caller's size and is restored", async () => {
    using pod = new TestPod();
    const plan = pod.plan([{ run: ["tty", "--", "winch", "--", "exit", "5"] }], {
      interactive: { terminal: true },
    });
    const terminal = onTerminal(pod.words(plan), { cols: 80, rows: 24 });
    await terminal.until("waiting");
    terminal.child.terminal?.resize(101, 33);
    await terminal.until("columns=101");
    expect(await terminal.end()).toBe(5);
    const seen = terminal.seen();
    expect(seen).toContain("0 tty\r\n1 tty\r\n2 tty\r\nname=/dev/pts/0 rows=24 columns=80\r\n");
    expect(seen).toContain("name=/dev/pts/0 rows=33 columns=101");
  });
});

describe("enter", () => {
  podTest("runs beside the app with the app's view and limits", async () => {
    using pod = new TestPod();
    const isolators = [
      { name: "os/linux/capabilities-retain-set", value: { set: ["CAP_KILL"] } },
      { name: "os/linux/no-new-privileges", value: true },
    ];
    const child = pod.spawn(
      pod.plan([
        { isolators, environment: { A: "b" }, uid: 7, run: ["namespaces", "--", "sleep"] },
      ]),
    );
    const inside = await pod.enter([
      "/inspect",
      "namespaces",
      "--",
      "caps",
      "--",
      "ids",
      "--",
      "env",
      "--",
      "fds",
      "--",
      "hostname",
      "--",
      "exit",
      "42",
    ]);
    const app = (pod.read("logs/app") ?? "")
      .split("\n")
      .map((l) => l.split(" F ")[1])
      .filter((l) => l !== undefined);
    for (const namespace of app) expect(inside.stdout).toContain(namespace as string);
    expect(inside.stdout).toContain("CapEff:\t0000000000000000\n");
    expect(inside.stdout).toContain("CapBnd:\t0000000000000020\n");
    expect(inside.stdout).toContain("NoNewPrivs:\t1\n");
    expect(inside.stdout).toContain("uid=7 euid=7 gid=0 egid=0 groups=\n");
    expect(inside.stdout).toContain("A=b\n");
    expect(inside.stdout).toContain("TERM=vt100\n");
    expect(inside.stdout).toMatch(/\n0 \/dev\/null\n1 \w+:\[\d+\]\n2 \w+:\[\d+\]\nrkt-test\n$/);
    expect(inside.status).toBe(42);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(143);
  });

  podTest("finds its program in the app's PATH or says that it is not there", async () => {
    using pod = new TestPod();
    const child = pod.spawn(pod.plan([{ environment: { PATH: "/bin:/" }, run: ["sleep"] }]));
    expect(await pod.enter(["inspect", "out", "found"])).toEqual({
      stdout: "found\n",
      stderr: "",
      status: 0,
    });
    expect(await pod.enter(["missing"])).toEqual({
      stdout: "",
      stderr: `enter: cannot execute "missing": it is not in the app's PATH\n`,
      status: 203,
    });
    child.kill("SIGKILL");
    await child.exited;
  });

  podTest("gives the program a terminal of the app's", async () => {
    using pod = new TestPod();
    const child = pod.spawn(pod.plan([{ run: ["sleep"] }]));
    const words = await pod.enterWords(["/inspect", "tty", "--", "read"], { terminal: true });
    const terminal = onTerminal(words, { cols: 90, rows: 20 });
    await terminal.until("columns=90");
    terminal.child.terminal?.write("typed\n\x04");
    await terminal.until("typed\r\ntyped\r\n");
    expect(await terminal.end()).toBe(0);
    expect(terminal.seen()).toContain(
      "0 tty\r\n1 tty\r\n2 tty\r\nname=/dev/pts/0 rows=20 columns=90\r\n",
    );
    child.kill("SIGKILL");
    await child.exited;
  });

  podTest("refuses a process that is not the pod's", async () => {
    using pod = new TestPod();
    const child = pod.spawn(pod.plan([{ run: ["sleep"] }]));
    await pod.wait("stage1/rootfs/rkt/supervisor-status");
    writeFileSync(join(pod.dir, "stage1/rootfs/rkt/pids/app"), `${process.pid}\n`);
    expect((await pod.enter(["/inspect", "ids"])).stderr).toBe(
      "enter: cannot enter the app: it is not running\n",
    );
    child.kill("SIGKILL");
    await child.exited;
  });
});

describe("a cgroup", () => {
  podTest("holds the pod and what enters it, and is removed", async () => {
    using pod = new TestPod();
    const cgroup = makePodCgroup(randomUUID(), {
      explain: (why) => console.warn(`cgroup: skipped: ${why}`),
      note: () => undefined,
    });
    if (cgroup === undefined) return;
    const child = pod.spawn(
      pod.plan([{ run: ["cat", "/proc/self/cgroup", "--", "sleep"] }], {
        cgroup: cgroup.directory,
      }),
    );
    const inside = await pod.enter(["/inspect", "cat", "/proc/self/cgroup"], {
      cgroup: cgroup.directory,
    });
    // Its root is the pod's own: nothing of the host's hierarchy shows.
    expect(inside.stdout).toContain("0::/\n");
    expect(pod.read("logs/app")).toContain(" F 0::/\n");
    const pids = readFileSync(join(cgroup.directory, "cgroup.procs"), "utf8").split("\n");
    expect(pids).toContain((await pod.wait("pid")).trim());
    child.kill("SIGTERM");
    await child.exited;
    expect(existsSync(cgroup.directory)).toBe(false);
  });
});
