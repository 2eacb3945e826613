// SPDX-License-Identifier: Apache-2.0
// What somebody meets who types a thing slightly wrong, and `rkt app exec`, which people bring from rkt.
import { expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { FIXED_ENV, newRkt, RKT, type Rkt, type Running } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { onTerminal } from "../support/terminal.ts";

const test = needs("root", "sandbox", "busybox", "overlay");
const IMAGE = "example.com/busybox";
const NET = "--net=none";

async function ready(rkt: Rkt): Promise<void> {
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci());
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

async function start(rkt: Rkt, ...apps: readonly string[]): Promise<Running & { uuid: string }> {
  const file = `${rkt.work}/uuid`;
  const running = rkt.spawn(["run", NET, `--uuid-file-save=${file}`, ...apps]);
  await running.until("ready");
  return Object.assign(running, { uuid: await Bun.file(file).text() });
}

const WAIT = ["--", "-c", "echo ready; while :; do sleep 0.1; done", "---"];

test("app exec is enter: pipes, status, app by name, and no more privilege than the app", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const two = [IMAGE, "--name=one", "--user=1000", ...WAIT, IMAGE, "--name=two", ...WAIT];
  const pod = await start(rkt, ...two);
  const exec = (app: string, script: string, stdin = "") =>
    rkt.run(["app", "exec", `--app=${app}`, pod.uuid, "/bin/sh", "-c", script], { stdin });

  expect(await exec("two", "cat; echo err >&2; exit 7", "in\n")).toEqual({
    stdout: "in\n",
    stderr: "err\n",
    status: 7,
  });
  const status = "grep -E '^(Uid|Gid|Cap|Seccomp|NoNewPrivs)' /proc/self/status";
  const entered = await rkt.ok(["enter", "--app=one", pod.uuid, "/bin/sh", "-c", status]);
  expect((await exec("one", status)).stdout).toBe(entered);
  expect(entered).toMatch(/^Uid:\t1000\t1000\t1000\t1000$/m);
  expect(entered).toMatch(/^CapEff:\t0000000000000000$/m);
  const terminal = onTerminal(
    [
      RKT,
      `--dir=${rkt.data}`,
      "app",
      "exec",
      "--app=two",
      pod.uuid,
      "/bin/sh",
      "-c",
      "tty; exit 5",
    ],
    { env: FIXED_ENV },
  );
  await terminal.until("/dev/pts/");
  expect(await terminal.end()).toBe(5);
  await rkt.fails(
    ["app", "exec", pod.uuid, "/bin/true"],
    'exec: pod contains multiple apps:\n\tone\n\ttwo\n  try: specify app using "rkt app exec --app= ..."',
  );
  await rkt.fails(["app", "exec", "--app=one", "--user=0", pod.uuid, "/bin/true"], "cannot enter");
  pod.kill("SIGTERM");
  await pod.finished;
  await rkt.fails(["app", "exec", "--app=one", pod.uuid, "/bin/true"], "isn't currently running");
  for (const other of ["add", "list", "rm", "start", "status", "stop", "sandbox"]) {
    const { stderr, status: code } = await rkt.run(["app", other, pod.uuid]);
    expect({ other, stderr, code }).toEqual({
      other,
      stderr: `app ${other}: not available in this version\n`,
      code: 254,
    });
  }
});

test("a mistake in a flag is one sentence, and says where the usage is", async () => {
  await using rkt = newRkt();
  expect(await rkt.run(["run", "--pull-policy=bogus", IMAGE])).toEqual({
    stdout: "",
    stderr:
      'Error: invalid argument "bogus" for --pull-policy: unknown value "bogus", must be one of: never, new, update\n' +
      "see 'rkt help run'\n",
    status: 254,
  });
  expect(await rkt.run(["list", "--format=json", "--nonsense"])).toEqual({
    stdout: "",
    stderr: "Error: unknown flag: --nonsense\nsee 'rkt help list'\n",
    status: 254,
  });
  expect(await rkt.ok(["stats", "--format=json"])).toBe("[]\n");
});

test("words for the app without -- are named as that", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await rkt.fails(["run", NET, IMAGE, "ls"], "  try: -- ls, if");
  await rkt.fails(["run", NET, "--port=web:8080", IMAGE], /name|--port/);
  const twice = await rkt.fails(
    ["run", NET, "--volume=v,kind=empty", "--volume=v,kind=empty", IMAGE],
    "run: cannot make a pod of these flags: ",
  );
  expect(twice.stderr).not.toContain("in the manifest");
});

test("image commands take the image that run would take: the verified one", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  writeFileSync(`${rkt.work}/other.aci`, busyboxAci({ app: { workingDirectory: "/tmp" } }));
  await rkt.ok(["--insecure-options=image", "fetch", `${rkt.work}/other.aci`]);
  const shown = await rkt.ok(["image", "cat-manifest", IMAGE]);
  expect(shown).not.toContain("workingDirectory");
  expect(await rkt.ok(["--insecure-options=image", "image", "cat-manifest", IMAGE])).toContain(
    "workingDirectory",
  );
  await rkt.ok(["image", "render", IMAGE, `${rkt.work}/rendered`]);
  expect(await Bun.file(`${rkt.work}/rendered/manifest`).text()).not.toContain("workingDirectory");
});

test("export keeps the pod while it reads it, and names the file that was asked for", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const file = `${rkt.work}/uuid`;
  await rkt.ok(["run", NET, `--uuid-file-save=${file}`, IMAGE, "--", "-c", ": > /left"]);
  const uuid = readFileSync(file, "utf8");
  const failed = await rkt.fails(["export", uuid, `${rkt.work}/nowhere/x.aci`], "nowhere/x.aci");
  expect(failed.stderr).not.toContain(".tmp");
  const output = `${rkt.work}/nowhere/y.aci`;
  expect((await rkt.fails(["image", "export", IMAGE, output], "y.aci")).stderr).not.toContain(
    ".tmp",
  );
  const held = Bun.spawn(
    ["flock", "--exclusive", `${rkt.data}/pods/run/${uuid}`, "sh", "-c", "echo held; cat"],
    {
      stdin: "pipe",
      stdout: "pipe",
    },
  );
  await held.stdout.getReader().read();
  // Locked it counts as running.
  await rkt.fails(["export", uuid, `${rkt.work}/y.aci`], "pod is not exited");
  held.stdin.end();
  await held.exited;
  await rkt.ok(["export", uuid, `${rkt.work}/y.aci`]);
});
