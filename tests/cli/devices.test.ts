// SPDX-License-Identifier: Apache-2.0
// What an app may open of the kernel's: devices, /proc, /sys. Each by programs inside that try.
import { expect } from "bun:test";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { MASKED_PATHS, READ_ONLY_PATHS } from "../../src/stage1/plan/kernel-paths.ts";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Result, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { exists } from "../support/temp.ts";

const test = needs("root", "sandbox", "busybox", "overlay", "cgroup2");
const IMAGE = "example.com/busybox";
/** FUSE: a device that anybody may open, to no effect, and that no app is given. */
const FUSE = "10 229";

const MAY_MOUNT = {
  app: {
    isolators: [
      {
        name: "os/linux/capabilities-retain-set",
        value: { set: ["CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_DAC_OVERRIDE"] },
      },
    ],
  },
} as const;

async function ready(rkt: Rkt, image: Parameters<typeof busyboxAci>[0] = {}): Promise<void> {
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci(image));
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

/** The script's words are busybox's, whatever links the image has. No seccomp filter stands before what is tested. */
function sh(
  rkt: Rkt,
  script: string,
  flags: readonly string[] = [],
  insecure = "seccomp",
): Promise<Result> {
  return rkt.run([
    `--insecure-options=${insecure}`,
    "run",
    "--net=none",
    ...flags,
    IMAGE,
    "--",
    "-c",
    script,
  ]);
}

/** Says for each file: "NAME: opened", or why not. */
const OPEN = `try() { if (exec 3<"$1") 2>/tmp/why; then echo "$1: opened"; else echo "$1: $(busybox sed 's/.*: //' /tmp/why)"; fi; }
`;

test("an app cannot open a device that it makes, in any place that it can write", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  mkdirSync(`${rkt.work}/volume`);
  const flags = [
    `--volume=host,kind=host,source=${rkt.work}/volume`,
    "--mount=volume=host,target=/host",
    "--volume=empty,kind=empty",
    "--mount=volume=empty,target=/empty",
  ];
  const places = ["", "/tmp", "/dev", "/dev/shm", "/host", "/empty", "/etc"];
  const script = `${OPEN}for d in ${places.map((d) => d || "/").join(" ")}; do
    busybox mknod $d/mine c ${FUSE} || echo "$d: not made"; try $d/mine; done`;
  const result = await sh(rkt, script, flags);
  expect(result.stderr).toBe("");
  expect(result.stdout.replaceAll("//", "/").trim().split("\n")).toEqual(
    places.map((d) => `${d}/mine: Permission denied`),
  );
  expect(result.status).toBe(0);
});

test("an app opens the devices of the specification", async () => {
  await using rkt = newRkt();
  for (const image of [{}, { labels: { version: "2" }, ...MAY_MOUNT }]) {
    await ready(rkt, image);
    const result = await sh(
      rkt,
      `${OPEN}for n in null zero full random urandom net/tun ptmx console; do try /dev/$n; done
       echo text >/dev/null && busybox head -c 4 /dev/zero | busybox wc -c`,
    );
    expect(result.stderr).toBe("");
    expect(result.stdout).toBe(
      `${["null", "zero", "full", "random", "urandom", "net/tun", "ptmx", "console"]
        .map((n) => `/dev/${n}: opened\n`)
        .join("")}4\n`,
    );
  }
});

test("an app that may mount opens no other device", async () => {
  await using rkt = newRkt();
  await ready(rkt, {
    ...MAY_MOUNT,
    files: [{ name: "fuse", type: "char", major: 10, minor: 229, mode: 0o666 }],
  });
  const script = `${OPEN}try /fuse
    mount -o remount,dev / && try /fuse
    busybox mkdir /new && mount -t tmpfs new /new && busybox mknod /new/mine c ${FUSE}; try /new/mine
    busybox mknod /new/null c 1 3 && try /new/null
    busybox mknod /new/console c 5 1 2>/dev/null; try /new/console`;
  const result = await sh(rkt, script);
  expect(result.stdout.trim().split("\n")).toEqual([
    "/fuse: Permission denied",
    "/fuse: Operation not permitted",
    "/new/mine: no such file",
    "/new/null: opened",
    "/new/console: no such file",
  ]);
  expect(result.stderr).toContain("mknod: /new/mine: Operation not permitted");
  const lifted = await sh(rkt, script, [], "seccomp,paths");
  expect(lifted.stdout).toContain("/fuse: opened\n/fuse: opened\n/new/mine: opened\n");
});

test("rkt enter is held by the same policy", async () => {
  await using rkt = newRkt();
  await ready(rkt, MAY_MOUNT);
  await using pod = rkt.spawn([
    "--insecure-options=seccomp",
    "run",
    "--net=none",
    `--uuid-file-save=${rkt.work}/uuid`,
    IMAGE,
    "--",
    "-c",
    "busybox mkdir /new && mount -t tmpfs new /new && echo up; while :; do sleep 0.1; done",
  ]);
  await pod.until("up");
  const uuid = (await Bun.file(`${rkt.work}/uuid`).text()).trim();
  const result = await rkt.run([
    "--insecure-options=seccomp",
    "enter",
    uuid,
    "/bin/sh",
    "-c",
    `busybox mknod /new/mine c ${FUSE}`,
  ]);
  expect(result.stderr).toContain("Operation not permitted");
  await rkt.ok(["stop", "--force", uuid]);
});

test("a device as a volume is opened as the user says", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  Bun.spawnSync(["mknod", "-m", "666", `${rkt.work}/fuse`, "c", ...FUSE.split(" ")]);
  expect(statSync(`${rkt.work}/fuse`).isCharacterDevice()).toBe(true);
  const volume = (more: string) => [
    `--volume=fuse,kind=host,source=${rkt.work}/fuse${more}`,
    "--mount=volume=fuse,target=/dev/mine",
  ];
  const script = `${OPEN}try /dev/mine
    if (exec 3>/dev/mine) 2>/dev/null; then echo "for writing: opened"; else echo "for writing: refused"; fi
    busybox mknod /tmp/other c 10 229 2>/dev/null; try /tmp/other`;
  const both = await sh(rkt, script, volume(""));
  expect(both.stdout).toStartWith("/dev/mine: opened\nfor writing: opened\n");
  const read = await sh(rkt, script, volume(",readOnly=true"));
  expect(read.stdout).toStartWith("/dev/mine: opened\nfor writing: refused\n");
  for (const { stdout } of [both, read]) expect(stdout).not.toContain("/tmp/other: opened");
});

test("without a cgroup hierarchy a read-only device is refused, and an app that may mount is warned of", async () => {
  await using rkt = newRkt();
  const unmount = "umount -l $(awk '/ - cgroup2 /{print $5}' /proc/self/mountinfo) && exec \"$@\"";
  const options = { under: ["unshare", "--mount", "sh", "-c", unmount, "sh"] };
  await ready(rkt);
  Bun.spawnSync(["mknod", `${rkt.work}/fuse`, "c", ...FUSE.split(" ")]);
  const volume = `--volume=fuse,kind=host,source=${rkt.work}/fuse,readOnly=true`;
  const args = ["run", "--net=none", volume, "--mount=volume=fuse,target=/dev/mine", IMAGE];
  await rkt.fails(
    [...args, "--exec=/bin/true"],
    "cannot restrict devices: the pod has no cgroup",
    options,
  );
  await ready(rkt, { labels: { version: "2" }, ...MAY_MOUNT });
  const warned = await rkt.run(["run", "--net=none", `${IMAGE}:2`, "--exec=/bin/true"], options);
  expect(warned.stderr).toContain("an app that may mount can open any device");
  expect(warned.status).toBe(0);
});

test("what an app may not see of the kernel is empty or cannot be opened", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const there = MASKED_PATHS.filter((path) => exists(path));
  const script = `for p in ${MASKED_PATHS.join(" ")}; do
    if [ ! -e $p ]; then continue; fi
    if [ -d $p ]; then echo "$p $(ls -A $p 2>/dev/null | busybox wc -l)"; else echo "$p $(busybox head -c 1 $p | busybox wc -c)"; fi
    (echo x >$p) 2>/dev/null && echo "$p written"
  done; true`;
  const result = await sh(rkt, script);
  const lines = result.stdout.trim().split("\n");
  // A file is the null device, which takes what is written.
  const seen = lines.filter((line) => !line.endsWith(" written"));
  expect(seen.filter((line) => !line.endsWith(" 0"))).toEqual([]);
  expect(seen.length).toBeGreaterThan(5);
  for (const path of ["/proc/kallsyms", "/proc/interrupts", "/proc/slabinfo"]) {
    if (there.includes(path as never)) expect(lines).toContain(`${path} 0`);
  }
});

test("what an app may only read of the kernel cannot be written, but with --insecure-options=paths", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const paths = [...READ_ONLY_PATHS, "/sys"].filter((path) => exists(path));
  const script = `for p in ${paths.join(" ")}; do busybox awk -v p=$p '$5 == p { print p, $6 }' /proc/self/mountinfo; done`;
  const shut = (await sh(rkt, script)).stdout.trim().split("\n");
  expect(shut.map((line) => line.split(",")[0])).toEqual(paths.map((path) => `${path} ro`));
  const open = (await sh(rkt, script, [], "seccomp,paths")).stdout.trim().split("\n");
  expect(open.map((line) => line.split(",")[0])).toEqual(["/sys rw"]);
  const kallsyms = await sh(rkt, "busybox head -c 1 /proc/kallsyms", [], "seccomp,paths");
  expect(kallsyms.stdout).toHaveLength(1);
});
