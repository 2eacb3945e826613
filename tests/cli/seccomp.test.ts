// SPDX-License-Identifier: Apache-2.0
// The filter of system calls as a user sees it: each call that the default denies is tried from inside a pod.
import { expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileDefault, unpack } from "../../src/stage1/seccomp/compile.ts";
import { thisArchitecture } from "../../src/stage1/seccomp/filter.ts";
import { DEFAULT_WHITELIST } from "../../src/stage1/seccomp/sets.ts";
import { SYSTEM_CALLS } from "../../src/stage1/seccomp/tables.ts";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const NEEDS = ["root", "sandbox", "busybox", "overlay", "inspect"] as const;
const test = needs(...NEEDS);
const inUserNamespace = needs(...NEEDS, "user namespaces", "idmapped mounts");
const IMAGE = "example.com/busybox";
const NET = "--net=none";
const SIGSYS = 31;
const INSPECT = readFileSync(join(import.meta.dir, "../../build/inspect"));

/** The numbers that the default filter lets no program call, clone3 (which does not exist for it) aside. */
const DENIED = [...unpack(SYSTEM_CALLS[thisArchitecture()])].filter(
  ([name]) => !DEFAULT_WHITELIST.includes(name) && name !== "clone3",
);

async function ready(rkt: Rkt, app: Record<string, unknown> = {}): Promise<void> {
  const files = [
    { name: "inspect", content: INSPECT, mode: 0o755 },
    { name: "set-user-id", content: INSPECT, mode: 0o4755 },
  ];
  writeFileSync(`${rkt.work}/a.aci`, busyboxAci({ files, app }));
  await fetchSigned(rkt, `${rkt.work}/a.aci`);
}

const inspect = (rkt: Rkt, facts: readonly string[], ...flags: readonly string[]) =>
  rkt.run(["run", NET, IMAGE, ...flags, "--exec=/inspect", "--", ...facts]);

const seccomp = (app: unknown) => ({ isolators: [app] });

test("each system call that the default filter denies fails in a pod", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const numbers = DENIED.map(([, number]) => String(number));
  expect(numbers.length).toBe(
    unpack(SYSTEM_CALLS[thisArchitecture()]).size -
      Number(/(\d+) of/.exec(compileDefault(thisArchitecture()).label)?.[1]) -
      1,
  );
  // With every capability: what says EPERM is the filter, not the kernel's own check.
  const all = (...flags: string[]) =>
    rkt.run([
      ...["--insecure-options=capabilities", "run", NET, IMAGE, ...flags],
      ...["--exec=/inspect", "--", "syscalls", ...numbers],
    ]);
  const plain = await all();
  expect(plain.stdout.trim().split("\n")).toEqual(numbers.map((n) => `${n} errno 1`));
  expect(plain.status).toBe(0);
  // An errno that no call gives of itself: the filter it is.
  const marked = await all("--seccomp=mode=remove,errno=EADV,@appc.io/empty");
  expect(marked.stdout.trim().split("\n")).toEqual(numbers.map((n) => `${n} errno 68`));
  const killed = await all("--seccomp=mode=retain,@rkt/default-whitelist");
  expect(killed.stdout.trim().split("\n")).toEqual(numbers.map((n) => `${n} signal ${SIGSYS}`));
});

test("the default filter hides what is newer than it, new namespaces and other call tables", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  // clone3, and a number that no kernel has: the C library takes ENOSYS for "use the older one".
  const newer = await inspect(rkt, ["syscalls", "435", "999", "--", "clone", "0"]);
  expect(newer.stdout).toBe("435 errno 38\n999 errno 38\ncloned\n");
  // mount, cgroup, uts, ipc, user, pid, net
  for (const flag of ["20000", "2000000", "4000000", "8000000", "10000000", "20000000", "40000000"])
    expect((await inspect(rkt, ["clone", flag])).stdout).toContain("Operation not permitted");
  if (process.arch !== "x64") return;
  const foreign = await inspect(rkt, ["foreign", "--", "syscalls", String(0x4000_0027), "521"]);
  expect(foreign.stdout).toBe(`signal ${SIGSYS}\n${0x4000_0027} errno 1\n521 errno 1\n`);
});

test("every app has a filter and keeps set-user-ID programs, whoever it runs as", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  for (const user of ["0", "1000"]) {
    const { stdout } = await inspect(rkt, ["caps"], `--user=${user}`, `--group=${user}`);
    expect(stdout).toContain("Seccomp:\t2\n");
    expect(stdout).toContain("NoNewPrivs:\t0\n");
  }
  const su = await rkt.run([
    ...["run", NET, IMAGE, "--user=1000", "--group=1000", "--exec=/set-user-id"],
    ...["--", "ids", "--", "caps"],
  ]);
  expect(su.stdout).toStartWith("uid=1000 euid=0 ");
  expect(su.stdout).toContain("Seccomp:\t2\n");
  const all = await inspect(rkt, ["caps"], "--seccomp=mode=retain,@appc.io/all");
  expect(all.stdout).toContain("Seccomp:\t0\n");
  const lifted = await rkt.run([
    ...["--insecure-options=seccomp", "run", NET, IMAGE],
    ...["--seccomp=mode=remove,getcwd", "--exec=/inspect", "--", "caps", "--", "cwd"],
  ]);
  expect(lifted.stdout).toContain("Seccomp:\t0\n");
  expect(lifted.stdout).toEndWith("\n/\n");
});

test("an image's filter counts, and the flag replaces it", async () => {
  await using rkt = newRkt();
  const value = { set: ["getcwd", "mknod", "mknodat"], errno: "EXDEV" };
  await ready(rkt, seccomp({ name: "os/linux/seccomp-remove-set", value }));
  const image = await inspect(rkt, ["cwd", "--", "mknod", "/x", "1", "3"]);
  expect(image.stdout).toBe("error: getcwd: Cross-device link\nerror: mknod: Cross-device link\n");
  expect(image.stderr).not.toContain("not enforced");
  const flag = await inspect(rkt, ["cwd"], "--seccomp=mode=remove,errno=EPERM,mknod,mknodat");
  expect(flag.stdout).toBe("/\n");
  const killed = await inspect(rkt, ["cwd"], "--seccomp=mode=remove,getcwd");
  expect(killed.stderr).toContain(
    'run: app "busybox" was killed (SIGSYS): it made a system call that its filter denies\n  try: errno=EPERM',
  );
  expect(killed.status).toBe(128 + SIGSYS);
});

test("a retain-set that names next to nothing still starts its program", async () => {
  await using rkt = newRkt();
  const set = ["arch_prctl", "set_tid_address", "write", "writev", "ioctl"];
  await ready(rkt, {
    ...seccomp({ name: "os/linux/seccomp-retain-set", value: { set } }),
    user: "1000",
    group: "1000",
  });
  const said = await inspect(rkt, ["out", "said"]);
  expect(said.stderr).not.toContain("SIGSYS");
  expect(said.stdout).toBe("said\n");
  expect(said.status).toBe(0);
  expect((await inspect(rkt, ["pids"])).status).toBe(128 + SIGSYS);
});

test("filters that cannot be made are refused, names that mean nothing are said", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const refused = (flag: string, text: string) =>
    rkt.fails(["run", NET, IMAGE, flag, "--exec=/bin/true"], text);
  await refused("--seccomp=mode=remove,mkdri", 'cannot remove "mkdri" from the system calls');
  await refused("--seccomp=mode=remove,@none", 'cannot remove "@none" from the system calls');
  await refused("--seccomp=mode=retain,errno=ENOPE,read", 'cannot use the errno "ENOPE"');
  await rkt.fails(
    ["prepare", IMAGE, "--seccomp=mode=remove,mkdri"],
    'cannot remove "mkdri" from the system calls',
  );
  expect(await rkt.ok(["list", "--no-legend"])).toBe("");
  const typo = await inspect(rkt, ["cwd"], "--seccomp=mode=retain,@rkt/default-whitelist,raed");
  expect(typo.stderr).toContain(
    'warning: app "busybox": the seccomp retain-set names "raed", which is no system call: ignored',
  );
  expect(typo.stdout).toBe("/\n");
  const value = { set: ["read"] };
  const isolators = [
    { name: "os/linux/seccomp-remove-set", value },
    { name: "os/linux/seccomp-retain-set", value },
  ];
  const aci = busyboxAci({ app: { isolators } });
  writeFileSync(`${rkt.work}/b.aci`, aci);
  await rkt.fails(
    ["--insecure-options=image", "fetch", `${rkt.work}/b.aci`],
    "isolators set contains incompatible types",
  );
});

test("enter is filtered as the app is, and free as the app is", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const denied = DENIED.map(([, number]) => String(number));
  for (const [options, mode, wanted] of [
    [[], 2, denied.map((n) => `${n} errno 1`)],
    [["--insecure-options=seccomp"], 0, []],
  ] as const) {
    const file = `${rkt.work}/uuid`;
    const pod = rkt.spawn([
      ...[...options, "run", NET, `--uuid-file-save=${file}`, IMAGE],
      ...["--exec=/inspect", "--", "out", "up", "--", "sleep"],
    ]);
    await pod.until("up");
    const uuid = readFileSync(file, "utf8");
    // The flag of `enter` itself changes nothing.
    const tries = mode === 2 ? ["--", "syscalls", ...denied] : [];
    const entered = await rkt.run([
      ...["--insecure-options=seccomp", "enter", uuid, "/inspect", "caps", ...tries],
    ]);
    expect(entered.stdout).toContain(`Seccomp:\t${mode}\n`);
    expect(entered.stdout).toContain("NoNewPrivs:\t0\n");
    const answers: readonly string[] = entered.stdout.match(/^\d+ errno \d+$/gm) ?? [];
    expect(answers).toEqual(wanted);
    await rkt.ok(["stop", uuid]);
    await pod.finished;
  }
});

inUserNamespace("a pod in a user namespace is filtered, and so is what enters it", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const file = `${rkt.work}/uuid`;
  const pod = rkt.spawn([
    ...["run", NET, "--private-users", `--uuid-file-save=${file}`, IMAGE, "--user=1000"],
    ...[
      "--exec=/inspect",
      "--",
      "caps",
      "--",
      "clone",
      "10000000",
      "--",
      "out",
      "up",
      "--",
      "sleep",
    ],
  ]);
  await pod.until("up");
  const uuid = readFileSync(file, "utf8");
  const entered = await rkt.run(["enter", uuid, "/inspect", "caps", "--", "clone", "10000000"]);
  for (const said of [pod.stdout(), entered.stdout]) {
    expect(said).toContain("Seccomp:\t2\n");
    expect(said).toContain("NoNewPrivs:\t0\n");
    expect(said).toContain("clone: Operation not permitted");
  }
  await rkt.ok(["stop", uuid]);
  await pod.finished;
});

test("handlers are filtered as the app is", async () => {
  await using rkt = newRkt();
  const exec = ["/inspect", "caps"];
  await ready(rkt, {
    user: "1000",
    group: "1000",
    eventHandlers: [
      { name: "pre-start", exec },
      { name: "post-stop", exec },
    ],
  });
  const { stdout } = await inspect(rkt, ["caps"]);
  expect(stdout.match(/^Seccomp:\t2$/gm)).toHaveLength(3);
});

test("run --dry-run shows a summary of the filter", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const plan = async (...flags: string[]): Promise<string> =>
    (await rkt.ok(["run", "--dry-run", NET, IMAGE, ...flags])).match(/^ *filter .*$/m)?.[0] ?? "";
  expect(await plan()).toMatch(
    /^ {2}filter label='default: \d+ of \d+ calls, else EPERM' flags=early program=\d+ instructions$/,
  );
  expect(await plan("--seccomp=mode=retain,errno=EXDEV,read,write")).toMatch(
    /label='retain: \d+ of \d+ calls, else EXDEV' program=/,
  );
  expect(await plan("--seccomp=mode=retain,@appc.io/all")).toBe("");
});
