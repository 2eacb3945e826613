// SPDX-License-Identifier: Apache-2.0
// A real Debian system as an image, through a registry and back: what umoci unpacks of it is what a pod sees.
import { expect } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { writeDebian } from "../support/debian.ts";
import { needs } from "../support/needs.ts";
import { newRegistry } from "../support/registry.ts";
import { FIXED_ENV, newRkt, RKT } from "../support/rkt.ts";

const test = needs("root", "sandbox", "overlay", "debian", "umoci", "registry");
const ANY = "--insecure-options=image";

const WHAT = `find . -type d -printf '%y %m %U %G %p\\n' -o -printf '%y %m %U %G %s %Ts %n %l %p\\n' | LC_ALL=C sort`;
const SEEN = `perl -e 'print 6 * 7, "\\n"'; stat -c '%a %u %g' /usr/bin/su; id -un; pwd; ls -d /usr/share/perl5 || echo gone`;

test("Debian's essential packages run from a registry as umoci unpacks them", async () => {
  await using rkt = newRkt();
  await using registry = await newRegistry();
  writeDebian(rkt.work);
  await registry.push(`oci:${rkt.work}/debian:base`, "library/debian:base");
  const reference = `docker://${registry.host}/library/debian:base`;
  const key = (await rkt.ok(["fetch", ANY, "--full", reference], { env: registry.env })).trim();

  const umoci = ["umoci", "unpack", "--image", `${rkt.work}/debian:base`, `${rkt.work}/bundle`];
  expect(Bun.spawnSync(umoci).exitCode).toBe(0);
  await rkt.ok(["image", "extract", "--rootfs-only", key, `${rkt.work}/extracted`]);
  const [theirs, ours] = ["bundle/rootfs", "extracted"].map((name) =>
    Bun.spawnSync(["sh", "-c", WHAT], { cwd: `${rkt.work}/${name}` }).stdout.toString(),
  );
  expect(ours?.split("\n").length).toBeGreaterThan(1000);
  expect(ours).toBe(theirs ?? "");
  const compared = ["diff", "-rq", "--no-dereference", "bundle/rootfs", "extracted"];
  expect(Bun.spawnSync(compared, { cwd: rkt.work }).stdout.toString()).toBe("");

  for (const flag of ["--no-overlay=false", "--no-overlay", "--private-users"]) {
    const run = ["run", "--net=none", ANY, flag, key, "--", "bash", "-c", SEEN];
    expect([flag, await rkt.ok(run)]).toEqual([flag, "42\n4755 0 0\nroot\n/srv/work\ngone\n"]);
  }
  expect(await rkt.ok(["run", "--net=none", ANY, key, "--user=nobody", "--", "id", "-un"])).toBe(
    "nobody\n",
  );

  // Converted, it does the same.
  const cwd = `${rkt.work}/aci`;
  mkdirSync(cwd);
  const env = { ...FIXED_ENV, ...registry.env };
  const tool = Bun.spawnSync([RKT, "tool", "docker2aci", reference], { env, cwd });
  expect([tool.exitCode, tool.exitCode === 0 ? "" : tool.stderr.toString()]).toEqual([0, ""]);
  const aci = `${cwd}/${readdirSync(cwd).find((name) => name.endsWith(".aci"))}`;
  const run = ["run", "--net=none", ANY, aci, "--working-dir=/etc", "--exec=/bin/bash"];
  expect(await rkt.ok([...run, "--", "-c", SEEN])).toBe("42\n4755 0 0\nroot\n/etc\ngone\n");

  // Out of the store it comes with the digests that it had.
  await rkt.ok(["image", "export", key, `${rkt.work}/out.tar`]);
  const inspect = (name: string) =>
    JSON.parse(Bun.spawnSync(["skopeo", "inspect", name]).stdout.toString());
  const [before, after] = [`oci:${rkt.work}/debian:base`, `oci-archive:${rkt.work}/out.tar`].map(
    inspect,
  );
  expect([after.Digest, after.Layers]).toEqual([before.Digest, before.Layers]);
  expect(await rkt.ok(["image", "verify", key])).toContain("successfully verified");
});
