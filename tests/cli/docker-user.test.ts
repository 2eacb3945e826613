// SPDX-License-Identifier: Apache-2.0
// What people expect who come from Docker: references wherever an image is named, a bar while layers come, names that
// stay, working directories that are made, sentences that help.
import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { buildAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { BUSYBOX, writeImage } from "../support/oci-layout.ts";
import { newRegistry, type Registry } from "../support/registry.ts";
import { FIXED_ENV, newRkt, RKT, type Rkt } from "../support/rkt.ts";
import { onTerminal } from "../support/terminal.ts";

const test = needs("root", "sandbox", "busybox", "overlay");
const withRegistry = needs("root", "sandbox", "busybox", "overlay", "registry");
const ANY = "--insecure-options=image";
const NET = "--net=none";
const NOISE = {
  items: [{ name: "noise", content: Buffer.alloc(300_000, 7) }],
  compression: "none",
} as const;

async function pushed(rkt: Rkt, registry: Registry, name: string): Promise<string> {
  writeImage(`${rkt.work}/img`, { layers: [BUSYBOX, NOISE] });
  await registry.push(`oci:${rkt.work}/img:latest`, name);
  return `docker://${registry.host}/${name}`;
}

withRegistry("on a terminal a bar shows how much of the layers has come, once", async () => {
  await using rkt = newRkt();
  await using registry = await newRegistry();
  const reference = await pushed(rkt, registry, "team/app:1");
  const flags = [`--dir=${rkt.data}`, `--local-config=${rkt.local}`, ANY];
  const words = [RKT, ...flags, "fetch", reference];
  const seen = async (): Promise<string> => {
    const terminal = onTerminal(words, { env: { ...FIXED_ENV, ...registry.env }, cols: 60 });
    expect(await terminal.end()).toBe(0);
    return terminal.seen();
  };
  const first = await seen();
  expect(first).toContain("Downloading 2 layers: [");
  expect(first).toMatch(/\[=+\] (\S+ [KM]B)\/\1/);
  const second = await seen();
  expect(second).toContain("sha512-");
  expect(second).not.toContain("Downloading");
});

withRegistry("rkt image takes a docker reference, with the scheme or a port", async () => {
  await using rkt = newRkt();
  await using registry = await newRegistry();
  const reference = await pushed(rkt, registry, "team/app:1");
  await rkt.fails(["image", "inspect", reference], `no image "${reference}" in the store\n  try: `);
  const key = await rkt.ok(["fetch", ANY, "--full", reference], { env: registry.env });
  for (const name of [reference, reference.replace("docker://", "")]) {
    expect(await rkt.ok(["image", "inspect", name])).toContain(key.trim());
    expect(await rkt.ok(["image", "verify", name])).toContain("successfully verified");
    expect(await rkt.ok(["image", "cat-manifest", name])).toContain('"ImageManifest"');
  }
  await rkt.ok(["image", "extract", reference, `${rkt.work}/out`]);
  await rkt.fails(["image", "inspect", "oci:/somewhere"], "an image of a file is there as local/");
  expect(await rkt.ok(["image", "rm", reference])).toContain("successfully removed");
  expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
});

withRegistry(
  "an image keeps its name when the same comes from a file; export says it",
  async () => {
    await using rkt = newRkt();
    await using registry = await newRegistry();
    const reference = await pushed(rkt, registry, "team/app:1");
    const name = ["image", "list", "--fields=name", "--no-legend"];
    await rkt.ok(["fetch", ANY, `oci:${rkt.work}/img`]);
    expect(await rkt.ok(name)).toStartWith("local/img");
    await rkt.ok(["fetch", ANY, reference], { env: registry.env });
    const known = await rkt.ok(name);
    expect(known).toEndWith("/team/app:1\n");
    await rkt.ok(["image", "export", reference, `${rkt.work}/out.tar`]);
    await rkt.ok(["fetch", ANY, `oci-archive:${rkt.work}/out.tar:1`]);
    expect(await rkt.ok(name)).toBe(known);
    await using other = newRkt();
    await other.ok(["fetch", ANY, `oci-archive:${rkt.work}/out.tar`]);
    expect(await other.ok(name)).toBe("local/out:1\n");
  },
);

test("--working-dir is made in an image of Docker's, by its words alone", async () => {
  await using rkt = newRkt();
  writeImage(`${rkt.work}/img`, { layers: [BUSYBOX] });
  for (const [path, made] of [
    ["/srv/new", "/srv/new"],
    ["/not/../bin/./x//y/", "/bin/x/y"],
    ["/.", "/"],
  ]) {
    for (const flag of ["--no-overlay=false", "--no-overlay"]) {
      const words = [`--working-dir=${path}`, "--", "-c", "pwd"];
      const run = ["run", NET, ANY, flag, `oci:${rkt.work}/img`, ...words];
      expect(await rkt.ok(run)).toBe(`${made}\n`);
    }
  }
  const run = [
    "run",
    NET,
    ANY,
    `oci:${rkt.work}/img`,
    "--working-dir=/bin/busybox/x",
    "--",
    "-c",
    "pwd",
  ];
  await rkt.fails(run, 'cannot make directory "/bin/busybox/x": not a directory');
});

test("an App Container Image and an OCI image are apps of one pod", async () => {
  await using rkt = newRkt();
  writeImage(`${rkt.work}/img`, { layers: [BUSYBOX] });
  const aci = buildAci({
    name: "example.com/aci",
    exec: ["/bin/busybox", "echo", "from an ACI"],
    files: [
      { name: "bin", type: "dir" },
      ...BUSYBOX.items.filter(({ name }) => name === "bin/busybox"),
    ],
  });
  writeFileSync(`${rkt.work}/a.aci`, aci);
  const oci = [`oci:${rkt.work}/img`, "--", "-c", "echo from an OCI image"];
  const out = await rkt.ok(["run", NET, ANY, `${rkt.work}/a.aci`, "---", ...oci]);
  expect(out.split("\n").sort()).toEqual([
    "",
    expect.stringContaining("from an ACI"),
    expect.stringContaining("from an OCI image"),
  ]);
});

test("a full disk is told in a sentence, before the layers come where that can be seen", async () => {
  await using rkt = newRkt();
  const noise = Buffer.alloc(3 << 20, 7);
  writeImage(`${rkt.work}/plain`, {
    layers: [{ items: [{ name: "noise", content: noise }], compression: "none" }],
  });
  // Small as it comes, too large when it is unpacked.
  writeImage(`${rkt.work}/packed`, { layers: [{ items: [{ name: "noise", content: noise }] }] });
  Bun.spawnSync(["mkdir", "-p", rkt.data]);
  Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", rkt.data]);
  try {
    await rkt.fails(
      ["fetch", ANY, `oci:${rkt.work}/plain`],
      /^fetch: not enough space in ".*": .*\n {2}try: rkt image gc/,
    );
    await rkt.fails(
      ["fetch", ANY, `oci:${rkt.work}/packed`],
      /^fetch: cannot extract "noise": .*no space left on device/,
    );
    await rkt.ok(["image", "gc", "--grace-period=0s"]);
    const left = Bun.spawnSync(["find", `${rkt.data}/cas/oci`, "-type", "f"]).stdout.toString();
    expect(left).toBe("");
  } finally {
    Bun.spawnSync(["umount", rkt.data]);
  }
});

test("what is Docker's way of naming an image is recognized", async () => {
  await using rkt = newRkt();
  await rkt.fails(
    ["fetch", "127.0.0.1:5000/team/app:1"],
    "try: docker://127.0.0.1:5000/team/app:1",
  );
  await rkt.fails(["fetch", "debian"], "a Docker image's begins with docker://");
  await rkt.fails(["fetch", "docker://Team/App"], "try: docker://[HOST[:PORT]/]NAME");
  await rkt.fails(
    ["fetch", ANY, "docker://127.0.0.1:5000/team/app"],
    "there is no certificate in it",
    { env: { SSL_CERT_FILE: "/dev/null" } },
  );
});
