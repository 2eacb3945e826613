// SPDX-License-Identifier: Apache-2.0
// Images from files: compressions, signatures, and archives and manifests that are broken or hostile.
import { expect } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { buildAci, busyboxAci, type Compression, manifestOf } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt, runMeasured } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { newKey } from "../support/signing.ts";
import type { TarItem } from "../support/tar.ts";

const test = needs("root", "sandbox");
const INSECURE = "--insecure-options=image";

function put(rkt: Rkt, name: string, data: Uint8Array | string): string {
  const path = `${rkt.work}/${name}`;
  writeFileSync(path, data);
  return path;
}

function storeKey(tar: Uint8Array): string {
  return `sha512-${createHash("sha512").update(tar).digest("hex").slice(0, 64)}`;
}

async function expectNothingStored(rkt: Rkt): Promise<void> {
  expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
  expect(rkt.leftovers()).toEqual([]);
  for (const dir of ["blob", "imageManifest"]) {
    const path = `${rkt.data}/cas/${dir}`;
    const files = existsSync(path)
      ? readdirSync(path, { recursive: true, withFileTypes: true })
      : [];
    expect(files.filter((entry) => entry.isFile()).map((entry) => entry.name)).toEqual([]);
  }
}

test("fetch gives the same hash for every compression, that of the bare tar", async () => {
  await using rkt = newRkt();
  const image = { files: [{ name: "a", content: "hello" }] };
  const key = storeKey(buildAci(image));
  for (const compression of ["none", "gzip", "bzip2", "xz", "zstd"] as Compression[]) {
    const path = put(rkt, `${compression}.aci`, buildAci({ ...image, compression }));
    expect(await rkt.ok([INSECURE, "fetch", "--full", path])).toBe(`${key}\n`);
  }
  expect(await rkt.ok([INSECURE, "fetch", `${rkt.work}/none.aci`])).toBe(`${key.slice(0, 39)}\n`);
  expect((await rkt.ok(["image", "list", "--no-legend"])).trim().split("\n")).toHaveLength(1);
});

test("fetch prints one hash per image in the order asked", async () => {
  await using rkt = newRkt();
  const tars = ["a", "b"].map((name) => buildAci({ name: `example.com/${name}` }));
  const paths = tars.map((tar, index) => put(rkt, `${index}.aci`, tar));
  const output = await rkt.ok([INSECURE, "fetch", "--full", ...paths.reverse()]);
  expect(output.trim().split("\n")).toEqual(tars.map(storeKey).reverse());
});

test("fetch refuses a file without a signature, and stores nothing", async () => {
  await using rkt = newRkt();
  const path = put(rkt, "a.aci", buildAci());
  await rkt.fails(["fetch", path], "error opening signature file");
  await expectNothingStored(rkt);
});

test("fetch accepts a file signed by a trusted key and names the signer", async () => {
  await using rkt = newRkt();
  const key = await newKey({ name: "Ann Signer" });
  const aci = busyboxAci({ compression: "gzip" });
  const path = put(rkt, "a.aci", aci);
  await rkt.ok([
    "trust",
    "--prefix=example.com/busybox",
    "--skip-fingerprint-review",
    put(rkt, "k", key.publicKey),
  ]);
  for (const binary of [false, true]) {
    put(rkt, "a.aci.asc", await key.sign(aci, { binary }));
    const result = await rkt.run(["fetch", path]);
    expect(result.stderr).toContain("signature verified:");
    expect(result.stderr).toContain("  Ann Signer <signer@example.com>");
    expect(result.status).toBe(0);
  }
});

test("fetch takes another signature file with --signature, once per image", async () => {
  await using rkt = newRkt();
  const key = await newKey();
  const aci = buildAci();
  const path = put(rkt, "a.aci", aci);
  const signature = put(rkt, "elsewhere.sig", await key.sign(aci));
  await rkt.ok([
    "trust",
    "--prefix=example.com",
    "--skip-fingerprint-review",
    put(rkt, "k", key.publicKey),
  ]);
  await rkt.ok(["fetch", path, `--signature=${signature}`]);
  await rkt.fails(
    ["fetch", path, `--signature=${signature}`, `--signature=${signature}`],
    "--signature specified multiple times for the same image",
  );
  await rkt.fails(["fetch", `--signature=${signature}`, path], "--signature must follow an image");
});

test("each way in which a signature can be wrong has its own sentence", async () => {
  const aci = buildAci();
  const key = await newKey();
  const past = new Date("2020-01-01T00:00:00Z");
  const expired = await newKey({ date: past, expires: 3600 });
  const sentences = new Set<string>();
  const cases: readonly [string, string, Uint8Array | string][] = [
    ["a signature of other bytes", key.publicKey, await key.sign(Buffer.from("other"))],
    ["an unknown signer", key.publicKey, await (await newKey()).sign(aci)],
    ["an expired key", expired.publicKey, await expired.sign(aci, { date: past })],
    ["a revoked key", await key.revoked(), await key.sign(aci)],
    ["no signature at all", key.publicKey, "nothing of the kind"],
  ];
  for (const [what, publicKey, signature] of cases) {
    await using rkt = newRkt();
    const prefix = `${rkt.local}/trustedkeys/root.d`;
    await Bun.$`mkdir -p ${prefix}`.quiet();
    const fingerprint = what === "an expired key" ? expired.fingerprint : key.fingerprint;
    writeFileSync(`${prefix}/${fingerprint}`, publicKey);
    put(rkt, "a.aci.asc", signature);
    const { stderr, stdout } = await rkt.fails(["fetch", put(rkt, "a.aci", aci)], "fetch: ");
    expect(stdout).toBe("");
    sentences.add(stderr.replaceAll(rkt.work, ""));
    await expectNothingStored(rkt);
  }
  expect([...sentences]).toHaveLength(cases.length);
});

test("a key for another prefix does not count", async () => {
  await using rkt = newRkt();
  const key = await newKey();
  const aci = buildAci({ name: "example.com/app" });
  const path = put(rkt, "a.aci", aci);
  put(rkt, "a.aci.asc", await key.sign(aci));
  await rkt.ok([
    "trust",
    "--prefix=other.example",
    "--skip-fingerprint-review",
    put(rkt, "k", key.publicKey),
  ]);
  await rkt.fails(["fetch", path], "fetch: ");
  await expectNothingStored(rkt);
});

test("an empty file in the local configuration masks the vendor's key", async () => {
  await using rkt = newRkt();
  const key = await newKey();
  const aci = buildAci();
  const path = put(rkt, "a.aci", aci);
  put(rkt, "a.aci.asc", await key.sign(aci));
  await Bun.$`mkdir -p ${rkt.system}/trustedkeys/root.d ${rkt.local}/trustedkeys/root.d`.quiet();
  writeFileSync(`${rkt.system}/trustedkeys/root.d/${key.fingerprint}`, key.publicKey);
  await rkt.ok(["fetch", path]);
  await rkt.ok(["image", "rm", "example.com/test"]);
  writeFileSync(`${rkt.local}/trustedkeys/root.d/${key.fingerprint}`, "");
  await rkt.fails(["fetch", path], "fetch: ");
});

const MANIFESTS: readonly [string, Parameters<typeof buildAci>[0], RegExp][] = [
  ["that is no JSON", { manifestText: '{"acKind":\n  nonsense}' }, /line 2/],
  ["that is empty", { manifestText: "" }, /manifest/],
  ["of another kind", { manifest: { acKind: "PodManifest" } }, /acKind|kind|PodManifest/],
  ["without a name", { manifest: { name: "" } }, /name must be set|[Ee]mpty|name/],
  ["with a bad name", { manifest: { name: "Example COM" } }, /Example COM|identifier/i],
  ["without a version of the schema", { manifest: { acVersion: "" } }, /acVersion|version/i],
  ["with an unknown os", { labels: { os: "plan9" } }, /os|label/],
  [
    "with a relative working directory",
    { app: { workingDirectory: "a" } },
    /workingDirectory must be an absolute path/,
  ],
  [
    "with a bad event handler",
    { app: { eventHandlers: [{ name: "x", exec: ["/a"] }] } },
    /bad eventHandler "name": "x"/,
  ],
  ["without a user", { app: { user: "" } }, /user is required/],
  [
    "with a label twice",
    {
      manifest: {
        labels: [
          { name: "a", value: "1" },
          { name: "a", value: "2" },
        ],
      },
    },
    /label/,
  ],
];

for (const [what, image, message] of MANIFESTS) {
  test(`fetch refuses a manifest ${what}`, async () => {
    await using rkt = newRkt();
    const path = put(rkt, "a.aci", buildAci(image));
    await rkt.fails([INSECURE, "fetch", path], message);
    await expectNothingStored(rkt);
  });
}

/** Archives that no image may be; each must be refused when it is fetched, before anything is written out. */
const ARCHIVES: readonly [string, () => Uint8Array][] = [
  ["that is empty", () => Buffer.alloc(0)],
  ["of zeros", () => Buffer.alloc(10240)],
  ["of text", () => Buffer.from("hello, this is no archive\n".repeat(100))],
  ["of noise", () => Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7919) % 251))],
  [
    "that is cut inside a file",
    () => buildAci({ files: [{ name: "a", content: "x".repeat(5000) }] }).subarray(0, 4000),
  ],
  ["that is cut inside a header", () => buildAci().subarray(0, 700)],
  ["whose gzip stream is cut", () => buildAci({ compression: "gzip" }).subarray(0, 150)],
  ["whose xz stream is cut", () => buildAci({ compression: "xz" }).subarray(0, 150)],
  ["whose zstd stream is cut", () => buildAci({ compression: "zstd" }).subarray(0, 150)],
  ["whose bzip2 stream is cut", () => buildAci({ compression: "bzip2" }).subarray(0, 150)],
  [
    "with a flipped byte in its gzip stream",
    () => {
      const data = Buffer.from(buildAci({ compression: "gzip" }));
      data[60] = (data[60] ?? 0) ^ 0x20;
      return data;
    },
  ],
  [
    "with a wrong header checksum",
    () => buildAci({ raw: [{ name: "rootfs/x", badChecksum: true }] }),
  ],
  ["without a manifest", () => buildAci().subarray(1024)],
  [
    "that claims a size beyond its end",
    () => buildAci({ raw: [{ name: "rootfs/x", content: "a", claimedSize: 1e12 }] }),
  ],
];

for (const [what, make] of ARCHIVES) {
  test(`fetch refuses an archive ${what}`, async () => {
    await using rkt = newRkt();
    const { stdout } = await rkt.fails([INSECURE, "fetch", put(rkt, "a.aci", make())], "fetch: ");
    expect(stdout).toBe("");
    await expectNothingStored(rkt);
  });
}

/** Images whose entries try to get out of the root file system; `canary` lies outside of it. */
const ESCAPES: readonly [string, (canary: string) => readonly TarItem[]][] = [
  ["an absolute path", (canary) => [{ name: canary, content: "evil" }]],
  [
    "a path with ..",
    (canary) => [{ name: `rootfs/../../../../../../../../../..${canary}`, content: "evil" }],
  ],
  [
    "a path through a symlink",
    (canary) => [
      { name: "rootfs/link", type: "symlink", link: canary.replace(/\/[^/]*$/, "") },
      { name: "rootfs/link/canary", content: "evil" },
    ],
  ],
  [
    "a path through a symlink with ..",
    (canary) => [
      {
        name: "rootfs/link",
        type: "symlink",
        link: `../../../../../../../../../..${canary.replace(/\/[^/]*$/, "")}`,
      },
      { name: "rootfs/link/canary", content: "evil" },
    ],
  ],
  [
    "a file over a symlink",
    (canary) => [
      { name: "rootfs/link", type: "symlink", link: canary },
      { name: "rootfs/link", content: "evil" },
    ],
  ],
  [
    "a hard link out",
    (canary) => [
      { name: "rootfs/link", type: "link", link: canary },
      { name: "rootfs/link", content: "evil" },
    ],
  ],
  [
    "a hard link out by ..",
    (canary) => [
      { name: "rootfs/link", type: "link", link: `rootfs/../../../../../../../../../..${canary}` },
      { name: "rootfs/link", content: "evil" },
    ],
  ],
  [
    "a hard link to a symlink out",
    (canary) => [
      { name: "rootfs/a", type: "symlink", link: canary },
      { name: "rootfs/b", type: "link", link: "rootfs/a" },
      { name: "rootfs/b", content: "evil" },
    ],
  ],
  [
    "a NUL in a PAX path",
    (canary) => [{ name: "rootfs/x", content: "evil", pax: { path: `rootfs/a\0${canary}` } }],
  ],
  [
    "a PAX path out",
    (canary) => [
      {
        name: "rootfs/x",
        content: "evil",
        pax: { path: `rootfs/../../../../../../../..${canary}` },
      },
    ],
  ],
];

for (const [what, items] of ESCAPES) {
  test(`no file outside of the root is touched by an image with ${what}`, async () => {
    await using rkt = newRkt();
    const canary = put(rkt, "canary", "untouched");
    const path = put(
      rkt,
      "a.aci",
      buildAci({ files: [{ name: "ok", content: "fine" }], raw: items(canary) }),
    );
    const fetched = await rkt.run([INSECURE, "fetch", path]);
    expect(fetched.stderr).not.toContain("this is a bug");
    if (fetched.status === 0) {
      // A symlink that points outside is legal as long as nothing follows it.
      const rendered = await rkt.run(["image", "render", "example.com/test", `${rkt.work}/out`]);
      expect([0, 254]).toContain(rendered.status);
      expect(rendered.stderr).not.toContain("this is a bug");
    } else {
      expect(fetched.status).toBe(254);
      await expectNothingStored(rkt);
    }
    expect(await Bun.file(canary).text()).toBe("untouched");
    expect(rkt.leftovers()).toEqual([]);
  });
}

test("an image that unpacks to far more than it weighs does not fill memory", async () => {
  await using rkt = newRkt();
  const dir = `${rkt.work}/bomb`;
  await Bun.$`mkdir -p ${dir}/rootfs && truncate -s 600M ${dir}/rootfs/zeros`.quiet();
  writeFileSync(`${dir}/manifest`, manifestOf({}));
  await Bun.$`tar -C ${dir} -cf - manifest rootfs | zstd -q > ${rkt.work}/bomb.aci`.quiet();
  const result = await runMeasured(rkt, [INSECURE, "fetch", `${rkt.work}/bomb.aci`]);
  expect(result.stderr).not.toContain("this is a bug");
  expect(result.peakBytes).toBeLessThan(150e6);
});

test("a full disk ends in one sentence and leaves nothing", async () => {
  await using rkt = newRkt();
  await Bun.$`mount -t tmpfs -o size=2m tmpfs ${rkt.data}`.quiet();
  try {
    const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(65536)));
    const content = Buffer.concat(Array.from({ length: 64 }, () => noise));
    for (const compression of ["none", "gzip"] as const) {
      const path = put(
        rkt,
        "a.aci",
        buildAci({ files: [{ name: "large", content }], compression }),
      );
      const { stderr } = await rkt.fails(
        [INSECURE, "fetch", path],
        /no space left on device|not enough space/,
      );
      expect(stderr.trim().split("\n").length).toBeLessThanOrEqual(3);
      await expectNothingStored(rkt);
    }
    // Room for a small one is there again.
    await rkt.ok([INSECURE, "fetch", put(rkt, "b.aci", buildAci())]);
  } finally {
    await Bun.$`umount ${rkt.data}`.quiet();
  }
});

test("a read-only data directory ends in one sentence", async () => {
  await using rkt = newRkt();
  await Bun.$`mount -t tmpfs -o ro tmpfs ${rkt.data}`.quiet();
  try {
    const path = put(rkt, "a.aci", buildAci());
    await rkt.fails([INSECURE, "fetch", path], /read-only file system/i);
    const list = await rkt.run(["list"]);
    expect(list.stderr).not.toContain("this is a bug");
  } finally {
    await Bun.$`umount ${rkt.data}`.quiet();
  }
});

test("fetch says what is wrong with its arguments", async () => {
  await using rkt = newRkt();
  await rkt.fails(["fetch"], "must provide at least one image");
  await rkt.fails(["fetch", "/nowhere/a.aci"], /no such file or directory/);
  await rkt.fails(
    ["fetch", "http://example.com/a.tar"],
    'invalid image string "http://example.com/a.tar"',
  );
  await rkt.fails(
    ["fetch", put(rkt, "a.aci", buildAci()), "--", "arg"],
    "app arguments unsupported",
  );
  await rkt.fails(
    ["fetch", "--store-only", "--no-store", "x"],
    "both --store-only and --no-store specified",
  );
  await rkt.fails(
    ["fetch", "docker://busybox"],
    'no trust policy says who may sign "registry-1.docker.io/library/busybox"',
  );
  await rkt.fails([INSECURE, "fetch", rkt.work], /./);
});

test("a directory, a fifo and a device are no images", async () => {
  await using rkt = newRkt();
  await Bun.$`mkdir ${rkt.work}/dir.aci && mkfifo ${rkt.work}/fifo.aci`.quiet();
  for (const path of [`${rkt.work}/dir.aci`, `${rkt.work}/fifo.aci`, "/dev/zero"]) {
    await rkt.fails([INSECURE, "fetch", path], "fetch: ", { timeout: 20_000 });
  }
  await expectNothingStored(rkt);
});

test("an image that nobody verified runs with the flag only, and never in place of a verified one", async () => {
  await using rkt = newRkt();
  const good = `${rkt.work}/good.aci`;
  const bad = `${rkt.work}/bad.aci`;
  writeFileSync(good, busyboxAci({ files: [{ name: "who", content: "signed\n" }] }));
  writeFileSync(bad, busyboxAci({ files: [{ name: "who", content: "unsigned\n" }] }));
  const key = (await rkt.ok([INSECURE, "fetch", "--full", bad])).trim();
  const cat = ["--exec=/bin/cat", "--", "/who"];
  const run = ["run", "--net=none"];
  for (const image of ["example.com/busybox", key]) {
    await rkt.fails(
      [...run, image, ...cat],
      "fetched with --insecure-options=image and nobody verified it",
    );
    await rkt.fails(["prepare", image, ...cat], "nobody verified it");
    expect(await rkt.ok([INSECURE, ...run, image, ...cat])).toBe("unsigned\n");
  }
  await fetchSigned(rkt, good);
  await rkt.ok([INSECURE, "fetch", bad]);
  expect(await rkt.ok([...run, "example.com/busybox", ...cat])).toBe("signed\n");
  expect(await rkt.ok([INSECURE, ...run, "example.com/busybox", ...cat])).toBe("unsigned\n");
});
