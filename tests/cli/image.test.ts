// SPDX-License-Identifier: Apache-2.0
// `rkt image …` (rkt-cli §5.14).
import { expect } from "bun:test";
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { buildAci, busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { exists } from "../support/temp.ts";

const test = needs("root", "sandbox");
const INSECURE = "--insecure-options=image";

async function fetchImage(rkt: Rkt, image: Parameters<typeof buildAci>[0] = {}): Promise<string> {
  const path = `${rkt.work}/image.aci`;
  writeFileSync(path, buildAci(image));
  return (await rkt.ok([INSECURE, "fetch", "--full", "--pull-policy=new", path])).trim();
}

test("image list shows five columns, short or full, in the order asked", async () => {
  await using rkt = newRkt();
  expect(await rkt.ok(["image", "list"])).toMatch(/^ID\s+NAME\s+SIZE\s+IMPORT TIME\s+LAST USED\n$/);
  const b = await fetchImage(rkt, { name: "example.com/b", labels: { version: "1.2.3" } });
  const a = await fetchImage(rkt, { name: "example.com/a" });
  const lines = (await rkt.ok(["image", "list"])).trimEnd().split("\n");
  expect(lines).toHaveLength(3);
  expect(lines[1]).toMatch(new RegExp(`^${b.slice(0, 19)}\\s+example.com/b:1.2.3\\s+\\S+iB|B\\s`));
  expect(lines[2]).toStartWith(a.slice(0, 19));
  const full = await rkt.ok([
    "image",
    "list",
    "--full",
    "--no-legend",
    "--fields=name,id",
    "--sort=name",
  ]);
  expect(
    full
      .trimEnd()
      .split("\n")
      .map((line) => line.trim().split(/\s+/)),
  ).toEqual([
    ["example.com/a", a],
    ["example.com/b:1.2.3", b],
  ]);
  const ids = async (...flags: string[]): Promise<string[]> =>
    (await rkt.ok(["image", "list", "--full", "--no-legend", "--fields=id", ...flags]))
      .trim()
      .split("\n");
  expect(await ids("--order=desc")).toEqual([a, b]);
  const json = JSON.parse(await rkt.ok(["image", "list", "--format=json"]));
  expect(json.map((each: { id: string }) => each.id)).toEqual([b, a]);
  expect(Object.keys(json[0])).toEqual(
    expect.arrayContaining(["id", "name", "import_time", "last_used_time", "size"]),
  );
  await rkt.fails(["image", "list", "--order=up"], "wrong sort order");
  await rkt.fails(["image", "list", "--fields=id,nonsense"], /nonsense/);
  await rkt.fails(["image", "list", "--sort=nonsense"], /nonsense/);
});

test("image cat-manifest prints the manifest, pretty or compact", async () => {
  await using rkt = newRkt();
  const id = await fetchImage(rkt, { name: "example.com/a" });
  const pretty = await rkt.ok(["image", "cat-manifest", id]);
  expect(pretty).toContain('\n\t"name": "example.com/a",\n');
  const compact = await rkt.ok(["image", "cat-manifest", "--pretty-print=false", "example.com/a"]);
  expect(compact.trim()).toBe(JSON.stringify(JSON.parse(pretty)));
  expect(compact).toStartWith(
    '{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a","labels":',
  );
});

test("an image is named by a unique beginning of its hash", async () => {
  await using rkt = newRkt();
  const id = await fetchImage(rkt);
  await rkt.ok(["image", "cat-manifest", id.slice(0, 12)]);
  await rkt.fails(["image", "cat-manifest", "sha512-a"], "image ID too short");
  await rkt.fails(["image", "cat-manifest", "sha512-000000"], "no image IDs found");
  await rkt.fails(["image", "cat-manifest", "example.com/none"], /cannot (find|resolve) image/);
  // Half of them begin alike: find two that share two digits.
  const ids = [id];
  for (let n = 0; n < 40; n++) ids.push(await fetchImage(rkt, { name: `example.com/n${n}` }));
  const prefix = ids
    .map((each) => each.slice(0, 9))
    .find((each, index, all) => all.indexOf(each) !== index);
  if (prefix !== undefined) {
    await rkt.fails(["image", "cat-manifest", prefix], `ambiguous image ID: "${prefix}"`);
  }
});

test("image export gives back the uncompressed tar", async () => {
  await using rkt = newRkt();
  const aci = buildAci({ files: [{ name: "a", content: "hello" }], compression: "gzip" });
  writeFileSync(`${rkt.work}/in.aci`, aci);
  await rkt.ok([INSECURE, "fetch", `${rkt.work}/in.aci`]);
  const out = `${rkt.work}/out.tar`;
  await rkt.ok(["image", "export", "example.com/test", out]);
  expect(readFileSync(out).equals(gunzipSync(aci))).toBe(true);
  expect(lstatSync(out).mode & 0o777).toBe(0o644);
  await rkt.fails(
    ["image", "export", "example.com/test", out],
    "output ACI file exists (try --overwrite)",
  );
  await rkt.ok(["image", "export", "--overwrite", "example.com/test", out]);
});

test("image extract and render write a directory and mind what is there", async () => {
  await using rkt = newRkt();
  await fetchImage(rkt, {
    name: "example.com/base",
    files: [
      { name: "base", content: "from base" },
      { name: "both", content: "base" },
    ],
  });
  await fetchImage(rkt, {
    name: "example.com/top",
    files: [{ name: "both", content: "top", mode: 0o640, uid: 7, gid: 8 }],
    manifest: { dependencies: [{ imageName: "example.com/base" }] },
  });
  const dir = `${rkt.work}/dir`;
  await rkt.ok(["image", "extract", "example.com/top", dir]);
  expect(readdirSync(dir).sort()).toEqual(["manifest", "rootfs"]);
  expect(readdirSync(`${dir}/rootfs`)).toEqual(["both"]);
  await rkt.fails(
    ["image", "extract", "example.com/top", dir],
    "output directory exists (try --overwrite)",
  );
  await rkt.fails(
    ["image", "extract", "--overwrite", "example.com/top", "/"],
    "this would delete your root filesystem. Refusing.",
  );
  await rkt.fails(
    ["image", "render", "--overwrite", "example.com/top", "/"],
    "this would delete your root filesystem. Refusing.",
  );
  await rkt.ok(["image", "render", "--overwrite", "--rootfs-only", "example.com/top", dir]);
  expect(readdirSync(dir).sort()).toEqual(["base", "both"]);
  expect(readFileSync(`${dir}/both`, "utf8")).toBe("top");
  const stat = lstatSync(`${dir}/both`);
  expect([stat.mode & 0o7777, stat.uid, stat.gid]).toEqual([0o640, 7, 8]);
  await rkt.ok(["image", "render", "example.com/top", `${rkt.work}/whole`]);
  expect(readdirSync(`${rkt.work}/whole`).sort()).toEqual(["manifest", "rootfs"]);
});

test("every kind of entry comes out as it went in", async () => {
  await using rkt = newRkt();
  await fetchImage(rkt, {
    files: [
      { name: "dir", type: "dir", mode: 0o750, uid: 1, gid: 2 },
      { name: "dir/suid", content: "x", mode: 0o4755, uid: 3 },
      { name: "hard", type: "link", link: "rootfs/dir/suid" },
      { name: "soft", type: "symlink", link: "/etc/passwd" },
      { name: "null", type: "char", major: 1, minor: 3, mode: 0o666 },
      { name: "disk", type: "block", major: 7, minor: 0 },
      { name: "fifo", type: "fifo" },
      { name: "cap", content: "y", pax: { "SCHILY.xattr.user.note": "hello" } },
      { name: `${"long/".repeat(40)}name`, content: "z" },
    ],
  });
  const out = `${rkt.work}/out`;
  await rkt.ok(["image", "render", "--rootfs-only", "example.com/test", out]);
  const stat = (name: string) => lstatSync(`${out}/${name}`);
  expect([stat("dir").mode & 0o7777, stat("dir").uid, stat("dir").gid]).toEqual([0o750, 1, 2]);
  expect(stat("dir/suid").mode & 0o7777).toBe(0o4755);
  expect(stat("hard").ino).toBe(stat("dir/suid").ino);
  expect(stat("soft").isSymbolicLink()).toBe(true);
  expect([stat("null").isCharacterDevice(), stat("null").rdev]).toEqual([true, 0x103]);
  expect(stat("disk").isBlockDevice()).toBe(true);
  expect(stat("fifo").isFIFO()).toBe(true);
  expect(stat("cap").mtimeMs).toBe(1_400_000_000_000);
  expect(await Bun.$`getfattr --only-values --absolute-names -n user.note ${out}/cap`.text()).toBe(
    "hello",
  );
  expect(readFileSync(`${out}/${"long/".repeat(40)}name`, "utf8")).toBe("z");
});

test("image verify notices one changed byte, and mends it", async () => {
  await using rkt = newRkt();
  const id = await fetchImage(rkt, { files: [{ name: "a", content: "hello" }] });
  const { stdout, stderr } = await rkt.run(["image", "verify", "example.com/test"]);
  expect(stdout + stderr).toContain(
    `successfully verified checksum for image: "example.com/test" ("${id}")`,
  );
  const [tree = ""] = readdirSync(`${rkt.data}/cas/tree`);
  expect(tree).toStartWith("deps-sha512-");
  const file = `${rkt.data}/cas/tree/${tree}/rootfs/a`;
  writeFileSync(file, "jello");
  const bad = await rkt.run(["image", "verify", "example.com/test"]);
  expect(bad.stderr).toContain("tree cache verification failed for image example.com/test: ");
  expect(bad.stderr).toContain("rebuilding...");
  expect(bad.status).toBe(0);
  expect(readFileSync(file, "utf8")).toBe("hello");
});

test("image rm removes what it can name, and logs the rest", async () => {
  await using rkt = newRkt();
  const id = await fetchImage(rkt);
  const { stdout, stderr, status } = await rkt.run([
    "image",
    "rm",
    "sha512-0000000",
    "example.com/test",
    id,
  ]);
  expect(stdout).toBe(`successfully removed aci for image: "${id}"\n`);
  expect(stderr).toContain("1 image(s) successfully removed");
  expect(stderr).toContain("no image IDs found");
  expect(status).toBe(0);
  expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
  await rkt.fails(["image", "rm"], "must provide at least one image ID");
});

test("image gc removes unused trees, then images older than the grace period", async () => {
  await using rkt = newRkt();
  await fetchImage(rkt);
  expect(readdirSync(`${rkt.data}/cas/tree`)).toHaveLength(1);
  const first = await rkt.run(["image", "gc"]);
  expect(first.stderr).toContain('removed treestore "deps-sha512-');
  expect(first.status).toBe(0);
  expect(readdirSync(`${rkt.data}/cas/tree`)).toEqual([]);
  expect(await rkt.ok(["image", "list", "--no-legend"])).not.toBe("");
  await rkt.ok(["image", "gc", "--grace-period=0s"]);
  expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
  await rkt.fails(["image", "gc", "--grace-period=x"], "invalid argument");
});

test("the store has rkt's layout and modes", async () => {
  await using rkt = newRkt();
  const id = await fetchImage(rkt);
  const digits = id.slice("sha512-".length, "sha512-".length + 2);
  expect(exists(`${rkt.data}/cas/blob/sha512/${digits}/${id}`)).toBe(true);
  expect(exists(`${rkt.data}/cas/imageManifest/sha512/${digits}/${id}`)).toBe(true);
  const mode = (name: string): number => lstatSync(`${rkt.data}/${name}`).mode & 0o7777;
  expect(mode("cas/blob") & 0o777).toBe(0o770);
  expect(mode("cas/tree") & 0o777).toBe(0o700);
});

test("every file of the store that is flipped is noticed, never trusted silently or a crash", async () => {
  await using rkt = newRkt();
  await fetchImage(rkt, { files: [{ name: "a", content: "hello" }] });
  const cas = `${rkt.data}/cas`;
  const files = readdirSync(cas, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && lstatSync(`${entry.parentPath}/${entry.name}`).size > 0)
    .map((entry) => `${entry.parentPath}/${entry.name}`);
  expect(files.length).toBeGreaterThan(4);
  for (const file of files) {
    const whole = readFileSync(file);
    const flipped = Buffer.from(whole);
    const middle = Math.floor(flipped.length / 2);
    flipped[middle] = (flipped[middle] ?? 0) ^ 0xff;
    writeFileSync(file, flipped);
    for (const args of [
      ["image", "list"],
      ["image", "cat-manifest", "example.com/test"],
      ["image", "render", "--overwrite", "example.com/test", `${rkt.work}/out`],
      ["image", "verify", "example.com/test"],
    ]) {
      const result = await rkt.run(args);
      expect({
        file: file.slice(cas.length),
        args,
        bug: result.stderr.includes("this is a bug"),
      }).toEqual({
        file: file.slice(cas.length),
        args,
        bug: false,
      });
      expect([0, 254]).toContain(result.status);
    }
    mkdirSync(`${rkt.work}/out`, { recursive: true });
    writeFileSync(file, whole);
  }
});

test("image list says who verified an image, and when a pod last used it", async () => {
  await using rkt = newRkt();
  const file = `${rkt.work}/a.aci`;
  writeFileSync(file, busyboxAci());
  await fetchSigned(rkt, file);
  const list = async () => JSON.parse(await rkt.ok(["image", "list", "--format=json"]))[0];
  const before = await list();
  expect(before.verification).toMatchObject({ kind: "openpgp", prefix: "example.com/busybox" });
  expect(await rkt.ok(["image", "list", "--fields=verified", "--no-legend"])).toBe(
    `key ${before.verification.fingerprint.slice(-16)}\n`,
  );
  await rkt.ok(["run", "--net=none", "example.com/busybox", "--exec=/bin/true"]);
  expect((await list()).last_used_time).toBeGreaterThan(before.last_used_time);
});
