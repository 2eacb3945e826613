// SPDX-License-Identifier: Apache-2.0
// What a pod does with an image of Docker's beside what any image gets: user and groups, working directory, arguments,
// the signal that stops it. Each test runs with an ACI that has the marks of a converted image, and with an OCI image.
import { expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { buildAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { writeImage } from "../support/oci-layout.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const either = needs("root", "sandbox", "busybox", "overlay");
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

type Family = "ACI" | "OCI";

function test(name: string, body: (family: Family) => Promise<void>): void {
  for (const family of ["ACI", "OCI"] as const) either(`${name} (${family})`, () => body(family));
}

interface Docker {
  readonly user?: string;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly stopSignal?: string;
  readonly workingDirectory?: string;
  /** For an ACI only: Docker's config has no such thing. */
  readonly eventHandlers?: readonly object[];
}

/** Gives the words that name the image on a command line. */
async function ready(family: Family, rkt: Rkt, docker: Docker): Promise<readonly string[]> {
  if (family === "ACI") return await readyAci(rkt, docker);
  const { user = "", entrypoint = [], cmd = [], stopSignal, workingDirectory } = docker;
  const config = {
    User: user,
    Entrypoint: entrypoint,
    Cmd: cmd,
    StopSignal: stopSignal,
    WorkingDir: workingDirectory,
  };
  writeImage(`${rkt.work}/img`, { layers: [{ items: FILES }], config });
  return ["--insecure-options=image", `oci:${rkt.work}/img`];
}

async function readyAci(rkt: Rkt, docker: Docker): Promise<readonly string[]> {
  const { user = "", entrypoint = [], cmd = [], stopSignal, ...app } = docker;
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
  return [IMAGE];
}

test("the user's groups and home are those of the image", async (family) => {
  await using rkt = newRkt();
  const image = await ready(family, rkt, {
    user: "user",
    entrypoint: ["/bin/sh", "-c"],
    cmd: ["id; echo $HOME $USER"],
  });
  const result = await rkt.run(["run", NET, ...image]);
  expect(result.stdout).toBe(
    "uid=1000(user) gid=1001 groups=2000(extra),3000(last)\n/home/user user\n",
  );
  // A user of the command line is rkt's: a number, with the image's group.
  const other = await rkt.run(["run", NET, ...image, "--user=7", "--group=8"]);
  expect(other.stdout).toBe("uid=7 gid=8\n/root root\n");
});

test("what enters the app is the same user; with --private-users too", async (family) => {
  await using rkt = newRkt();
  const image = await ready(family, rkt, {
    user: "user",
    cmd: ["/bin/sh", "-c", "echo up; while :; do sleep 0.1; done"],
  });
  for (const flag of ["--private-users=false", "--private-users"]) {
    const file = `${rkt.work}/uuid`;
    const pod = rkt.spawn(["run", NET, flag, `--uuid-file-save=${file}`, ...image]);
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

test("a number that the image does not know is in root's group", async (family) => {
  await using rkt = newRkt();
  const image = await ready(family, rkt, { user: "1234", cmd: ["/bin/id"] });
  expect((await rkt.run(["run", NET, ...image])).stdout).toBe("uid=1234 gid=0(root)\n");
});

test("arguments take the place of Cmd, --exec of both", async (family) => {
  await using rkt = newRkt();
  const image = await ready(family, rkt, { entrypoint: ["/bin/echo", "e"], cmd: ["c", "d"] });
  const run = async (...args: readonly string[]) =>
    (await rkt.run(["run", NET, ...image, ...args])).stdout;
  expect(await run()).toBe("e c d\n");
  expect(await run("--", "x", "y")).toBe("e x y\n");
  expect(await run("--exec=/bin/echo", "--", "x")).toBe("x\n");
  expect(await run("--exec=/bin/echo")).toBe("\n");
});

test("a working directory that the image does not have is made", async (family) => {
  await using rkt = newRkt();
  const image = await ready(family, rkt, {
    cmd: ["/bin/stat", "-c", "%n %a %u", "/srv/a b", "."],
    workingDirectory: "/srv/a b",
  });
  for (const flag of ["--no-overlay=false", "--no-overlay"])
    expect((await rkt.run(["run", NET, flag, ...image])).stdout).toBe("/srv/a b 755 0\n. 755 0\n");
});

const STOPPED =
  "trap 'echo quit; exit 3' QUIT; trap 'echo term; exit 4' TERM; echo up; while :; do sleep 0.1; done";

test("rkt stop sends the image's signal", async (family) => {
  await using rkt = newRkt();
  const stop = async (docker: Docker) => {
    const image = await ready(family, rkt, { cmd: ["/bin/sh", "-c", STOPPED], ...docker });
    const file = `${rkt.work}/uuid`;
    const pod = rkt.spawn(["run", NET, `--uuid-file-save=${file}`, ...image]);
    await pod.until("up");
    await rkt.run(["stop", readFileSync(file, "utf8")]);
    return await pod.finished;
  };
  const quit = { stdout: "up\nquit\n", status: 3 };
  expect(await stop({ stopSignal: "SIGQUIT" })).toMatchObject(quit);
  expect(await stop({ stopSignal: "3" })).toMatchObject(quit);
  expect(await stop({ stopSignal: "SIGNONSENSE" })).toMatchObject({
    stdout: "up\nterm\n",
    status: 4,
  });
  if (family === "OCI") return;
  // Also through the process that stays for a post-stop handler.
  const eventHandlers = [{ name: "post-stop", exec: ["/bin/echo", "after"] }];
  expect(await stop({ stopSignal: "SIGQUIT", eventHandlers })).toMatchObject({
    stdout: "up\nquit\nafter\n",
    status: 3,
  });
});
