// SPDX-License-Identifier: Apache-2.0
// The life of a pod as a user sees it: prepare, run, list, status, stop, logs, enter, rm, gc.
import { expect } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { busyboxAci, HOST_LABELS } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, RKT, type Rkt, type Running, type RunOptions } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { exists } from "../support/temp.ts";

const test = needs("root", "sandbox", "busybox", "overlay");
const IMAGE = "example.com/busybox";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const ACI = busyboxAci();
const NET = "--net=none";

/** An rkt with busybox in its store. */
async function ready(rkt: Rkt, image: Parameters<typeof busyboxAci>[0] = {}): Promise<void> {
  writeFileSync(
    `${rkt.work}/busybox.aci`,
    Object.keys(image).length === 0 ? ACI : busyboxAci(image),
  );
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

/** Runs a shell script as the pod's only app. */
function sh(rkt: Rkt, script: string, flags: readonly string[] = [], options?: RunOptions) {
  return rkt.run(["run", NET, ...flags, IMAGE, "--", "-c", script], options);
}

async function runningPod(
  rkt: Rkt,
  script = "echo up; while :; do sleep 0.1; done",
): Promise<Running & { uuid: string }> {
  const file = `${rkt.work}/uuid`;
  const pod = rkt.spawn(["run", NET, `--uuid-file-save=${file}`, IMAGE, "--", "-c", script]);
  await pod.until("up");
  return Object.assign(pod, { uuid: readFileSync(file, "utf8") });
}

test("run gives the app's output as it is, and its status", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const result = await sh(rkt, "echo out; echo err >&2; printf 'no newline'; exit 7");
  expect(result.stderr.split("\n").filter((line) => line === "err")).toHaveLength(1);
  expect(result.stdout).toBe("out\nno newline");
  expect(result.status).toBe(7);
  expect((await sh(rkt, "kill -9 $$")).status).toBe(137);
  expect((await sh(rkt, "true")).status).toBe(0);
});

test("run says which binary or loader is missing", async () => {
  await using rkt = newRkt();
  await ready(rkt, {
    files: [
      { name: "bin/script", content: "#!/none/sh\n", mode: 0o755 },
      { name: "bin/plain", content: "text", mode: 0o644 },
    ],
  });
  const none = await rkt.run(["run", NET, IMAGE, "--exec=/bin/none"]);
  expect(none.stderr).toContain("/bin/none");
  expect(none.status).not.toBe(0);
  const script = await rkt.run(["run", NET, IMAGE, "--exec=/bin/script"]);
  expect(script.stderr).toContain("/none/sh");
  expect(script.status).not.toBe(0);
  const plain = await rkt.run(["run", NET, IMAGE, "--exec=/bin/plain"]);
  expect(plain.stderr).toContain("/bin/plain");
  expect(plain.status).not.toBe(0);
});

test("run --exec, arguments and PATH lookup make the command line", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const result = await rkt.run([
    "run",
    NET,
    IMAGE,
    "--exec=echo",
    "--",
    "a b",
    "$c",
    "%d",
    "--",
    "é",
  ]);
  expect(result.stdout).toBe("a b $c %d -- é\n");
});

test("the environment follows rkt's precedence", async () => {
  await using rkt = newRkt();
  await ready(rkt, {
    app: {
      environment: [
        { name: "A", value: "image" },
        { name: "B", value: "image" },
      ],
    },
  });
  writeFileSync(`${rkt.work}/env`, "# comment\n\nB=file\nC=file\nD=file\n");
  const result = await rkt.run(
    [
      "run",
      NET,
      "--inherit-env",
      `--set-env-file=${rkt.work}/env`,
      "--set-env=C=set",
      "--set-env=X=set",
      IMAGE,
      "--environment=A=flag",
      "--environment=X=flag",
      "--exec=/bin/env",
    ],
    { env: { A: "host", HOST: "host" } },
  );
  const env = Object.fromEntries(
    result.stdout
      .trim()
      .split("\n")
      .map((line) => line.split(/=(.*)/s).slice(0, 2)),
  );
  expect(env).toMatchObject({
    A: "flag",
    B: "file",
    C: "set",
    D: "file",
    X: "set",
    HOST: "host",
    AC_APP_NAME: "busybox",
  });
  const plain = (await rkt.run(["run", NET, IMAGE, "--exec=/bin/env"], { env: { HOST: "host" } }))
    .stdout;
  expect(plain).not.toContain("HOST=host");
  for (const line of ["A=image", "SHELL=/bin/sh", "USER=root", "LOGNAME=root", "HOME=/root"])
    expect(plain).toContain(`${line}\n`);
  await rkt.fails(["run", NET, "--set-env=A=1", "--set-env=A=2", IMAGE], 'key "A" already set');
  writeFileSync(`${rkt.work}/env`, "nonsense\n");
  await rkt.fails(
    ["run", NET, `--set-env-file=${rkt.work}/env`, IMAGE],
    "environment variable must be specified as name=value",
  );
});

test("user and group by name, number and path; supplementary groups; working directory", async () => {
  await using rkt = newRkt();
  await ready(rkt, {
    files: [
      { name: "owned", content: "", uid: 33, gid: 44 },
      { name: "var", type: "dir" },
    ],
  });
  const id = async (...flags: string[]): Promise<string> =>
    (await rkt.run(["run", NET, IMAGE, ...flags, "--exec=/bin/id"])).stdout.trim();
  expect(await id()).toStartWith("uid=0(root) gid=0(root)");
  expect(await id("--user=user", "--group=user")).toStartWith("uid=1000(user) gid=1000(user)");
  expect(await id("--user=1234", "--group=4321")).toStartWith("uid=1234 gid=4321");
  expect(await id("--user=/owned", "--group=/owned")).toStartWith("uid=33 gid=44");
  expect(await id("--supplementary-gids=2000,77")).toMatch(
    /groups=.*\b77\b.*2000\(extra\)|groups=.*2000\(extra\).*\b77\b/,
  );
  expect((await rkt.run(["run", NET, IMAGE, "--working-dir=/var", "--", "-c", "pwd"])).stdout).toBe(
    "/var\n",
  );
  await rkt.fails(["run", NET, IMAGE, "--user=nobody-here"], "nobody-here");
  await rkt.fails(["run", NET, IMAGE, "--group=none"], "none");
});

test("the pod has namespaces, a hostname, devices and kernel file systems of its own", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const result = await sh(
    rkt,
    `hostname 2>/dev/null || busybox hostname; busybox ls /dev | busybox tr '\\n' ' '; echo;
     busybox cat /proc/1/comm; busybox ps | busybox wc -l; busybox ls /sys/class/net;
     busybox df /dev/shm | busybox tail -1; echo > /dev/null; echo x > /dev/pts/ptmx && echo pts`,
    ["--hostname=box"],
  );
  const lines = result.stdout.split("\n");
  expect(lines[0]).toBe("box");
  for (const name of ["null", "zero", "full", "random", "urandom", "tty", "pts", "ptmx", "shm"]) {
    expect((lines[1] ?? "").split(" ")).toContain(name);
  }
  expect(Number(lines[3])).toBeLessThan(10);
  expect(lines[4]).toBe("lo");
  expect(result.stdout).toContain("pts");
  expect((await sh(rkt, "busybox hostname")).stdout).toMatch(/^rkt-[0-9a-f-]{36}$/m);
});

test("no capability beyond the default set, no descriptor but three, no way to kernel knobs", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const { stdout } = await sh(
    rkt,
    `cat /proc/self/status | busybox grep -E '^Cap(Inh|Prm|Bnd|Amb)'; ls /proc/self/fd;
     for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger; do (echo x > $f) 2>/dev/null && echo "wrote $f"; done;
     for f in /proc/kcore /proc/kallsyms; do busybox head -c 1 $f 2>/dev/null | busybox wc -c; done;
     mount -t tmpfs x /tmp 2>/dev/null && echo mounted`,
  );
  const caps = Object.fromEntries(
    [...stdout.matchAll(/^(\w+):\s+(\S+)$/gm)].map((match) => [match[1], match[2]]),
  );
  expect(caps["CapBnd"]).toBe("00000000a80425fb");
  expect(caps["CapInh"]).toBe("0000000000000000");
  expect(caps["CapAmb"]).toBe("0000000000000000");
  expect(stdout).not.toContain("wrote");
  expect(stdout).not.toContain("mounted");
  // 0, 1, 2, and the directory that ls itself reads.
  expect([...stdout.matchAll(/^\d+$/gm)].map((match) => match[0]).slice(0, 4)).toEqual([
    "0",
    "1",
    "2",
    "3",
  ]);
  expect(stdout).not.toMatch(/^[4-9]$/m);
});

test("several apps share the pod, and their lines say whose they are", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const result = await rkt.run([
    "run",
    NET,
    IMAGE,
    "--name=one",
    "--",
    "-c",
    "echo first; sleep 0.5",
    "---",
    IMAGE,
    "--name=two",
    "--",
    "-c",
    "sleep 0.2; ps; echo last >&2",
  ]);
  expect(result.stdout).toMatch(/^one\[\d+\]: first$/m);
  expect(result.stderr).toMatch(/^two\[\d+\]: last$/m);
  expect(result.stdout).toMatch(/^two\[\d+\]: .*sleep 0.5/m);
  expect(result.status).toBe(0);
  await rkt.fails(["run", NET, IMAGE, IMAGE], "error: multiple apps with name busybox");
});

test("--log-prefix decides about the prefix", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  expect((await sh(rkt, "echo x", ["--log-prefix=always"])).stdout).toMatch(
    /^busybox\[\d+\]: x\n$/,
  );
  const never = await rkt.run([
    "run",
    NET,
    "--log-prefix=never",
    IMAGE,
    "--name=one",
    "--",
    "-c",
    "echo x",
    "---",
    IMAGE,
    "--name=two",
    "--",
    "-c",
    "true",
  ]);
  expect(never.stdout).toBe("x\n");
});

test("the first failing app ends the pod and gives its status; one that ends with 0 does not", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const result = await rkt.run([
    "run",
    NET,
    IMAGE,
    "--name=fine",
    "--",
    "-c",
    "exit 0",
    "---",
    IMAGE,
    "--name=bad",
    "--",
    "-c",
    "sleep 0.3; exit 3",
    "---",
    IMAGE,
    "--name=long",
    "--",
    "-c",
    "while :; do sleep 0.1; done",
  ]);
  expect(result.status).toBe(3);
  const uuid = (await rkt.ok(["list", "--full", "--no-legend"])).split(/\s/)[0] ?? "";
  const status = await rkt.ok(["status", uuid]);
  expect(status).toContain("state=exited\n");
  expect(status).toContain("app-fine=0\n");
  expect(status).toContain("app-bad=3\n");
});

test("pre-start and post-stop handlers run around the app", async () => {
  await using rkt = newRkt();
  await ready(rkt, {
    app: {
      eventHandlers: [
        { name: "pre-start", exec: ["/bin/sh", "-c", "echo before"] },
        { name: "post-stop", exec: ["/bin/sh", "-c", "echo after"] },
      ],
    },
  });
  const result = await sh(rkt, "echo between");
  expect(result.stdout).toBe("before\nbetween\nafter\n");
});

test("TERM stops a pod in order, KILL leaves nothing running", async () => {
  for (const signal of ["SIGTERM", "SIGINT", "SIGKILL"] as const) {
    await using rkt = newRkt();
    await ready(rkt);
    const pod = await runningPod(
      rkt,
      "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done",
    );
    pod.kill(signal);
    await pod.finished;
    if (signal === "SIGTERM") expect(pod.stdout()).toContain("bye");
    await rkt.ok(["status", "--wait=10s", pod.uuid]);
    expect(await rkt.ok(["status", pod.uuid])).toContain("state=exited\n");
  }
});

test("zombies are reaped", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const { stdout } = await sh(
    rkt,
    "for i in 1 2 3; do (sleep 0.05 &) ; done; sleep 0.5; cat /proc/[0-9]*/stat | busybox grep -c ' Z '",
  );
  expect(stdout.trim()).toBe("0");
});

test("list shows pods by state, short, full and as JSON", async () => {
  await using rkt = newRkt();
  await ready(rkt, { labels: { version: "1.36" } });
  expect(await rkt.ok(["list"])).toMatch(
    /^UUID\s+APP\s+IMAGE NAME\s+STATE\s+CREATED\s+STARTED\s+NETWORKS\n$/,
  );
  expect((await rkt.ok(["list", "--format=json"])).trim()).toBe("null");
  const prepared = (await rkt.ok(["prepare", "--quiet", IMAGE])).trim();
  expect(prepared).toMatch(UUID);
  await using pod = await runningPod(rkt);
  await sh(rkt, "true");
  const lines = (await rkt.ok(["list", "--no-legend"])).trimEnd().split("\n");
  expect(lines).toHaveLength(3);
  const row = (uuid: string): string[] =>
    (lines.find((line) => line.startsWith(uuid.slice(0, 8))) ?? "").split(/\t+/);
  expect(row(prepared).slice(1, 4)).toEqual(["busybox", "example.com/busybox:1.36", "prepared"]);
  expect(row(pod.uuid)[3]).toBe("running");
  const full = await rkt.ok(["list", "--full"]);
  expect(full).toContain(pod.uuid);
  expect(full).toContain("IMAGE ID");
  expect(full).toMatch(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,3})? \+0000 UTC/);
  const json = JSON.parse(await rkt.ok(["list", "--format=json"])) as {
    name: string;
    state: string;
    app_names: string[];
  }[];
  expect(json.find((each) => each.name === pod.uuid)).toMatchObject({
    state: "running",
    app_names: ["busybox"],
  });
});

test("a pod goes from prepared through running to exited, and gc removes it", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const uuid =
    (await rkt.ok(["prepare", IMAGE, "--", "-c", "echo ran"])).trim().split("\n").at(-1) ?? "";
  expect(uuid).toMatch(UUID);
  expect(exists(`${rkt.data}/pods/prepared/${uuid}`)).toBe(true);
  expect(await rkt.ok(["run-prepared", NET, uuid.slice(0, 8)])).toBe("ran\n");
  expect(exists(`${rkt.data}/pods/run/${uuid}`)).toBe(true);
  await rkt.fails(["run-prepared", NET, uuid], `pod "${uuid}" is not prepared`);
  const mark = await rkt.run(["gc", "--mark-only"]);
  expect(mark.stderr + mark.stdout).toContain(`moving pod "${uuid}" to garbage`);
  expect(exists(`${rkt.data}/pods/exited-garbage/${uuid}`)).toBe(true);
  const kept = await rkt.run(["gc"]);
  expect(kept.stderr).toContain(`pod "${uuid}" not removed: still within grace period (30m0s)`);
  expect(await rkt.ok(["gc", "--grace-period=0s"])).toContain(`Garbage collecting pod "${uuid}"`);
  expect(await rkt.ok(["list", "--no-legend"])).toBe("");
});

test("gc removes expired prepared pods and failed prepares", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const uuid = (await rkt.ok(["prepare", "--quiet", IMAGE])).trim();
  const aborted = "11111111-2222-4333-8444-555555555555";
  mkdirSync(`${rkt.data}/pods/prepare/${aborted}`);
  expect(await rkt.ok(["list", "--no-legend"])).toContain("aborted prepare");
  const { stdout, stderr } = await rkt.run(["gc", "--expire-prepared=0s"]);
  expect(stdout + stderr).toContain(`moving failed prepare "${aborted}" to garbage`);
  expect(stdout + stderr).toContain(`moving expired prepared pod "${uuid}" to garbage`);
  expect(readdirSync(`${rkt.data}/pods/garbage`)).toEqual([]);
});

test("status prints the facts, waits, and takes a file", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const pod = await runningPod(rkt);
  const status = await rkt.ok(["status", pod.uuid.slice(0, 8)]);
  expect(status).toStartWith("state=running\n");
  expect(status).toMatch(/^created=\d{4}-/m);
  expect(status).toMatch(/^started=\d{4}-/m);
  expect(status).toMatch(/^pid=\d+$/m);
  expect(status).toContain("exited=false\n");
  expect(await rkt.ok(["status", `--uuid-file=${rkt.work}/uuid`])).toBe(status);
  await rkt.ok(["status", "--wait-ready=10s", pod.uuid]);
  await rkt.fails(["status", "--wait=200ms", pod.uuid], "status: ");
  const waiter = rkt.run(["status", "--wait", pod.uuid]);
  await rkt.ok(["stop", pod.uuid]);
  expect((await waiter).stdout).toContain("exited=true\n");
  await pod.finished;
  expect(JSON.parse(await rkt.ok(["status", "--format=json", pod.uuid])).state).toBe("exited");
  await rkt.fails(["status", "00000000"], 'no matches found for "00000000"');
  await rkt.fails(["status", "not a uuid"], "status: ");
  expect((await rkt.run(["status", "--uuid-file=/nowhere"])).status).toBe(1);
});

test("stop ends a pod, and says what was already stopped", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const pod = await runningPod(rkt);
  expect(await rkt.ok(["stop", pod.uuid])).toBe(`"${pod.uuid}"\n`);
  await pod.finished;
  expect(await rkt.ok(["stop", pod.uuid])).toBe(`pod "${pod.uuid}" is already stopped\n`);
  const stubborn = await runningPod(rkt, "trap '' TERM; echo up; while :; do sleep 0.1; done");
  await rkt.ok(["stop", "--force", stubborn.uuid]);
  await stubborn.finished;
  const prepared = (await rkt.ok(["prepare", "--quiet", IMAGE])).trim();
  await rkt.fails(["stop", prepared], "failed to stop 1 pod(s)");
  await rkt.fails(["stop", "00000000"], "stop: ");
});

test("rm removes what is not in use", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using pod = await runningPod(rkt);
  const prepared = (await rkt.ok(["prepare", "--quiet", IMAGE])).trim();
  const { stderr } = await rkt.fails(["rm", pod.uuid], "failed to remove one or more pods");
  expect(stderr).toContain(`pod "${pod.uuid}" is currently running`);
  expect(await rkt.ok(["rm", prepared])).toBe(`"${prepared}"\n`);
  await rkt.ok(["stop", pod.uuid]);
  await pod.finished;
  expect(await rkt.ok(["rm", `--uuid-file=${rkt.work}/uuid`])).toBe(`"${pod.uuid}"\n`);
  expect(await rkt.ok(["list", "--no-legend"])).toBe("");
});

test("enter runs a command where the app is, with no more privilege", async () => {
  await using rkt = newRkt();
  await ready(rkt, { files: [{ name: "mark", content: "here" }] });
  await using pod = await runningPod(rkt);
  const entered = await rkt.run([
    "enter",
    pod.uuid,
    "/bin/sh",
    "-c",
    "cat /mark; echo; cat /proc/self/status | busybox grep -E '^CapBnd:'; exit 5",
  ]);
  expect(entered.stdout).toStartWith("here\n");
  expect(entered.stdout).toMatch(/CapBnd:\s+00000000a80425fb/);
  expect(entered.status).toBe(5);
  const none = await rkt.run(["enter", pod.uuid]);
  expect(none.stderr).toContain('no command specified, assuming "/bin/bash"');
  expect(none.status).not.toBe(0);
  await rkt.fails(["enter", "--app=other", pod.uuid, "/bin/true"], "enter: ");
  await rkt.ok(["stop", pod.uuid]);
  await pod.finished;
  await rkt.fails(["enter", pod.uuid, "/bin/true"], `pod "${pod.uuid}" isn't currently running`);
});

test("enter asks which app when there are several", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const file = `${rkt.work}/uuid`;
  await using pod = rkt.spawn([
    "run",
    NET,
    `--uuid-file-save=${file}`,
    IMAGE,
    "--name=one",
    "--",
    "-c",
    "echo up; while :; do sleep 0.1; done",
    "---",
    IMAGE,
    "--name=two",
    "--",
    "-c",
    "while :; do sleep 0.1; done",
  ]);
  await pod.until("up");
  const uuid = readFileSync(file, "utf8");
  const { stderr } = await rkt.fails(
    ["enter", uuid, "/bin/true"],
    'specify app using "rkt enter --app= ..."',
  );
  expect(stderr).toContain("pod contains multiple apps:");
  expect(stderr).toContain("\tone\n");
  await rkt.ok(["enter", "--app=two", uuid, "/bin/true"]);
});

test("logs gives an app's output back, while it runs and after", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const pod = await runningPod(rkt, "echo up; echo err >&2; sleep 1; echo later");
  const follow = rkt.run(["logs", "--follow", pod.uuid]);
  await pod.finished;
  expect((await follow).stdout).toBe("up\nlater\n");
  const after = await rkt.run(["logs", pod.uuid]);
  expect(after.stdout).toBe("up\nlater\n");
  expect(after.stderr).toBe("err\n");
  expect(await rkt.ok(["logs", "--since=1h", pod.uuid])).toBe("up\nlater\n");
  expect(await rkt.ok(["logs", "--since=2100-01-01T00:00:00Z", pod.uuid])).toBe("");
  await rkt.fails(["logs", "--app=none", pod.uuid], "none");
  await rkt.fails(["logs", "--since=soon", pod.uuid], "soon");
});

test("cat-manifest prints the pod manifest, and a ready one runs", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const uuid = (await rkt.ok(["prepare", "--quiet", IMAGE, "--name=renamed"])).trim();
  const text = await rkt.ok(["cat-manifest", uuid]);
  const manifest = JSON.parse(text);
  expect(manifest).toMatchObject({
    acKind: "PodManifest",
    apps: [{ name: "renamed", image: { name: IMAGE } }],
  });
  expect((await rkt.ok(["cat-manifest", "--pretty-print=false", uuid])).trim()).toBe(
    JSON.stringify(manifest),
  );
  const file = `${rkt.work}/pod.json`;
  writeFileSync(
    file,
    JSON.stringify({
      acVersion: "0.8.11",
      acKind: "PodManifest",
      apps: [
        {
          name: "mine",
          image: { id: manifest.apps[0].image.id },
          app: { exec: ["/bin/echo", "from a manifest"], user: "0", group: "0" },
        },
      ],
    }),
  );
  expect(await rkt.ok(["run", NET, `--pod-manifest=${file}`])).toBe("from a manifest\n");
  await rkt.fails(
    ["run", NET, `--pod-manifest=${file}`, IMAGE],
    "conflicting flags set with --pod-manifest (see --help)",
  );
  writeFileSync(file, '{"acKind": "PodManifest",\n "apps": [}');
  await rkt.fails(["run", NET, `--pod-manifest=${file}`], /line 2/);
  writeFileSync(file, '{"acVersion":"0.8.11","acKind":"PodManifest","apps":[]}');
  await rkt.fails(
    ["run", NET, `--pod-manifest=${file}`],
    "pod must contain at least one application",
  );
});

test("export writes what an app left as a new image", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const file = `${rkt.work}/uuid`;
  await sh(rkt, "echo new > /tmp/made", [`--uuid-file-save=${file}`]);
  const uuid = readFileSync(file, "utf8");
  const out = `${rkt.work}/out.aci`;
  await rkt.fails(["export", uuid, `${rkt.work}/out.tar`], "extension must be .aci");
  await rkt.ok(["export", uuid, out]);
  await rkt.fails(
    ["export", uuid, out],
    "error building aci: target file exists (try --overwrite)",
  );
  const listing = await Bun.$`tar -tzf ${out}`.text();
  expect(listing.split("\n")).toContain("manifest");
  expect(listing).toContain("rootfs/tmp/made\n");
  const again = newRkt();
  await fetchSigned(again, out);
  expect(await again.ok(["run", NET, IMAGE, "--exec=/bin/cat", "--", "/tmp/made"])).toBe("new\n");
  await again[Symbol.asyncDispose]();
  const prepared = (await rkt.ok(["prepare", "--quiet", IMAGE])).trim();
  await rkt.fails(
    ["export", prepared, `${rkt.work}/x.aci`],
    "pod is not exited. Only exited pods can be exported",
  );
});

test("volumes: host, empty, read-only, and mount points without one", async () => {
  await using rkt = newRkt();
  await ready(rkt, {
    app: {
      mountPoints: [
        { name: "data", path: "/data" },
        { name: "ro", path: "/ro", readOnly: true },
      ],
    },
  });
  const host = `${rkt.work}/host`;
  mkdirSync(host);
  writeFileSync(`${host}/in`, "from host\n");
  const result = await rkt.run([
    "run",
    NET,
    `--volume=data,kind=host,source=${host}`,
    `--volume=ro,kind=host,source=${host}`,
    IMAGE,
    "--",
    "-c",
    "cat /data/in; echo out > /data/out; echo no > /ro/out2 || echo denied",
  ]);
  expect(result.stdout).toBe("from host\ndenied\n");
  expect(readFileSync(`${host}/out`, "utf8")).toBe("out\n");
  const implicit = await sh(rkt, "busybox stat -c %a /data");
  expect(implicit.stderr).toContain(
    'no volume specified for mount point "data" of app "busybox", implicitly creating an "empty" volume.',
  );
  expect(implicit.stdout).toBe("755\n");
  const empty = await rkt.run([
    "run",
    NET,
    "--volume=shared,kind=empty,mode=0700,uid=5",
    "--volume=ro,kind=empty",
    "--volume=data,kind=empty",
    IMAGE,
    "--name=a",
    "--mount=volume=shared,target=/s",
    "--",
    "-c",
    "busybox stat -c '%a %u' /s; echo x > /s/f; sleep 0.5",
    "---",
    IMAGE,
    "--name=b",
    "--mount=volume=shared,target=/t",
    "--",
    "-c",
    "sleep 0.3; cat /t/f",
  ]);
  expect(empty.stdout).toMatch(/^a\[\d+\]: 700 5$/m);
  expect(empty.stdout).toMatch(/^b\[\d+\]: x$/m);
  await rkt.fails(
    ["run", NET, "--mount=volume=none,target=/x", IMAGE],
    'dangling mount point "/x": volume "none" not found',
  );
  await rkt.fails(
    ["run", NET, "--volume=nonsense", IMAGE],
    'invalid value in --volume flag "nonsense"',
  );
  await rkt.fails(
    ["run", NET, "--volume=data,kind=host,source=/nowhere/at/all", IMAGE],
    "/nowhere/at/all",
  );
});

test("the image's root is the pod's own, and read-only when asked", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  for (const flags of [[], ["--no-overlay"]]) {
    expect((await sh(rkt, "echo changed > /etc/passwd; cat /etc/passwd", flags)).stdout).toBe(
      "changed\n",
    );
    expect((await sh(rkt, "cat /etc/passwd", flags)).stdout).toContain("root:");
  }
  const ro = await rkt.run([
    "run",
    NET,
    IMAGE,
    "--readonly-rootfs=true",
    "--",
    "-c",
    "echo x > /file || echo denied",
  ]);
  expect(ro.stdout).toBe("denied\n");
});

test("net=host shares the host's network, net=none does not", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const mine = await Bun.$`readlink /proc/self/ns/net`.text();
  const net = async (flag: string): Promise<string> =>
    (await rkt.run(["run", flag, IMAGE, "--", "-c", "busybox readlink /proc/self/ns/net"])).stdout;
  expect(await net("--net=host")).toBe(mine);
  expect(await net("--net=none")).not.toBe(mine);
  await rkt.fails(["run", "--net=none,none", IMAGE], 'found duplicate netname "none"');
});

test("isolators set limits", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await rkt.fails(
    ["run", NET, IMAGE, "--memory=1"],
    "memory limit of 1 bytes too low. Try a reasonable value, such as --memory=16M",
  );
  const caps = async (...flags: string[]): Promise<string> =>
    /CapBnd:\s+(\w+)/.exec(
      (await rkt.run(["run", NET, IMAGE, ...flags, "--exec=/bin/cat", "--", "/proc/self/status"]))
        .stdout,
    )?.[1] ?? "";
  expect(await caps("--caps-retain=CAP_CHOWN")).toBe("0000000000000001");
  expect(await caps("--caps-remove=CAP_CHOWN")).toBe("00000000a80425fa");
});

test("--interactive gives the app a terminal that follows the window's size", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const line = `stty rows 33 cols 77; ${RKT} --dir=${rkt.data} --local-config=${rkt.local} --system-config=${rkt.system} run ${NET} --interactive ${IMAGE} -- -c 'busybox tty; busybox stty size; read x; echo "got $x"'`;
  const child = Bun.spawn(["script", "-qec", line, "/dev/null"], {
    stdin: "pipe",
    stdout: "pipe",
    cwd: "/",
  });
  child.stdin.write("hello\n");
  child.stdin.flush();
  const output = await new Response(child.stdout).text();
  await child.exited;
  child.stdin.end();
  expect(output).toContain("/dev/");
  expect(output).toContain("33 77");
  expect(output).toContain("got hello");
  await rkt.fails(
    ["run", NET, "--interactive", IMAGE, IMAGE, "--name=x"],
    "interactive option only supports one image",
  );
});

test("hostile roots: /dev, /proc and /etc as links to the host do no harm", async () => {
  const victim = "/tmp/rkt-victim";
  for (const name of ["dev", "proc", "sys", "etc", "tmp"]) {
    await using rkt = newRkt();
    mkdirSync(`${victim}/sub`, { recursive: true });
    writeFileSync(`${victim}/canary`, "untouched");
    try {
      writeFileSync(
        `${rkt.work}/evil.aci`,
        busyboxAci({
          raw: [
            { name: `rootfs/${name}x`, type: "dir" },
            { name: `rootfs/${name}`, type: "symlink", link: victim },
          ],
        }).subarray(),
      );
      const fetched = await rkt.run(["--insecure-options=image", "fetch", `${rkt.work}/evil.aci`]);
      if (fetched.status === 0) {
        const result = await rkt.run([
          "--insecure-options=image",
          "run",
          NET,
          IMAGE,
          "--exec=/bin/true",
        ]);
        expect(result.stderr).not.toContain("this is a bug");
      }
      expect(readdirSync(victim).sort()).toEqual(["canary", "sub"]);
      expect(readFileSync(`${victim}/canary`, "utf8")).toBe("untouched");
    } finally {
      await Bun.$`rm -rf ${victim}`.quiet();
    }
  }
});

test("run refuses wrong arguments in one sentence each", async () => {
  await using rkt = newRkt();
  await ready(rkt, {});
  const cases: readonly [readonly string[], string | RegExp][] = [
    [[], "must provide at least one image or specify the pod manifest"],
    [["--", "x"], "an image is required before any app arguments"],
    [[IMAGE, "--", "a", "---", "--", "b"], "only one set of app arguments allowed per image"],
    [["--exec=/x", IMAGE], "--exec must follow an image"],
    [[IMAGE, "--exec=/a", "--exec=/b"], "--exec specified multiple times for the same image"],
    [[NET, "--port=http:80", IMAGE], "--port flag does not work with 'none' networking"],
    [["--net=host", "--port=http:80", IMAGE], "'host'"],
    [[NET, "--port=nonsense", IMAGE], "is not in name:[ip:]port format"],
    [[NET, "--mds-register", IMAGE], "--mds-register flag does not work with --net=none"],
    [[NET, "--dns=nonsense", IMAGE], "Invalid IP passed to --dns: nonsense"],
    [[NET, "--hosts-entry=nonsense", IMAGE], "Did not understand --hosts-entry nonsense"],
    [[NET, "--stage1-name=a", "--stage1-path=b", IMAGE], "are mutually exclusive"],
    [[NET, IMAGE, "--name=Bad Name"], "Bad Name"],
    [[NET, IMAGE, "--cpu-shares=1"], "cpu-shares"],
    [[NET, IMAGE, "--oom-score-adj=2000"], "oom-score-adj"],
    [[NET, IMAGE, "--seccomp=nonsense"], "invalid seccomp"],
    [[NET, IMAGE, "--caps-retain=CAP_NONSENSE"], "CAP_NONSENSE"],
    [[NET, IMAGE, "--caps-retain=CAP_CHOWN", "--caps-remove=CAP_CHOWN"], /caps-re/],
    [[NET, "sha512-0000000000"], "no image IDs found"],
    [[NET, "--pull-policy=never", "example.com/none"], "unable to fetch image from image name"],
    [[NET, "--hostname=bad_host!", IMAGE], /host/],
    [[NET, "--uuid-file-save=/nowhere/file", IMAGE], "/nowhere/file"],
    [[NET, `--pod-manifest=${rkt.work}/none`], "none"],
  ];
  for (const [args, text] of cases) {
    const result = await rkt.run(["run", ...args]);
    expect({ args, stderr: result.stderr }).toEqual({
      args,
      stderr:
        typeof text === "string" ? expect.stringContaining(text) : expect.stringMatching(text),
    });
    expect(result.stderr).not.toContain("this is a bug");
    expect({ args, status: result.status }).toEqual({ args, status: 254 });
  }
  expect(await rkt.ok(["list", "--no-legend"])).toBe("");
});

test("an image for another machine, or without an app, is refused", async () => {
  await using rkt = newRkt();
  for (const [image, text] of [
    [{ app: null }, "has no app section and --exec argument is not provided"],
    [{ manifest: { labels: [HOST_LABELS[0]] } }, "missing arch label in the image manifest"],
    [{ manifest: { labels: [HOST_LABELS[1]] } }, "missing os label in the image manifest"],
    [{ exec: [] }, 'has an empty "exec" (try --exec=BINARY)'],
  ] as const) {
    writeFileSync(`${rkt.work}/a.aci`, busyboxAci(image as Parameters<typeof busyboxAci>[0]));
    const id = await fetchSigned(rkt, `${rkt.work}/a.aci`, "--full");
    await rkt.fails(["run", NET, id], text);
  }
});

test("insecure run options are off by default and do what they say", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const status = async (...options: string[]): Promise<string> =>
    (await rkt.run([...options, "run", NET, IMAGE, "--exec=/bin/cat", "--", "/proc/self/status"]))
      .stdout;
  expect(await status("--insecure-options=seccomp")).toMatch(/Seccomp:\s+0/);
  expect(await status("--insecure-options=capabilities")).not.toMatch(/CapBnd:\s+00000000a80425fb/);
  const kcore = await rkt.run([
    "--insecure-options=paths",
    "run",
    NET,
    IMAGE,
    "--",
    "-c",
    "busybox stat -c %s /proc/kallsyms; busybox head -c1 /proc/kallsyms | busybox wc -c",
  ]);
  expect(kcore.stdout.trim().endsWith("1")).toBe(true);
});

test("a member of the group rkt may look, nobody else", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  // The way to the data directory is open; the directory itself decides.
  chmodSync(rkt.data.replace(/\/data$/, ""), 0o755);
  await rkt.ok(["prepare", "--quiet", IMAGE]);
  expect(statSync(`${rkt.data}/pods`).mode & 0o7777).toBe(0o2750);
  const denied = await rkt.run(["list"], {
    under: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
  });
  expect(denied.stderr).not.toContain("this is a bug");
  expect(denied.stderr).toContain("permission denied");
  expect(denied.status).toBe(254);
});

test("fifty pods at once do not disturb each other", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, n) => sh(rkt, `echo ${n}; exit ${n}`)),
  );
  expect(results.map((each) => [each.stdout, each.status])).toEqual(
    Array.from({ length: 50 }, (_, n) => [`${n}\n`, n]),
  );
  expect((await rkt.ok(["list", "--no-legend"])).trim().split("\n")).toHaveLength(50);
  await rkt.ok(["gc", "--grace-period=0s"]);
});
