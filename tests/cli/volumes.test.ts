// SPDX-License-Identifier: Apache-2.0
// Volumes and mounts (rkt-runtime §11): what an app sees of them, what it can do with them, and what an image, an
// app or another pod cannot make of them.
import { expect } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, PROJECT, type Result, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const test = needs("root", "sandbox", "busybox", "overlay");
const IMAGE = "example.com/busybox";
const NET = "--net=none";

type Image = Parameters<typeof busyboxAci>[0];

async function ready(rkt: Rkt, image: Image = {}): Promise<void> {
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci(image));
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

/** Runs a shell script as the only app; `flags` stand before the image, `own` behind it. */
function sh(
  rkt: Rkt,
  script: string,
  flags: readonly string[] = [],
  own: readonly string[] = [],
): Promise<Result> {
  return rkt.run(["run", NET, ...flags, IMAGE, ...own, "--", "-c", script]);
}

/** A directory for a volume, with files. */
function hostDirectory(
  rkt: Rkt,
  name: string,
  files: Readonly<Record<string, string>> = {},
): string {
  const path = `${rkt.work}/${name}`;
  mkdirSync(path);
  for (const [file, content] of Object.entries(files)) writeFileSync(`${path}/${file}`, content);
  return path;
}

const mountPoints = (...points: readonly object[]): Image => ({ app: { mountPoints: points } });

test("a mount before the first image is for all apps, one after an image for its app, which wins", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const all = hostDirectory(rkt, "all", { f: "all" });
  const own = hostDirectory(rkt, "own", { f: "own" });
  const { stdout, stderr } = await rkt.run([
    "run",
    NET,
    `--volume=all,kind=host,source=${all}`,
    `--volume=own,kind=host,source=${own}`,
    "--volume=unused,kind=host,source=/nowhere",
    "--mount=volume=all,target=/m",
    IMAGE,
    "--name=one",
    "--exec=/bin/cat",
    "--",
    "/m/f",
    "---",
    IMAGE,
    "--name=two",
    "--mount=volume=own,target=/x/..//m/",
    "--exec=/bin/cat",
    "--",
    "/m/f",
  ]);
  expect(stderr).toBe("");
  expect(stdout).toMatch(/^one\[\d+\]: all$/m);
  expect(stdout).toMatch(/^two\[\d+\]: own$/m);
});

test("what is wrong with --volume or --mount is said before anything is made", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const bad = (flag: string, text: string) => rkt.fails(["run", NET, flag, IMAGE], text);
  await bad("--volume=v,kind=other", 'unrecognized volume kind: should be one of "empty", "host"');
  await bad("--volume=v,kind=host", "source for host volume cannot be empty");
  await bad("--volume=v,kind=host,source=a", "source for host volume must be absolute path");
  await bad("--volume=v,kind=host,source=/a,mode=0700", "mode for host volume cannot be set");
  await bad("--volume=v,kind=empty,source=/a", "source for empty volume must be empty");
  await bad("--volume=v,kind=empty,size=1", 'unknown volume parameter "size"');
  await bad("--mount=volume=v,target=/x", 'dangling mount point "/x": volume "v" not found');
  await bad("--mount=volume=v,path=/x", 'unknown mount parameter "path"');
  await rkt.fails(
    ["run", NET, "--volume=v,kind=empty", "--volume=v,kind=empty", IMAGE],
    'duplicate volume name "v"',
  );
  await rkt.fails(
    ["run", NET, "--volume=v,kind=empty,mode=9", "--mount=volume=v,target=/x", IMAGE],
    'invalid mode "9" for volume "v"',
  );
  await rkt.fails(
    ["run", NET, "--volume=v,kind=empty", "--mount=volume=v,target=/", IMAGE],
    'cannot mount a volume at "/"',
  );
  expect(rkt.leftovers()).toEqual([]);
});

test("a volume's readOnly counts before the mount point's", async () => {
  await using rkt = newRkt();
  await ready(
    rkt,
    mountPoints(
      { name: "a", path: "/a", readOnly: true },
      { name: "b", path: "/b", readOnly: true },
      { name: "c", path: "/c" },
      { name: "d", path: "/d" },
      { name: "e", path: "/e", readOnly: true },
      { name: "f", path: "/f", readOnly: true },
    ),
  );
  const host = hostDirectory(rkt, "host");
  const source = `kind=host,source=${host}`;
  const { stdout } = await sh(
    rkt,
    "for d in a b c d e f g; do (echo > /$d/$d) 2>/dev/null && echo $d; done; true",
    [
      `--volume=a,${source}`,
      `--volume=b,${source},readOnly=false`,
      `--volume=c,${source},readOnly=true`,
      `--volume=d,${source}`,
      // By path, not by name: the mount point /e is read-only.
      `--volume=other,${source}`,
      "--mount=volume=other,target=/e/",
      "--volume=f,kind=empty",
      "--mount=volume=d,target=/g",
    ],
  );
  expect(stdout).toBe("b\nd\ng\n");
  expect(readdirSync(host).sort()).toEqual(["b", "d", "g"]);
});

test("mounts below a source come along, read-only where it is, unless recursive=false", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const host = hostDirectory(rkt, "host");
  mkdirSync(`${host}/below`);
  await Bun.$`mount -t tmpfs volume ${host}/below`;
  try {
    mkdirSync(`${host}/below/deep`);
    await Bun.$`mount -t tmpfs volume ${host}/below/deep`;
    try {
      writeFileSync(`${host}/below/deep/f`, "f");
      const run = async (more: string): Promise<string> =>
        (
          await sh(
            rkt,
            "cat /v/below/deep/f 2>/dev/null; for d in /v /v/below /v/below/deep; do (echo > $d/w) 2>/dev/null && echo $d; done; true",
            [`--volume=v,kind=host,source=${host}${more}`, "--mount=volume=v,target=/v"],
          )
        ).stdout;
      expect(await run(",readOnly=true")).toBe("f");
      expect(await run("")).toBe("f/v\n/v/below\n/v/below/deep\n");
      expect(await run(",recursive=false,readOnly=true")).toBe("");
      expect(await run(",recursive=false")).toBe("/v\n/v/below\n");
    } finally {
      await Bun.$`umount ${host}/below/deep`;
    }
  } finally {
    await Bun.$`umount ${host}/below`;
  }
});

test("an empty volume has its mode and owner, is shared by the apps and ends with the pod", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const file = `${rkt.work}/uuid`;
  const { stdout } = await rkt.run([
    "run",
    NET,
    `--uuid-file-save=${file}`,
    "--volume=shared,kind=empty,mode=2770,uid=5,gid=6",
    "--mount=volume=shared,target=/s",
    IMAGE,
    "--name=a",
    "--",
    "-c",
    "busybox stat -c '%a %u %g' /s; echo x > /s/f; busybox mkfifo /s/done; echo > /s/done",
    "---",
    IMAGE,
    "--name=b",
    "--",
    "-c",
    "while ! [ -p /s/done ]; do busybox usleep 10000; done; cat /s/done /s/f",
  ]);
  expect(stdout).toMatch(/^a\[\d+\]: 2770 5 6$/m);
  expect(stdout).toMatch(/^b\[\d+\]: x$/m);
  const pod = `${rkt.data}/pods/run/${readFileSync(file, "utf8")}`;
  expect(readdirSync(`${pod}/sharedVolumes/shared`).sort()).toEqual(["done", "f"]);
  await rkt.ok(["rm", readFileSync(file, "utf8")]);
  expect(rkt.leftovers()).toEqual([]);
});

test("a mount point without a volume gets an empty one, and a warning", async () => {
  await using rkt = newRkt();
  await ready(rkt, mountPoints({ name: "data", path: "/data", readOnly: true }));
  const { stdout, stderr } = await sh(rkt, "busybox stat -c '%a %u %g' /data; echo > /data/x");
  expect(stdout).toBe("755 0 0\n");
  expect(stderr).toContain(
    'run: warning: no volume specified for mount point "data" of app "busybox", implicitly creating an "empty" volume. This volume will be removed when the pod is garbage-collected.\n',
  );
  expect(stderr).toContain("Read-only file system");
});

test("of an image from Docker, a volume that nobody gave begins with the image's own content", async () => {
  await using rkt = newRkt();
  const files: NonNullable<Image>["files"] = [
    { name: "data", type: "dir", mode: 0o2750, uid: 7, gid: 8 },
    { name: "data/manifest", content: "content\n", uid: 9, gid: 10, mode: 0o4755 },
    { name: "data/sub", type: "dir", mode: 0o700 },
    { name: "data/sub/hard", type: "link", link: "rootfs/data/manifest" },
    { name: "data/link", type: "symlink", link: "/etc/passwd" },
    { name: "to-data", type: "symlink", link: "../data/sub" },
  ];
  const points = [
    { name: "data", path: "/data" },
    { name: "linked", path: "/to-data", readOnly: true },
    { name: "none", path: "/none" },
  ];
  const annotations = [{ name: "appc.io/docker/repository", value: "library/x" }];
  await ready(rkt, { app: { mountPoints: points }, manifest: { annotations }, files });
  const look =
    "busybox stat -c '%n %a %u %g %h' /data /data/manifest /data/sub /none; cat /data/manifest; busybox readlink /data/link; ls /none";
  const content =
    "/data 2750 7 8 3\n/data/manifest 4755 9 10 2\n/data/sub 700 0 0 2\n/none 755 0 0 2\ncontent\n/etc/passwd\n";
  for (const flags of [[], ["--no-overlay"]]) {
    const { stdout, stderr } = await sh(rkt, `${look}; echo > /data/new`, flags);
    expect(stdout).toBe(content);
    expect(stderr).toContain('no volume specified for mount point "data"');
  }
  const uuid = (await rkt.ok(["prepare", "--quiet", IMAGE, "--", "-c", look])).trim();
  expect((await rkt.run(["run-prepared", NET, uuid])).stdout).toBe(content);
  const given = ["data", "linked", "none"].map((name) => `--volume=${name},kind=empty`);
  const empty = await sh(
    rkt,
    "busybox stat -c '%a %u' /data; [ -e /data/manifest ] || echo empty",
    given,
  );
  expect(empty.stdout).toBe("755 0\nempty\n");
});

test("a file, a socket and a fifo can be sources; their places are made as files", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const host = hostDirectory(rkt, "host", { file: "content\n" });
  await Bun.$`mkfifo ${host}/fifo`;
  using server = Bun.listen({ unix: `${host}/socket`, socket: { data: () => undefined } });
  const running = sh(
    rkt,
    "cat /made/by/rkt/file; busybox stat -c '%a %u' /made/by; cat /fifo; [ -S /run/socket ] && echo socket",
    ["file", "fifo", "socket"].map((name) => `--volume=${name},kind=host,source=${host}/${name}`),
    [
      "--mount=volume=file,target=/made/by/rkt/file",
      "--mount=volume=fifo,target=/fifo",
      "--mount=volume=socket,target=/run/socket",
    ],
  );
  writeFileSync(`${host}/fifo`, "through the fifo\n");
  const { stdout, stderr } = await running;
  expect(stderr).toBe("");
  expect(stdout).toBe("content\n755 0\nthrough the fifo\nsocket\n");
  expect(server.unix).toEndWith("socket");
});

test("a device that is a source can be opened, one in a directory cannot", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const host = hostDirectory(rkt, "host");
  await Bun.$`mknod ${host}/zero c 1 5`;
  const { stdout, stderr } = await sh(
    rkt,
    "busybox head -c 3 /dev/lent | busybox od -An -tx1; busybox head -c 3 /v/zero",
    [`--volume=d,kind=host,source=${host}/zero`, `--volume=v,kind=host,source=${host}`],
    ["--mount=volume=d,target=/dev/lent", "--mount=volume=v,target=/v"],
  );
  expect(stdout.trim()).toBe("00 00 00");
  expect(stderr).toContain("/v/zero: Permission denied");
});

test("a source that is missing costs no pod, not a prepared one either", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const flags = [
    `--volume=v,kind=host,source=${rkt.work}/later`,
    "--mount=volume=v,target=/v",
    IMAGE,
    "--exec=/bin/ls",
    "--",
    "/v",
  ];
  const sentence = `cannot use volume "v": its source "${rkt.work}/later" does not exist`;
  const { stderr } = await rkt.fails(["run", NET, ...flags], `run: ${sentence}\n`);
  expect(stderr).toContain("  try: create ");
  expect(await rkt.ok(["list", "--no-legend"])).toBe("");
  const uuid = (await rkt.ok(["prepare", "--quiet", ...flags])).trim();
  await rkt.fails(["run-prepared", NET, uuid], `run-prepared: ${sentence}\n`);
  expect(await rkt.ok(["list", "--no-legend"])).toContain("prepared");
  hostDirectory(rkt, "later", { there: "" });
  expect(await rkt.ok(["run-prepared", NET, uuid])).toBe("there\n");
});

test("what the host mounts in a source later is seen, what an app mounts there is not", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const host = hostDirectory(rkt, "host");
  await Bun.$`mount -t tmpfs -o mode=755 volume ${host} && mount --make-shared ${host}`;
  try {
    mkdirSync(`${host}/theirs`);
    mkdirSync(`${host}/ours`);
    await using pod = rkt.spawn([
      "run",
      NET,
      `--volume=v,kind=host,source=${host}`,
      "--mount=volume=v,target=/v",
      IMAGE,
      "--caps-retain=CAP_SYS_ADMIN",
      "--seccomp=mode=retain,@appc.io/all",
      "--",
      "-c",
      "mount -t tmpfs app /v/theirs && echo mounted; until cat /v/ours/f 2>/dev/null; do busybox usleep 10000; done",
    ]);
    await pod.until("mounted");
    await Bun.$`mount -t tmpfs volume ${host}/ours`;
    try {
      const table = readFileSync("/proc/self/mountinfo", "utf8");
      expect(table).toContain(` ${host}/ours `);
      expect(table).not.toContain(` ${host}/theirs `);
      writeFileSync(`${host}/ours/f`, "seen\n");
      expect((await pod.finished).stdout).toBe("mounted\nseen\n");
    } finally {
      await Bun.$`umount ${host}/ours`;
    }
  } finally {
    await Bun.$`umount ${host}`;
  }
});

test("what the host mounts in a source later brings no devices, and nothing to a read-only volume", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const host = hostDirectory(rkt, "host");
  await Bun.$`mount -t tmpfs -o mode=755 volume ${host} && mount --make-shared ${host}`;
  try {
    mkdirSync(`${host}/late`);
    await using pod = rkt.spawn([
      "run",
      NET,
      `--volume=v,kind=host,source=${host}`,
      `--volume=r,kind=host,source=${host},readOnly=true`,
      "--mount=volume=v,target=/v",
      "--mount=volume=r,target=/r",
      IMAGE,
      "--",
      "-c",
      `echo up; until test -e /v/late/f; do busybox usleep 10000; done
       ls /r/late; mknod /v/late/made b 7 78 || echo not made
       for f in node made; do cat /v/late/$f || echo not opened; done; touch /r/late/x || echo not written`,
    ]);
    await pod.until("up");
    await Bun.$`mount -t tmpfs volume ${host}/late && mknod ${host}/late/node b 7 77`;
    try {
      writeFileSync(`${host}/late/f`, "");
      const { stdout, stderr } = await pod.finished;
      expect(stdout).toBe("up\nnot opened\nnot opened\nnot written\n");
      expect(stderr).toContain("/v/late/node': Operation not permitted");
    } finally {
      await Bun.$`umount ${host}/late`;
    }
  } finally {
    await Bun.$`umount ${host}`;
  }
});

test("a target's links are followed inside the root, and what they lead to is made there", async () => {
  await using rkt = newRkt();
  await ready(rkt, {
    files: [
      { name: "real", type: "dir" },
      { name: "absolute", type: "symlink", link: "/real" },
      { name: "escaping", type: "symlink", link: "../../../../real/.." },
      { name: "dangling", type: "symlink", link: "made/there" },
      { name: "outside", type: "symlink", link: `${PROJECT}/nowhere` },
      { name: "chain", type: "symlink", link: "dangling/../chained" },
    ],
  });
  const host = hostDirectory(rkt, "host", { f: "" });
  const targets = ["/absolute/a", "/escaping/b", "/dangling", "/outside/c", "/chain"];
  const { stdout, stderr } = await sh(
    rkt,
    `ls -d /real/a/f /b/f /made/there/f ${PROJECT}/nowhere/c/f /made/chained/f`,
    [`--volume=v,kind=host,source=${host}`],
    targets.map((target) => `--mount=volume=v,target=${target}`),
  );
  expect(stderr).toBe("");
  expect(stdout.trim().split("\n")).toHaveLength(5);
  expect(readdirSync(PROJECT)).not.toContain("nowhere");
  expect(readdirSync(host)).toEqual(["f"]);
});

test("a volume that a mount of a pod manifest carries counts before the pod's of that name", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const own = hostDirectory(rkt, "own", { f: "own\n" });
  const pods = hostDirectory(rkt, "pods", { f: "pod's\n" });
  const { name, id } = JSON.parse(await rkt.ok(["image", "list", "--format=json"]))[0];
  const app = (command: string, mounts: readonly object[]) => ({
    name: command === "/a/f" ? "one" : "two",
    image: { name, id },
    app: { exec: ["/bin/cat", command], user: "0", group: "0" },
    mounts,
  });
  const manifest = {
    acVersion: "0.8.11",
    acKind: "PodManifest",
    apps: [
      app("/a/f", [
        {
          volume: "v",
          path: "/a",
          appVolume: { name: "v", kind: "host", source: own, readOnly: true },
        },
      ]),
      app("/b/f", [{ volume: "v", path: "/b" }]),
    ],
    volumes: [{ name: "v", kind: "host", source: pods }],
  };
  const file = `${rkt.work}/pod.json`;
  writeFileSync(file, JSON.stringify(manifest));
  const { stdout, stderr } = await rkt.run(["run", NET, `--pod-manifest=${file}`]);
  expect(stderr).toBe("");
  expect(stdout).toMatch(/^one\[\d+\]: own$/m);
  expect(stdout).toMatch(/^two\[\d+\]: pod's$/m);
  writeFileSync(file, JSON.stringify({ ...manifest, volumes: [] }));
  await rkt.fails(["run", NET, `--pod-manifest=${file}`], 'could not find volume "v"');
});

test("without an overlay a volume goes to the same places", async () => {
  await using rkt = newRkt();
  await ready(rkt, {
    files: [
      { name: "up", type: "symlink", link: "../../.." },
      { name: "dangling", type: "symlink", link: "/made" },
    ],
  });
  const host = hostDirectory(rkt, "host", { f: "" });
  const at = (target: string) => [
    `--volume=v,kind=host,source=${host}`,
    `--mount=volume=v,target=${target}`,
  ];
  const { stdout } = await sh(rkt, "ls /made /up/x", [
    ...["--no-overlay", ...at("/dangling"), "--mount=volume=v,target=/up/x"],
  ]);
  expect(stdout).toBe("/made:\nf\n\n/up/x:\nf\n");
  await rkt.fails(["run", NET, "--no-overlay", ...at("/up"), IMAGE], "it leads to the app's root");
});

test("a hostile image's mount point goes nowhere it must not", async () => {
  const cases = [
    ["/", "it leads to the app's root"],
    ["../../..", "it leads to the app's root"],
    ["/proc", "it lies in /proc"],
    ["/proc/self", "it lies in /proc"],
    ["/proc/sys/kernel", "it lies in /proc"],
    ["/proc/self/root", "a symbolic link is in the way"],
    ["/proc/self/cwd/x", "a symbolic link is in the way"],
    ["trap", "a symbolic link is in the way"],
  ] as const;
  for (const [link, why] of cases) {
    await using rkt = newRkt();
    await ready(rkt, {
      ...mountPoints({ name: "data", path: "/trap" }),
      files: [{ name: "trap", type: "symlink", link }],
    });
    const { stderr } = await rkt.fails(["run", NET, IMAGE, "--exec=/bin/true"], why);
    expect(stderr).toContain('cannot mount volume "busybox-data" at "/trap": ');
  }
});

test("a volume does not come into /proc, but for the files that lxcfs gives", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const host = hostDirectory(rkt, "host", { meminfo: "fake\n" });
  const at = (source: string, target: string) =>
    sh(
      rkt,
      "cat /proc/meminfo",
      [`--volume=v,kind=host,source=${source}`],
      [`--mount=volume=v,target=${target}`],
    );
  expect((await at(host, "/proc")).stderr).toContain('at "/proc": it lies in /proc');
  expect((await at(`${host}/meminfo`, "/proc/self/attr/current")).status).toBe(254);
  expect((await at(`${host}/meminfo`, "/proc/meminfo")).stdout).toBe("fake\n");
});

test("a volume may cover /dev or /sys, and what is masked stays masked", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const host = hostDirectory(rkt, "host", { f: "" });
  const { stdout, stderr } = await sh(
    rkt,
    "ls /dev /sys/module /sys/kernel; busybox head -c 1 /proc/kallsyms | busybox wc -c",
    [`--volume=v,kind=host,source=${host},readOnly=true`],
    ["--mount=volume=v,target=/dev", "--mount=volume=v,target=/sys/kernel"],
  );
  expect(stderr).toBe("");
  expect(stdout).toBe("/dev:\nf\n\n/sys/kernel:\nf\n\n/sys/module:\n0\n");
  expect(readdirSync(host)).toEqual(["f"]);
});

test("one volume below another is seen there; a place in a read-only one is not made", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const outer = hostDirectory(rkt, "outer", { f: "" });
  const inner = hostDirectory(rkt, "inner", { g: "" });
  const run = (more: string) =>
    sh(
      rkt,
      "ls /o /o/a/i",
      [`--volume=i,kind=host,source=${inner}`, `--volume=o,kind=host,source=${outer}${more}`],
      ["--mount=volume=i,target=/o/a/i", "--mount=volume=o,target=/o"],
    );
  expect((await run(",readOnly=true")).stderr).toContain(
    'cannot make mount point "/o/a/i": read-only file system',
  );
  expect((await run("")).stdout).toBe("/o:\na\nf\n\n/o/a/i:\ng\n");
  expect((await run(",readOnly=true")).stdout).toBe("/o:\na\nf\n\n/o/a/i:\ng\n");
});

test("what is a directory here and a file there is said to be so", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const host = hostDirectory(rkt, "host", { f: "" });
  for (const [source, target] of [
    [host, "/etc/passwd"],
    [`${host}/f`, "/tmp"],
    [`${host}/f`, "/etc/passwd/x"],
  ] as const) {
    await rkt.fails(
      [
        "run",
        NET,
        `--volume=v,kind=host,source=${source}`,
        `--mount=volume=v,target=${target}`,
        IMAGE,
      ],
      `run: cannot mount volume "v" at "${target}": one is a directory and the other is not`,
    );
  }
});

test("a source does not lead into a process", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const host = hostDirectory(rkt, "host");
  symlinkSync("/proc/self/root/etc", `${host}/link`);
  for (const source of ["/proc/self/cwd", `${host}/link`]) {
    await rkt.fails(
      ["run", NET, `--volume=v,kind=host,source=${source}`, "--mount=volume=v,target=/v", IMAGE],
      `run: cannot open volume "v" from "${source}": a symbolic link leads in circles, or into a process`,
    );
  }
});

const inspect = () => readFileSync(`${PROJECT}/build/inspect`);

/** An image with the payload, which can exchange two names without a moment between. */
async function readyToSwap(rkt: Rkt): Promise<void> {
  await ready(rkt, { files: [{ name: "inspect", content: inspect(), mode: 0o755 }] });
}

// CVE-2021-30465: the directory that a mount goes to is exchanged with a link while the mount is made.
test("another pod that swaps a mount's target for a link gets no mount outside of the app's root", async () => {
  await using rkt = newRkt();
  await readyToSwap(rkt);
  const shared = hostDirectory(rkt, "shared");
  const outside = hostDirectory(rkt, "outside", { canary: "host\n" });
  mkdirSync(`${shared}/target`);
  symlinkSync(outside, `${shared}/link`);
  chmodSync(outside, 0o777);
  const volume = [`--volume=s,kind=host,source=${shared}`, "--mount=volume=s,target=/s"];
  await using attacker = rkt.spawn([
    ...["run", NET, ...volume, IMAGE, "--exec=/inspect", "--"],
    ...["swap", "/s/target", "/s/link"],
  ]);
  await attacker.until("swapping");
  const before = readFileSync("/proc/self/mountinfo", "utf8");
  for (let i = 0; i < 25; i++) {
    const result = await rkt.run([
      ...["run", NET, ...volume, "--volume=e,kind=empty", "--mount=volume=e,target=/s/target"],
      ...[IMAGE, "--", "-c", `cat ${outside}/canary; echo x > /s/target/mine; true`],
    ]);
    // It starts, or says what was in the way; and never sees the host's directory.
    expect(result.stdout).toBe("");
    expect([0, 254]).toContain(result.status);
  }
  expect(readdirSync(outside)).toEqual(["canary"]);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).toBe(before);
});

test("an app that swaps names in a shared volume does not move the other app's mounts", async () => {
  await using rkt = newRkt();
  await readyToSwap(rkt);
  for (let i = 0; i < 10; i++) {
    const { stdout } = await rkt.run([
      ...["run", NET, "--volume=s,kind=empty", "--mount=volume=s,target=/s"],
      ...["--volume=secret,kind=empty", IMAGE, "--name=swaps", "--", "-c"],
      "mkdir -p /s/d; busybox ln -s / /s/l; /inspect swap /s/d /s/l & until [ -e /s/end ]; do busybox usleep 1000; done; kill $!",
      ...["---", IMAGE, "--name=other", "--mount=volume=secret,target=/s/d", "--", "-c"],
      "busybox grep sharedVolumes/secret /proc/self/mountinfo | busybox cut -d' ' -f5; echo > /s/end",
    ]);
    // A mount goes with the directory that it is on, whatever that is called by now.
    expect(stdout).toMatch(/^other\[\d+\]: \/s\/[dl]$/m);
    expect(stdout.match(/^other/gm)).toHaveLength(1);
  }
});
