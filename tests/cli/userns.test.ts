// SPDX-License-Identifier: Apache-2.0
// --private-users: ids of its own for each pod, on overlays, copies and volumes, for what enters, and gone with it.
import { expect } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { FIXED_ENV, newRkt, RKT, type Rkt, type Running } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { mountsBelow } from "../support/temp.ts";
import { onTerminal } from "../support/terminal.ts";

const test = needs("root", "sandbox", "busybox", "overlay", "user namespaces", "idmapped mounts");
const IMAGE = "example.com/busybox";
const RUN = ["run", "--net=none", "--private-users"];
const COUNT = 65_536;
/** Both ways to a root file system. */
const ROOTS = [[], ["--no-overlay"]] as const;

async function ready(rkt: Rkt, image: Parameters<typeof busyboxAci>[0] = {}): Promise<void> {
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci(image));
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

const sh = (rkt: Rkt, script: string, flags: readonly string[] = []) =>
  rkt.run([...RUN, ...flags, IMAGE, "--", "-c", script]);

/** The first id of the host of every pod that there is. */
function ranges(rkt: Rkt): number[] {
  const found: number[] = [];
  for (const state of ["prepared", "run", "exited-garbage"]) {
    for (const uuid of readdirSync(join(rkt.data, "pods", state))) {
      const file = join(rkt.data, "pods", state, uuid, "private-users-prepared");
      const [first, count] = readFileSync(file, "utf8").split(":").map(Number);
      expect(count).toBe(COUNT);
      found.push(first ?? Number.NaN);
    }
  }
  return found;
}

/** The root of an app on the host: the copy, or the writable layer of the overlay. */
function rootOnHost(rkt: Rkt, uuid: string, overlay: boolean): string {
  const pod = join(rkt.data, "pods/run", uuid);
  if (!overlay) return join(pod, "stage1/rootfs/opt/stage2/busybox/rootfs");
  const [tree] = readdirSync(join(pod, "overlay"));
  return join(pod, "overlay", tree ?? "", "upper/busybox");
}

async function running(
  rkt: Rkt,
  flags: readonly string[] = [],
  script = "echo up; while :; do sleep 0.1; done",
): Promise<Running & { uuid: string; first: number }> {
  const file = `${rkt.work}/uuid-${Math.random()}`;
  const pod = rkt.spawn([...RUN, `--uuid-file-save=${file}`, ...flags, IMAGE, "--", "-c", script]);
  await pod.until("up");
  const uuid = readFileSync(file, "utf8");
  const text = readFileSync(join(rkt.data, "pods/run", uuid, "private-users-prepared"), "utf8");
  return Object.assign(pod, { uuid, first: Number(text.split(":")[0]) });
}

const owner = (path: string): readonly [number, number] => {
  const { uid, gid } = statSync(path);
  return [uid, gid];
};

for (const root of ROOTS) {
  const name = root.length === 0 ? "an overlay" : "a copy";
  test(`root in ${name} is nobody outside, and the image's files keep their owners`, async () => {
    await using rkt = newRkt();
    await ready(rkt, {
      files: [
        { name: "owned", content: "", uid: 33, gid: 44 },
        { name: "srv/deep", content: "" },
      ],
    });
    await using pod = await running(
      rkt,
      root,
      `cat /proc/self/uid_map /proc/self/gid_map; id -u; stat -c '%u:%g %n' / /bin /etc /tmp /owned /srv /dev/pts /dev/shm
       : > /mine; : > /theirs; busybox chown 1000:1000 /theirs; stat -c '%u:%g %n' /mine /theirs
       echo out > /dev/stdout; mount | busybox wc -l; echo up; while :; do sleep 0.1; done`,
    );
    const map = `         0 ${String(pod.first).padStart(10)} ${String(COUNT).padStart(10)}\n`;
    expect(pod.stdout()).toStartWith(
      `${map}${map}0\n0:0 /\n0:0 /bin\n0:0 /etc\n0:0 /tmp\n33:44 /owned\n0:0 /srv\n0:0 /dev/pts\n0:0 /dev/shm\n0:0 /mine\n1000:1000 /theirs\nout\n`,
    );
    const host = rootOnHost(rkt, pod.uuid, root.length === 0);
    expect(owner(host)).toEqual([pod.first, pod.first]);
    expect(owner(join(host, "mine"))).toEqual([pod.first, pod.first]);
    expect(owner(join(host, "theirs"))).toEqual([pod.first + 1000, pod.first + 1000]);
    const [init] = readFileSync(join(rkt.data, "pods/run", pod.uuid, "pid"), "utf8").split("\n");
    expect(readFileSync(`/proc/${init}/status`, "utf8")).toContain(`Uid:\t${pod.first}\t`);
    // The store's tree, which pods share, is as it was.
    const [tree] = readdirSync(join(rkt.data, "cas/tree"));
    if (tree !== undefined)
      expect(owner(join(rkt.data, "cas/tree", tree, "rootfs/owned"))).toEqual([33, 44]);
  });
}

test("nothing of the host's mounts is there, and the root has no way out", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  for (const root of ROOTS) {
    const { stdout, stderr } = await sh(
      rkt,
      "cat /proc/self/mountinfo; stat -c 'id %d:%i' / /..; ls /proc/1/root; : > /proc/sysrq-trigger",
      root,
    );
    const points = stdout
      .split("\n")
      .flatMap((line) => (/ - /.test(line) ? [line.split(" ")[4]] : []));
    expect(points.filter((point) => point === "/")).toHaveLength(1);
    expect(
      points.filter(
        (point) => !/^\/($|proc|sys|dev|etc\/(hosts|hostname|resolv.conf)$)/.test(point ?? ""),
      ),
    ).toEqual([]);
    const ids = stdout.split("\n").filter((line) => line.startsWith("id "));
    expect(ids).toHaveLength(2);
    expect(ids[0]).toBe(ids[1] ?? "");
    expect(stderr).toContain("/proc/1/root: Permission denied");
    expect(stderr).toContain("can't create /proc/sysrq-trigger");
  }
});

test("pods at the same time have ids that do not touch; gc gives them back", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const scripts = Array.from({ length: 4 }, () => running(rkt));
  const pods = await Promise.all(scripts);
  await rkt.ok(["prepare", "--private-users", IMAGE]);
  await sh(rkt, "true", ["--no-overlay"]);
  const found = ranges(rkt).toSorted((a, b) => a - b);
  expect(found).toHaveLength(6);
  expect(new Set(found).size).toBe(6);
  for (const first of found) expect(first % COUNT).toBe(0);
  for (const pod of pods) pod.kill();
  await Promise.all(pods.map((pod) => pod.finished));
  await rkt.ok(["gc", "--grace-period=0s", "--expire-prepared=0s"]);
  expect(ranges(rkt)).toEqual([]);
  expect(mountsBelow(rkt.data)).toEqual([]);
});

test("an app that is not root, its groups, and handlers that are", async () => {
  await using rkt = newRkt();
  await ready(rkt, {
    files: [{ name: "owned", content: "", uid: 33, gid: 44 }],
    app: {
      supplementaryGIDs: [2000],
      eventHandlers: [
        { name: "pre-start", exec: ["/bin/sh", "-c", "id -u; : > /before"] },
        { name: "post-stop", exec: ["/bin/sh", "-c", "id -u; : > /after"] },
      ],
    },
  });
  for (const root of ROOTS) {
    const args = [IMAGE, "--user=user", "--group=user", "--", "-c"];
    const script =
      "id -u; id -G; echo x > /dev/stderr; : > /tmp/f; stat -c %u /tmp/f; echo x > /no || echo no";
    const user = await rkt.run([...RUN, ...root, ...args, script]);
    expect(user.stdout).toBe("0\n1000\n1000 2000\n1000\nno\n0\n");
    expect(user.status).toBe(0);
    // The owner of a file of the image, also of one that was copied.
    const path = await rkt.run([
      ...RUN,
      ...root,
      IMAGE,
      "--user=/owned",
      "--group=/owned",
      "--",
      "-c",
      "id -u; id -g",
    ]);
    expect(path.stdout).toContain("33\n44\n");
  }
  await rkt.fails([...RUN, IMAGE, "--user=70000"], "uid 70000 or gid 0 are out of range 65536");
});

test("several apps of a pod share its ids", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const app = (name: string) => [
    IMAGE,
    `--name=${name}`,
    "--",
    "-c",
    "cat /proc/self/uid_map; busybox readlink /proc/self/ns/user",
  ];
  const { stdout, status } = await rkt.run([
    ...RUN,
    "--log-prefix=never",
    ...app("one"),
    "---",
    ...app("two"),
  ]);
  expect(status).toBe(0);
  const lines = stdout.split("\n").filter(Boolean).toSorted();
  expect(new Set(lines).size).toBe(2);
  expect(lines).toHaveLength(4);
});

test("a pod that was prepared runs with the ids that it got", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  for (const root of ROOTS) {
    const uuid = (
      await rkt.ok([
        "prepare",
        "--private-users",
        ...root,
        IMAGE,
        "--",
        "-c",
        "cat /proc/self/uid_map; : > /f",
      ])
    ).trim();
    const [first] = readFileSync(
      join(rkt.data, "pods/prepared", uuid, "private-users-prepared"),
      "utf8",
    ).split(":");
    expect(await rkt.ok(["run-prepared", "--net=none", uuid])).toContain(` ${first} `);
  }
});

test("a volume of the host keeps its owners; an empty one has the pod's", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const data = join(rkt.work, "data");
  mkdirSync(data);
  chmodSync(data, 0o755);
  const files: readonly (readonly [string, number])[] = [
    ["root", 0],
    ["user", 1000],
    ["far", 300_000],
  ];
  for (const [name, uid] of files) {
    writeFileSync(join(data, name), name, { mode: 0o600 });
    chownSync(join(data, name), uid, uid);
  }
  await using pod = await running(
    rkt,
    [
      `--volume=data,kind=host,source=${data}`,
      "--mount=volume=data,target=/data",
      "--volume=own,kind=empty,mode=0750,uid=7,gid=8",
      "--mount=volume=own,target=/own",
      "--volume=ro,kind=host,readOnly=true,source=/usr",
      "--mount=volume=ro,target=/ro",
    ],
    `stat -c '%u %n' /data/root /data/user /data/far; stat -c '%u:%g %a' /own; cat /data/root; echo
     echo new > /data/new; busybox chown 5 /data/new; echo mine > /own/f
     echo x > /data/far || echo refused; cat /data/far || echo refused; busybox chown 0 /data/far || echo refused
     echo x > /ro/x || echo read-only; echo up; while :; do sleep 0.1; done`,
  );
  expect(pod.stdout()).toStartWith(
    "0 /data/root\n1000 /data/user\n65534 /data/far\n7:8 750\nroot\nrefused\nrefused\nrefused\nread-only\n",
  );
  expect(owner(join(data, "new"))).toEqual([5, 0]);
  expect(readFileSync(join(data, "far"), "utf8")).toBe("far");
  expect(owner(join(data, "far"))).toEqual([300_000, 300_000]);
  const own = join(rkt.data, "pods/run", pod.uuid, "sharedVolumes/own");
  expect(owner(own)).toEqual([pod.first + 7, pod.first + 8]);
  expect(owner(join(own, "f"))).toEqual([pod.first, pod.first]);
});

test("a volume whose file system cannot map owners says so, and is nobody's", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const result = await sh(
    rkt,
    "stat -c %u /v; echo x > /v/x || echo refused; echo y > /null; echo written",
    [
      "--volume=v,kind=host,source=/proc/sys",
      "--mount=volume=v,target=/v",
      "--volume=n,kind=host,source=/dev/null",
      "--mount=volume=n,target=/null",
    ],
  );
  expect(result.stderr).toContain(`run: warning: cannot map the owners of files in volume "v"`);
  expect(result.stderr).not.toContain(`volume "n"`);
  expect(result.stdout).toBe("65534\nrefused\nwritten\n");
});

test("what enters has the app's ids, capabilities and limits", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  for (const user of ["0", "1000"]) {
    const status =
      "cat /proc/self/uid_map; busybox grep -vE '^(Name|Pid|Tgid|NSpid|NStgid|NSsid|NSpgid|PPid|Vm|Rss|Hugetlb|voluntary|nonvoluntary|Threads|SigQ|Sig|Cpus|Mems|FDSize|ShdPnd)' /proc/self/status; busybox readlink /proc/self/ns/user";
    const file = `${rkt.work}/uuid`;
    await using pod = rkt.spawn([
      ...RUN,
      `--uuid-file-save=${file}`,
      IMAGE,
      `--user=${user}`,
      `--group=${user}`,
      "--",
      "-c",
      `${status}; echo up; while :; do sleep 0.1; done`,
    ]);
    await pod.until(/^up$/m);
    const uuid = readFileSync(file, "utf8");
    const entered = await rkt.run(["enter", uuid, "/bin/sh", "-c", `${status}; echo up`]);
    expect({ stderr: entered.stderr, status: entered.status }).toEqual({ stderr: "", status: 0 });
    expect(entered.stdout).toBe(pod.stdout());
    expect(entered.stdout).toMatch(/CapBnd:\s+00000000a80425fb/);
  }
});

test("a signal stops the pod, and its status is the app's", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using pod = await running(
    rkt,
    [],
    "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done",
  );
  pod.kill("SIGTERM");
  expect((await pod.finished).status).toBe(7);
  await using stubborn = await running(
    rkt,
    [],
    "trap '' TERM; echo up; while :; do sleep 0.1; done",
  );
  await rkt.ok(["stop", "--force", stubborn.uuid]);
  expect((await stubborn.finished).status).not.toBe(0);
  expect(await rkt.ok(["logs", pod.uuid])).toContain("up\n");
});

test("export gives the image's ids back", async () => {
  await using rkt = newRkt();
  await ready(rkt, { files: [{ name: "owned", content: "", uid: 33, gid: 44 }] });
  for (const root of ROOTS) {
    const file = `${rkt.work}/uuid`;
    await rkt.ok([
      ...RUN,
      ...root,
      `--uuid-file-save=${file}`,
      IMAGE,
      "--",
      "-c",
      ": > /mine; : > /theirs; busybox chown 1000:1001 /theirs",
    ]);
    const out = `${rkt.work}/out${root.length}.aci`;
    await rkt.ok(["export", readFileSync(file, "utf8"), out]);
    const list = Bun.spawnSync(["tar", "--numeric-owner", "-tvf", out]).stdout.toString();
    expect(list).toMatch(/ 33\/44 .* rootfs\/owned/);
    expect(list).toMatch(/ 0\/0 .* rootfs\/mine/);
    expect(list).toMatch(/ 1000\/1001 .* rootfs\/theirs/);
    expect(list).toMatch(/ 0\/0 .* rootfs\/bin\/busybox/);
  }
});

test("the host's network stays the host's", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const script =
    "ls -d /sys/class/net/lo; echo x > /sys/x || echo read-only; busybox ip link set lo mtu 1400 || echo refused";
  const { stdout, status } = await rkt.run([
    "run",
    "--net=host",
    "--private-users",
    IMAGE,
    "--caps-retain=CAP_NET_ADMIN",
    "--",
    "-c",
    script,
  ]);
  expect({ stdout, status }).toEqual({
    stdout: "/sys/class/net/lo\nread-only\nrefused\n",
    status: 0,
  });
});

test("a file system that cannot map owners is said before anything starts, and a copy works", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await rkt.ok(["run", "--net=none", IMAGE, "--exec=/bin/true"]);
  // An overlay cannot map owners. Mounts of this process are nobody else's (scripts/sandbox).
  const trees = join(rkt.data, "cas/tree");
  const empty = join(rkt.work, "empty");
  mkdirSync(empty);
  await Bun.$`mount -t overlay -o lowerdir=${trees}:${empty} overlay ${trees}`;
  try {
    const { stderr, stdout } = await rkt.fails(
      [...RUN, IMAGE, "--", "-c", "echo ran"],
      /^run: cannot map the owners of files in ".*": this kernel cannot do that, or not on this file system$/m,
    );
    expect(stderr).toContain("  try: --no-overlay: ");
    expect(stdout).toBe("");
    expect(await rkt.ok([...RUN, "--no-overlay", IMAGE, "--", "-c", "id -u"])).toBe("0\n");
  } finally {
    await Bun.$`umount ${trees}`;
  }
});

test("--interactive gives the app a terminal of its own", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const words = [
    RKT,
    `--dir=${rkt.data}`,
    `--local-config=${rkt.local}`,
    `--system-config=${rkt.system}`,
  ];
  const script = "busybox tty; stat -c %u $(busybox tty); echo to > /dev/console; echo end";
  const terminal = onTerminal(
    [...words, ...RUN, "--interactive", IMAGE, "--user=1000", "--", "-c", script],
    { env: FIXED_ENV },
  );
  await terminal.until("end\r\n");
  expect(await terminal.end()).toBe(0);
  expect(terminal.seen()).toContain("/dev/pts/0\r\n1000\r\nto\r\nend\r\n");
});

test("an OOM score and its own files work", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const { stdout, status } = await rkt.run([
    ...RUN,
    "--dns=192.0.2.1",
    "--hosts-entry=192.0.2.2=name",
    IMAGE,
    "--oom-score-adj=900",
    "--",
    "-c",
    "cat /proc/self/oom_score_adj; echo '# more' >> /etc/resolv.conf; busybox tail -n 2 /etc/resolv.conf; busybox grep name /etc/hosts; cat /etc/hostname | busybox cut -c1-4",
  ]);
  expect(stdout).toBe("900\nnameserver 192.0.2.1\n# more\n192.0.2.2 name\nrkt-\n");
  expect(status).toBe(0);
});

test("where the kernel has no namespace left nothing starts", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  // In a user namespace of its own the limit can be lowered without touching the host's.
  const result = await rkt.run([...RUN, IMAGE, "--", "-c", "echo ran"], {
    under: [
      "unshare",
      "--user",
      "--map-root-user",
      "--mount",
      "sh",
      "-c",
      'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"',
      "sh",
    ],
  });
  expect(result.stdout).toBe("");
  expect(result.stderr).toContain("user namespaces are switched off");
  expect(result.stderr).toContain("try: ");
  expect(result.status).toBe(254);
});
