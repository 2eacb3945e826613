// SPDX-License-Identifier: Apache-2.0
// The harness tests itself: a test helper that lies makes every test lie.
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { buildAci, busyboxAci, compress, manifestOf } from "./aci.ts";
import { newKey } from "./signing.ts";
import { newSite } from "./site.ts";
import { exists, tempDir } from "./temp.ts";

test("GNU tar reads what the archive builder writes", () => {
  using dir = tempDir();
  const long = `${"d/".repeat(80)}file`;
  const file = dir.write(
    "a.tar",
    buildAci({
      files: [
        { name: long, content: "x" },
        { name: "fifo", type: "fifo" },
        { name: "dev", type: "char", major: 1, minor: 3 },
        { name: "link", type: "symlink", link: "dev" },
      ],
    }),
  );
  const run = spawnSync("tar", ["-tvf", file], { encoding: "utf8" });
  expect(run.stderr).toBe("");
  expect(run.stdout).toContain(`rootfs/${long}`);
  expect(run.stdout).toMatch(/^c.* 1,3 .* rootfs\/dev$/m);
  expect(run.stdout).toContain("rootfs/link -> dev");
});

test("every compression comes back as it was", () => {
  const data = buildAci();
  for (const [kind, program] of [
    ["gzip", "gzip"],
    ["bzip2", "bzip2"],
    ["xz", "xz"],
    ["zstd", "zstd"],
  ] as const) {
    const run = spawnSync(program, ["-dc"], { input: compress(data, kind) });
    expect(Buffer.compare(run.stdout, data)).toBe(0);
  }
});

test("a manifest text replaces the manifest", () => {
  expect(manifestOf({ manifestText: "{" })).toBe("{");
  expect(JSON.parse(manifestOf({ app: null }))).not.toHaveProperty("app");
  expect(busyboxAci().length).toBeGreaterThan(500_000);
});

test("gpg accepts the signatures that the key helper makes", async () => {
  using dir = tempDir();
  const key = await newKey({ name: "Somebody" });
  const data = Buffer.from("data");
  const run = (args: string[]) =>
    spawnSync("gpg", ["--homedir", dir.path, "--batch", ...args], { encoding: "utf8" });
  run(["--import", dir.write("key", key.publicKey)]);
  for (const binary of [false, true]) {
    const signature = dir.write("data.asc", await key.sign(data, { binary }));
    const verified = run(["--verify", signature, dir.write("data", data)]);
    expect(verified.stderr).toContain("Good signature");
    expect(verified.stderr.replaceAll(" ", "").toLowerCase()).toContain(key.fingerprint);
  }
  spawnSync("gpgconf", ["--homedir", dir.path, "--kill", "all"]);
});

test("the site serves, remembers, ranges, and lies on request", async () => {
  await using site = await newSite({ port: 0, http: true });
  const base = `http://127.0.0.1:${site.port}`;
  site.serve(`${base}/a`, { body: "hello", headers: { ETag: '"1"' } });
  site.serve(`${base}/cut`, { body: "hello", cutAfter: 2 });
  expect(await (await fetch(`${base}/a?x=1`)).text()).toBe("hello");
  expect((await fetch(`${base}/a`, { headers: { "If-None-Match": '"1"' } })).status).toBe(304);
  const part = await fetch(`${base}/a`, { headers: { Range: "bytes=3-" } });
  expect([part.status, await part.text()]).toEqual([206, "lo"]);
  const cut = await fetch(`${base}/cut`)
    .then((each) => each.text())
    .catch(() => "broken");
  expect(cut).not.toBe("hello");
  expect((await fetch(`${base}/none`)).status).toBe(404);
  expect(site.urls()[0]).toBe(`GET ${base}/a?x=1`);
});

test("the site's certificate is believed with its authority only", async () => {
  await using site = await newSite({ port: 0 });
  const base = `https://localhost:${site.port}`;
  site.serve(`${base}/`, { body: "secret" });
  const ca = Bun.file(site.caFile);
  expect(await (await fetch(`${base}/`, { tls: { ca } })).text()).toBe("secret");
  expect(await fetch(`${base}/`).catch((error: Error) => error.message)).toMatch(/certificate/i);
});

test("a temporary directory goes away with its block", () => {
  let path = "";
  {
    using dir = tempDir();
    path = dir.path;
    expect(exists(path)).toBe(true);
  }
  expect(exists(path)).toBe(false);
});
