// SPDX-License-Identifier: Apache-2.0
// What a pod does with an image of Docker's beside what any image gets: user and groups, working directory, arguments,
// the signal that stops it. The images are ACIs with the marks that the view of an OCI image has.
import { expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { buildAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const test = needs("root", "sandbox", "busybox", "overlay");
const IMAGE = "example.com/busybox";
const NET = "--net=none";
const FILES = [
  { name: "bin", type: "dir" },
  { name: "bin/busybox", content: readFileSync("/bin/busybox"), mode: 0o755 },
  ...["sh", "id", "echo", "stat", "sleep"].map(
    (name) => ({ name: `bin/${name}`, type: "symlink", link: "busybox" }) as const,
  ),
  { name: "etc", type: "dir" },
  {
    name: "etc/passwd",
    content: "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1001::/home/user:/bin/sh\n",
  },
  {
    name: "etc/group",
    content: "root:x:0:\nuser:x:1000:\nextra:x:2000:a,user\nlast:x:3000:user\n",
  },
] as const;

interface Docker {
  readonly user?: string;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly stopSignal?: string;
  readonly app?: Readonly<Record<string, unknown>>;
}

async function ready(rkt: Rkt, { user = "", entrypoint = [], cmd = [], stopSignal, app }: Docker) {
  const [name = "", group = ""] = user.split(":");
  const annotations: [string, string | undefined][] = [
    ["appc.io/docker/repository", "library/busybox"],
    ["appc.io/docker/user", user],
    ["appc.io/docker/entrypoint", JSON.stringify(entrypoint)],
    ["appc.io/docker/cmd", JSON.stringify(cmd)],
    ["appc.io/docker/stopsignal", stopSignal],
  ];
  const image = buildAci({
    name: IMAGE,
    exec: [...entrypoint, ...cmd],
    app: { user: name || "0", group: group || name || "0", ...app },
    manifest: {
      annotations: annotations.flatMap(([name, value]) =>
        value === undefined ? [] : [{ name, value }],
      ),
    },
    files: FILES,
  });
  writeFileSync(`${rkt.work}/busybox.aci`, image);
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

test("the user's groups and home are those of the image", async () => {
  await using rkt = newRkt();
  await ready(rkt, { user: "user", entrypoint: ["/bin/sh", "-c"], cmd: ["id; echo $HOME $USER"] });
  const result = await rkt.run(["run", NET, IMAGE]);
  expect(result.stdout).toBe(
    "uid=1000(user) gid=1001 groups=2000(extra),3000(last)\n/home/user user\n",
  );
  // A user of the command line is rkt's: a number, with the image's group.
  const other = await rkt.run(["run", NET, IMAGE, "--user=7", "--group=8"]);
  expect(other.stdout).toBe("uid=7 gid=8\n/root root\n");
});

test("what enters the app is the same user; with --private-users too", async () => {
  await using rkt = newRkt();
  await ready(rkt, {
    user: "user",
    cmd: ["/bin/sh", "-c", "echo up; while :; do sleep 0.1; done"],
  });
  for (const flag of ["--private-users=false", "--private-users"]) {
    const file = `${rkt.work}/uuid`;
    const pod = rkt.spawn(["run", NET, flag, `--uuid-file-save=${file}`, IMAGE]);
    await pod.until("up");
    const uuid = readFileSync(file, "utf8");
    const entered = await rkt.run(["enter", uuid, "/bin/sh", "-c", "id; echo $HOME $USER"]);
    expect(entered.stdout).toBe(
      "uid=1000(user) gid=1001 groups=2000(extra),3000(last)\n/home/user user\n",
    );
    await rkt.run(["stop", "--force", uuid]);
    await pod.finished;
  }
});

test("a number that the image does not know is in root's group", async () => {
  await using rkt = newRkt();
  await ready(rkt, { user: "1234", cmd: ["/bin/id"] });
  expect((await rkt.run(["run", NET, IMAGE])).stdout).toBe("uid=1234 gid=0(root)\n");
});

test("arguments take the place of Cmd, --exec of both", async () => {
  await using rkt = newRkt();
  await ready(rkt, { entrypoint: ["/bin/echo", "e"], cmd: ["c", "d"] });
  const run = async (...args: readonly string[]) =>
    (await rkt.run(["run", NET, IMAGE, ...args])).stdout;
  expect(await run()).toBe("e c d\n");
  expect(await run("--", "x", "y")).toBe("e x y\n");
  expect(await run("--exec=/bin/echo", "--", "x")).toBe("x\n");
  expect(await run("--exec=/bin/echo")).toBe("\n");
});

test("a working directory that the image does not have is made", async () => {
  await using rkt = newRkt();
  await ready(rkt, {
    cmd: ["/bin/stat", "-c", "%n %a %u", "/srv/a b", "."],
    app: { workingDirectory: "/srv/a b" },
  });
  for (const flag of ["--no-overlay=false", "--no-overlay"])
    expect((await rkt.run(["run", NET, flag, IMAGE])).stdout).toBe("/srv/a b 755 0\n. 755 0\n");
});

const STOPPED =
  "trap 'echo quit; exit 3' QUIT; trap 'echo term; exit 4' TERM; echo up; while :; do sleep 0.1; done";

test("rkt stop sends the image's signal", async () => {
  await using rkt = newRkt();
  const stop = async () => {
    const file = `${rkt.work}/uuid`;
    const pod = rkt.spawn(["run", NET, `--uuid-file-save=${file}`, IMAGE]);
    await pod.until("up");
    await rkt.run(["stop", readFileSync(file, "utf8")]);
    return await pod.finished;
  };
  await ready(rkt, { cmd: ["/bin/sh", "-c", STOPPED], stopSignal: "SIGQUIT" });
  expect(await stop()).toMatchObject({ stdout: "up\nquit\n", status: 3 });
  // Also through the process that stays for a post-stop handler.
  await ready(rkt, {
    cmd: ["/bin/sh", "-c", STOPPED],
    stopSignal: "3",
    app: { eventHandlers: [{ name: "post-stop", exec: ["/bin/echo", "after"] }] },
  });
  expect(await stop()).toMatchObject({ stdout: "up\nquit\nafter\n", status: 3 });
  await ready(rkt, { cmd: ["/bin/sh", "-c", STOPPED], stopSignal: "SIGNONSENSE" });
  expect(await stop()).toMatchObject({ stdout: "up\nterm\n", status: 4 });
});
