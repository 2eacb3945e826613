// SPDX-License-Identifier: Apache-2.0
// `rkt explain`: what it says is what `rkt run` with the same words does, and it leaves nothing behind.
import { expect } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { buildAci, busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned, signFile } from "../support/signed.ts";

const test = needs("root", "sandbox", "busybox", "overlay");
const IMAGE = "example.com/busybox";
const NET = "--net=none";

async function ready(rkt: Rkt, image: Parameters<typeof busyboxAci>[0] = {}): Promise<string> {
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci(image));
  return await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

interface Explained {
  readonly apps: readonly {
    readonly name: string;
    readonly image: { id: string; name: string; verification: Record<string, unknown> };
    readonly dependencies: readonly { name: string; verification: { kind: string } }[];
    readonly user: object;
    readonly exec: readonly string[];
    readonly environment: readonly string[];
    readonly mounts: readonly Record<string, unknown>[];
    readonly capabilities: readonly string[];
    readonly limits: readonly object[];
    readonly hidden_paths: readonly string[];
  }[];
  readonly hostname: string;
  readonly namespaces: readonly string[];
  readonly warnings: readonly string[];
  readonly plan?: readonly string[];
}

async function explain(rkt: Rkt, ...words: string[]): Promise<Explained> {
  return JSON.parse(await rkt.ok(["explain", "--format=json", ...words])) as Explained;
}

test("explain says who verified the image and what each app gets, and leaves nothing", async () => {
  await using rkt = newRkt();
  const key = await ready(rkt, {
    labels: { version: "1.36" },
    app: {
      mountPoints: [
        { name: "data", path: "/data", readOnly: true },
        { name: "other", path: "/other" },
      ],
      isolators: [{ name: "os/linux/capabilities-remove-set", value: { set: ["CAP_MKNOD"] } }],
    },
  });
  const host = `${rkt.work}/host`;
  mkdirSync(host);
  const before = readdirSync(rkt.data).sort();
  const words = [
    ...[NET, `--volume=data,kind=host,source=${host},recursive=false`, IMAGE, "--user=1000"],
    ...[
      "--environment=A=b c",
      "--readonly-rootfs=true",
      "--supplementary-gids=7",
      "--",
      "-c",
      "echo 'x'",
    ],
  ];
  const { stdout, stderr, status } = await rkt.run(["explain", ...words]);
  expect(stderr).toBe("");
  expect(stdout).toStartWith(`app "busybox"\n  image:           example.com/busybox:1.36\n`);
  expect(stdout).toMatch(/^ {2}verified by: {5}key [0-9A-F]{40}\n {19}Every Image/im);
  expect(stdout).toMatch(/^ {19}trusted for .*, at \d{4}-/m);
  expect(stdout).toContain("\n  user:            uid 1000, gid 0, groups 7\n");
  expect(stdout).toContain("\n  runs:            /bin/sh -c 'echo '\\''x'\\'''\n");
  expect(stdout).toContain("\n  environment:     A=b c\n                   PATH=");
  expect(stdout).toContain("\n  root:            read-only\n");
  expect(stdout).toContain(`/data: ${host} of the host, volume "data", read-only, not recursive\n`);
  expect(stdout).toContain(`/other: empty volume "busybox-other"\n`);
  expect(stdout).toMatch(/^ {2}capabilities: .*\bCHOWN\b/m);
  expect(stdout).not.toMatch(/^ {2}capabilities: .*\bMKNOD\b/m);
  expect(stdout).toMatch(/^ {2}system calls: {4}default: \d+ of \d+ calls, else EPERM$/m);
  expect(stdout).toContain("\npod\n  network:         none\n  host name:       rkt-UUID\n");
  expect(stdout).toContain(
    '\nwarnings\n  no volume specified for mount point "other" of app "busybox", ',
  );
  expect(stdout).not.toContain("\nplan\n");
  expect(status).toBe(0);

  const said = await explain(rkt, ...words);
  expect(said.apps[0]).toMatchObject({
    name: "busybox",
    image: { name: IMAGE, version: "1.36", verification: { kind: "openpgp" } },
    dependencies: [],
    user: { uid: 1000, gid: 0, supplementary_gids: [7] },
    exec: ["/bin/sh", "-c", "echo 'x'"],
    read_only_rootfs: true,
  });
  expect(said.apps[0]?.image.id).toStartWith(key);
  expect(said.apps[0]?.mounts).toContainEqual({
    kind: "host",
    volume: "data",
    source: host,
    target: "/data",
    read_only: true,
    recursive: false,
  });
  expect(said.namespaces).toContain("network");
  expect(said.plan).toBeUndefined();
  // Nothing is running, prepared or to be collected.
  expect(await rkt.ok(["list", "--no-legend"])).toBe("");
  expect(rkt.leftovers()).toEqual([]);
  expect(readdirSync(rkt.data).filter((name) => !before.includes(name))).toEqual(["pods"]);
});

test("what explain says is what the app finds", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const words = [
    NET,
    IMAGE,
    "--caps-retain=CAP_KILL,CAP_CHOWN",
    "--user=1000",
    "--environment=X=y",
  ];
  const [app] = (await explain(rkt, ...words)).apps;
  const { stdout } = await rkt.run([
    ...["run", ...words, "--", "-c", "busybox grep CapBnd /proc/self/status; busybox env; id -u"],
  ]);
  expect(app?.capabilities).toEqual(["CAP_CHOWN", "CAP_KILL"]);
  expect(stdout).toContain("CapBnd:\t0000000000000021\n");
  for (const variable of app?.environment ?? []) expect(stdout).toContain(`${variable}\n`);
  expect(stdout).toEndWith("1000\n");
});

test("explain --plan prints the plan that run --dry-run prints", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const words = [NET, "--hostname=box", IMAGE];
  const dry = await rkt.ok(["run", "--dry-run", ...words]);
  const { plan = [] } = await explain(rkt, "--plan", ...words);
  const uuid = /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(dry)?.[0] ?? "";
  const escaped = uuid.replaceAll("-", "\\x2d");
  const text = dry.trimEnd().replaceAll(uuid, "UUID").replaceAll(escaped, "UUID");
  expect(plan).toEqual(text.split("\n"));
  expect(await rkt.ok(["explain", "--plan", ...words])).toContain("\nplan\n  options command=run ");
});

test("explain fetches as run does: nobody's word is not enough, and a dependency shows who vouched for it", async () => {
  await using rkt = newRkt();
  writeFileSync(
    `${rkt.work}/top.aci`,
    buildAci({
      name: "example.com/top",
      exec: ["/bin/sh"],
      manifest: { dependencies: [{ imageName: IMAGE }] },
      files: [{ name: "top", content: "" }],
    }),
  );
  await rkt.fails(["explain", NET, `${rkt.work}/top.aci`], "explain: ");
  expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
  await ready(rkt);
  await signFile(`${rkt.work}/top.aci`);
  const said = await explain(rkt, NET, `${rkt.work}/top.aci`);
  expect(
    said.apps[0]?.dependencies.map(({ name, verification }) => [name, verification.kind]),
  ).toEqual([[IMAGE, "openpgp"]]);
  const unverified = await rkt.ok(["--insecure-options=image", "explain", NET, IMAGE]);
  expect(unverified).toContain("  verified by:     key ");
});

test("explain refuses what run refuses", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await rkt.fails(["explain", NET, IMAGE, "--user=nobody-here"], "nobody-here");
  await rkt.fails(
    ["explain", NET, "--mount=volume=v,target=/x", IMAGE],
    'dangling mount point "/x": volume "v" not found',
  );
  await rkt.fails(["explain", "--format=yaml", NET, IMAGE], "invalid format");
  expect(await rkt.ok(["list", "--no-legend"])).toBe("");
});

test("an isolator that is not enforced is among the warnings", async () => {
  await using rkt = newRkt();
  await ready(rkt, {
    app: {
      isolators: [{ name: "resource/network-bandwidth", value: { default: true, limit: "1M" } }],
    },
  });
  const said = await explain(rkt, NET, IMAGE);
  expect(said.warnings.join("\n")).toContain("resource/network-bandwidth");
  expect(said.apps[0]?.limits).toEqual([
    { name: "resource/network-bandwidth", value: { default: true, limit: "1M" } },
  ]);
});

test("limits are said in words", async () => {
  await using rkt = newRkt();
  await ready(rkt, {
    app: { isolators: [{ name: "resource/cpu", value: { request: "1", limit: "2" } }] },
  });
  const limits = async (...flags: string[]) =>
    (await rkt.ok(["explain", NET, IMAGE, ...flags])).match(
      /^ {2}limits: +(.*)\n(?: {19}(.*)\n)?/m,
    );
  expect((await limits())?.[1]).toBe("resource/cpu request 1, limit 2");
  const both = (await limits("--memory=64Mi"))?.slice(1);
  expect(both?.sort()).toEqual(["resource/cpu request 1, limit 2", "resource/memory limit 64Mi"]);
});

test("a pod has a network namespace unless it has the host's", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  for (const net of ["default", "none"]) {
    expect((await explain(rkt, `--net=${net}`, IMAGE)).namespaces).toContain("network");
  }
  expect((await explain(rkt, "--net=host", IMAGE)).namespaces).not.toContain("network");
});
