// SPDX-License-Identifier: Apache-2.0
// Docker and OCI images from local places: fetched, run, listed, exported and collected; layers by hand, honest and
// hostile, and images made by the tools that people use.
import { expect } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { needs } from "../support/needs.ts";
import {
  addImage,
  BUSYBOX,
  type OciDescription,
  type OciLayerDescription,
  writeImage,
  writeIndex,
} from "../support/oci-layout.ts";
import { newRegistry } from "../support/registry.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";

const test = needs("root", "sandbox", "busybox", "overlay");
const withTools = needs("root", "sandbox", "busybox", "overlay", "skopeo", "umoci");
const idmapped = needs(
  "root",
  "sandbox",
  "busybox",
  "overlay",
  "user namespaces",
  "idmapped mounts",
);
const ANY = "--insecure-options=image";
const NET = "--net=none";

const layer = (...items: OciLayerDescription["items"]): OciLayerDescription => ({ items });

/** Runs a script in an image of these layers on top of busybox. */
async function script(
  rkt: Rkt,
  layers: readonly OciLayerDescription[],
  text: string,
  flags: readonly string[] = [],
): Promise<string> {
  rmSync(`${rkt.work}/img`, { recursive: true, force: true });
  writeImage(`${rkt.work}/img`, { layers: [BUSYBOX, ...layers] });
  return await rkt.ok(["run", NET, ANY, ...flags, `oci:${rkt.work}/img`, "--", "-c", text]);
}

function layers(rkt: Rkt): string[] {
  const directory = `${rkt.data}/cas/oci/layer/sha256`;
  return existsSync(directory) ? readdirSync(directory) : [];
}

function blobs(rkt: Rkt): string[] {
  const directory = `${rkt.data}/cas/oci/blob/sha256`;
  return existsSync(directory) ? readdirSync(directory) : [];
}

test("run takes an image from an OCI layout, with its entrypoint and environment", async () => {
  await using rkt = newRkt();
  writeImage(`${rkt.work}/img`, {
    layers: [BUSYBOX],
    config: {
      Env: ["PATH=/bin", "GREETING=hello"],
      Entrypoint: ["/bin/sh", "-c"],
      Cmd: ["echo $GREETING"],
    },
  });
  expect(await rkt.ok(["run", NET, ANY, `oci:${rkt.work}/img`])).toBe("hello\n");
  expect(await rkt.ok(["run", NET, ANY, "--no-overlay", `oci:${rkt.work}/img:latest`])).toBe(
    "hello\n",
  );
});

test("an OCI image that nobody vouches for is refused, and nothing of it is stored", async () => {
  await using rkt = newRkt();
  writeImage(`${rkt.work}/img`, { layers: [BUSYBOX] });
  await rkt.fails(["run", NET, `oci:${rkt.work}/img`], /^run: /);
  expect(blobs(rkt)).toEqual([]);
  await rkt.ok(["fetch", ANY, `oci:${rkt.work}/img`]);
  await rkt.fails(["run", NET, `oci:${rkt.work}/img`], /^run: /);
  expect(await rkt.ok(["image", "list", "--fields=verified", "--full"])).toContain(
    "nobody (--insecure-options=image)",
  );
});

test("whiteouts, opaque directories and replacements hide what is below", async () => {
  await using rkt = newRkt();
  const lower = layer(
    { name: "d/", type: "dir", mode: 0o711 },
    { name: "d/gone", content: "x" },
    { name: "d/kept", content: "x" },
    { name: "o/", type: "dir" },
    { name: "o/gone", content: "x" },
    { name: "f", content: "file" },
    { name: "w/", type: "dir" },
    { name: "w/gone", content: "x" },
  );
  const upper = layer(
    { name: "d/.wh.gone", content: "" },
    { name: "o/new", content: "x" },
    { name: "o/.wh..wh..opq", content: "" },
    { name: "f/", type: "dir" },
    { name: "f/inside", content: "x" },
    // Removed and made again in one layer: what was in it is gone.
    { name: ".wh.w", content: "" },
    { name: "w/", type: "dir" },
    { name: "w/new", content: "x" },
    // Twice in one layer: the later one counts.
    { name: "twice", content: "first" },
    { name: "twice", content: "second" },
    { name: ".wh..wh.plnk", type: "dir" },
  );
  for (const flags of [[], ["--no-overlay"]]) {
    const out = await script(
      rkt,
      [lower, upper],
      "ls d o f w; cat twice; echo; stat -c %a d; ls -a / | grep wh || echo none",
      flags,
    ).catch((error) => {
      throw error;
    });
    expect(out.split("\n").filter((line) => line !== "")).toEqual([
      "d:",
      "kept",
      "f:",
      "inside",
      "o:",
      "new",
      "w:",
      "new",
      "second",
      "711",
      "none",
    ]);
  }
});

test("hard links reach into lower layers, and both names are one file", async () => {
  await using rkt = newRkt();
  const out = await script(
    rkt,
    [
      layer(
        { name: "a/", type: "dir" },
        { name: "a/file", content: "content", mode: 0o4755, uid: 7 },
      ),
      layer({ name: "b", type: "link", link: "a/file" }, { name: "c", type: "link", link: "/b" }),
    ],
    "cat b; echo; stat -c '%a %u %h' b; [ b -ef a/file ] && [ b -ef c ] && echo same",
  );
  expect(out).toBe("content\n4755 7 3\nsame\n");
});

test("a directory that only a lower layer describes keeps its mode", async () => {
  await using rkt = newRkt();
  const out = await script(
    rkt,
    [
      layer({ name: "t/", type: "dir", mode: 0o1777, uid: 5 }),
      layer({ name: "t/file", content: "x" }),
    ],
    "stat -c '%a %u' t",
  );
  expect(out).toBe("1777 5\n");
});

test("a layer looks the same in an image whatever image it came with first", async () => {
  await using rkt = newRkt();
  const shared = layer({ name: "t/file", content: "x" });
  writeImage(`${rkt.work}/first`, { layers: [shared, BUSYBOX] });
  const first = ["run", NET, ANY, `oci:${rkt.work}/first`, "--", "-c", "stat -c '%a %u' t"];
  expect(await rkt.ok(first)).toBe("755 0\n");
  const described = layer({ name: "t/", type: "dir", mode: 0o700, uid: 5 });
  expect(await script(rkt, [described, shared], "stat -c '%a %u' t")).toBe("700 5\n");
  // Both are of use to an image, and not thrown away.
  await rkt.ok(["image", "gc", "--grace-period=24h"]);
  expect(layers(rkt)).toHaveLength(4);
  expect(await rkt.ok(first)).toBe("755 0\n");
});

test("a layer that occurs twice, an empty layer and forty layers are mounted", async () => {
  await using rkt = newRkt();
  const many = Array.from({ length: 40 }, (_, i) => layer({ name: `f${i}`, content: String(i) }));
  const again = layer({ name: "f3", content: "3" });
  const out = await script(
    rkt,
    [...many, again, layer(), { items: [], compression: "none" }],
    "cat f0 f3 f39; ls -d f* | wc -l",
  );
  expect(out).toBe("033940\n");
});

test("layers of zstd and without compression are unpacked too", async () => {
  await using rkt = newRkt();
  const out = await script(
    rkt,
    [
      { items: [{ name: "z", content: "zstd" }], compression: "zstd" },
      { items: [{ name: "n", content: "none" }], compression: "none" },
    ],
    "cat z n",
  );
  expect(out).toBe("zstdnone");
});

test("setuid bits, owners, devices and attributes are restored", async () => {
  await using rkt = newRkt();
  writeImage(`${rkt.work}/img`, {
    layers: [
      BUSYBOX,
      layer(
        {
          name: "s",
          content: "x",
          mode: 0o6755,
          uid: 1,
          gid: 2,
          pax: { "SCHILY.xattr.user.k": "v", "SCHILY.xattr.trusted.overlay.opaque": "y" },
        },
        { name: "null", type: "char", major: 1, minor: 3, mode: 0o666 },
        { name: "p", type: "fifo" },
        {
          name: "d/",
          type: "dir",
          pax: { "SCHILY.xattr.user.d": "v", "SCHILY.xattr.trusted.overlay.redirect": "/etc" },
        },
      ),
    ],
  });
  await rkt.ok(["fetch", ANY, `oci:${rkt.work}/img`]);
  const [key = ""] = (
    await rkt.ok(["image", "list", "--fields=id", "--full", "--no-legend"])
  ).split("\n");
  await rkt.ok(["image", "extract", key.trim(), `${rkt.work}/out`]);
  const stats = statSync(`${rkt.work}/out/rootfs/s`);
  expect([stats.mode & 0o7777, stats.uid, stats.gid]).toEqual([0o6755, 1, 2]);
  expect(statSync(`${rkt.work}/out/rootfs/null`).isCharacterDevice()).toBe(true);
  expect(statSync(`${rkt.work}/out/rootfs/p`).isFIFO()).toBe(true);
  const attributes = Bun.spawnSync([
    "getfattr",
    "-d",
    "-m-",
    `${rkt.work}/out/rootfs/s`,
  ]).stdout.toString();
  expect(attributes).toContain('user.k="v"');
  // Where overlayfs would take them for its own; in the union it hides them.
  const unpacked = Bun.spawnSync(["getfattr", "-R", "-d", "-m-", `${rkt.data}/cas/oci/layer`]);
  const all = unpacked.stdout.toString();
  expect(all).toContain('user.d="v"');
  expect(all).toContain('user.k="v"');
  expect(`${attributes}${all}`).not.toContain("trusted");
});

idmapped("a pod with a user namespace has every layer's files as its own", async () => {
  await using rkt = newRkt();
  const out = await script(
    rkt,
    [layer({ name: "a", content: "x", uid: 3 }), layer({ name: "b", content: "y", uid: 4 })],
    "stat -c %u a b /bin",
    ["--private-users"],
  );
  expect(out).toBe("3\n4\n0\n");
});

const HOSTILE: readonly (readonly [what: string, items: OciLayerDescription["items"]])[] = [
  ["a name with ..", [{ name: "../escaped", content: "x" }]],
  ["a hard link to a name with ..", [{ name: "l", type: "link", link: "../../etc/passwd" }]],
  ["a hard link to nothing", [{ name: "l", type: "link", link: "nowhere" }]],
  [
    "a hard link to what it hides",
    [
      { name: ".wh.bin", content: "" },
      { name: "l", type: "link", link: "bin/busybox" },
    ],
  ],
  ["a whiteout of ..", [{ name: ".wh...", content: "" }]],
  ["a whiteout of nothing", [{ name: ".wh.", content: "" }]],
  [
    "a file below a file",
    [
      { name: "f", content: "x" },
      { name: "f/g", content: "x" },
    ],
  ],
  [
    "a loop of links",
    [
      { name: "a", type: "symlink", link: "b" },
      { name: "b", type: "symlink", link: "a" },
      { name: "a/x", content: "x" },
    ],
  ],
  ["a hard link to itself", [{ name: "self", type: "link", link: "self" }]],
  [
    "the root as a file",
    [
      { name: "./", type: "file", content: "x" },
      { name: ".", type: "symlink", link: "/" },
    ],
  ],
];

test("hostile layers are refused, and nothing of the image stays", async () => {
  await using rkt = newRkt();
  for (const [what, items] of HOSTILE) {
    rmSync(`${rkt.work}/img`, { recursive: true, force: true });
    writeImage(`${rkt.work}/img`, { layers: [BUSYBOX, layer(...items)] });
    const result = await rkt.run(["fetch", ANY, `oci:${rkt.work}/img`]);
    expect([what, result.status]).toEqual([what, 254]);
    expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
  }
  await rkt.ok(["image", "gc", "--grace-period=0s"]);
  expect([layers(rkt), blobs(rkt)]).toEqual([[], []]);
});

test("links in a layer lead nowhere but into the layer", async () => {
  await using rkt = newRkt();
  const victim = `${rkt.work}/victim`;
  const out = await script(
    rkt,
    [
      layer(
        { name: "abs", type: "symlink", link: rkt.work },
        { name: "up", type: "symlink", link: "../../../../../../../../../../../.." },
        { name: "up/from-up", content: "x" },
        { name: `${rkt.work.slice(1)}/`, type: "dir" },
        { name: "abs/victim", content: "inside" },
      ),
      // A lower layer's link is not seen: this is a directory that takes its place.
      layer({ name: "abs/other", content: "x" }),
    ],
    `cat ${victim}; ls /from-up abs`,
  );
  expect(out).toBe("inside/from-up\n\nabs:\nother\n");
  expect(existsSync(victim)).toBe(false);
});

test("what is not what its digest says is refused", async () => {
  await using rkt = newRkt();
  const other: OciLayerDescription = {
    items: [{ name: "other", content: "x".repeat(1000) }],
    compression: "none",
  };
  const bad: readonly (readonly [string, OciLayerDescription])[] = [
    [
      "does not hold what the image config says",
      { ...BUSYBOX, diffID: `sha256:${"0".repeat(64)}` },
    ],
    ["its digest is", { ...other, lie: (blob) => Buffer.from(blob.with(100, 0x55)) }],
    ["another size", { ...other, lie: (blob) => blob.subarray(0, 100) }],
    ["another size", { ...other, lie: (blob) => Buffer.concat([blob, blob]) }],
  ];
  for (const [sentence, one] of bad) {
    rmSync(`${rkt.work}/img`, { recursive: true, force: true });
    writeImage(`${rkt.work}/img`, { layers: [one] });
    await rkt.fails(["fetch", ANY, `oci:${rkt.work}/img`], sentence);
  }
  const { digest } = writeImage(`${rkt.work}/img`, { layers: [BUSYBOX] });
  const manifest = `${rkt.work}/img/blobs/sha256/${digest.slice(7)}`;
  writeFileSync(
    manifest,
    readFileSync(manifest, "utf8").replace('"schemaVersion":2', '"schemaVersion": 2'),
  );
  await rkt.fails(["fetch", ANY, `oci:${rkt.work}/img`], "has digest");
  expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
});

test("--platform chooses from an index, and an image for another machine is refused", async () => {
  await using rkt = newRkt();
  const layout = `${rkt.work}/img`;
  const of = (architecture: string, text: string): OciDescription => ({
    layers: [BUSYBOX, layer({ name: "which", content: text })],
    architecture,
  });
  const other = process.arch === "x64" ? "arm64" : "amd64";
  const images = [addImage(layout, of("ppc64le", "p")), addImage(layout, of(other, "other"))];
  writeIndex(layout, {});
  const index = { schemaVersion: 2, manifests: images.map(({ descriptor }) => descriptor) };
  writeFileSync(`${layout}/index.json`, JSON.stringify(index));
  await rkt.fails(
    ["fetch", ANY, `oci:${layout}`],
    /there is no image for platform linux\/[a-z0-9]+\n.*linux\/ppc64le/,
  );
  await rkt.ok(["fetch", ANY, `--platform=linux/${other}`, `oci:${layout}`]);
  await rkt.fails(["fetch", ANY, "--platform=nonsense", `oci:${layout}`], "is not a platform");
  writeIndex(layout, { a: images[0]!, b: images[1]! });
  await rkt.fails(["fetch", ANY, `oci:${layout}`], "has several images");
  await rkt.fails(["fetch", ANY, `oci:${layout}:a`], "it is for platform linux/ppc64le");
});

test("layers are shared, kept while an image or a pod needs them, and collected then", async () => {
  await using rkt = newRkt();
  const shared = layer({ name: "shared", content: "x" });
  writeImage(`${rkt.work}/a`, { layers: [BUSYBOX, shared, layer({ name: "a", content: "a" })] });
  writeImage(`${rkt.work}/b`, { layers: [BUSYBOX, shared, layer({ name: "b", content: "b" })] });
  const [a, b] = [
    (await rkt.ok(["fetch", ANY, "--full", `oci:${rkt.work}/a`])).trim(),
    (await rkt.ok(["fetch", ANY, "--full", `oci:${rkt.work}/b`])).trim(),
  ];
  expect(layers(rkt)).toHaveLength(4);
  const uuid = (await rkt.ok(["prepare", ANY, b, "--", "-c", "cat b"])).trim();
  await rkt.ok(["image", "rm", a, b]);
  await rkt.ok(["image", "gc", "--grace-period=0s"]);
  expect(layers(rkt)).toHaveLength(3);
  expect(blobs(rkt)).toHaveLength(0);
  expect(await rkt.ok(["run-prepared", NET, uuid])).toBe("b");
  await rkt.ok(["rm", uuid]);
  await rkt.ok(["image", "gc", "--grace-period=0s"]);
  expect(layers(rkt)).toHaveLength(0);
});

test("two processes that fetch one image at once unpack each layer once", async () => {
  await using rkt = newRkt();
  writeImage(`${rkt.work}/img`, { layers: [BUSYBOX, layer({ name: "a", content: "a" })] });
  const results = await Promise.all(
    Array.from({ length: 4 }, () => rkt.run(["fetch", ANY, "--full", `oci:${rkt.work}/img`])),
  );
  expect(new Set(results.map(({ stdout }) => stdout)).size).toBe(1);
  expect(results.map(({ status }) => status)).toEqual([0, 0, 0, 0]);
  expect(layers(rkt)).toHaveLength(2);
});

test("image verify finds a changed layer and repairs it; export gives the digests back", async () => {
  await using rkt = newRkt();
  const { digest } = writeImage(`${rkt.work}/img`, {
    layers: [BUSYBOX, layer({ name: "a", content: "a" })],
  });
  const key = (await rkt.ok(["fetch", ANY, "--full", `oci:${rkt.work}/img`])).trim();
  expect(await rkt.ok(["image", "verify", key])).toContain("successfully verified");
  const changed =
    layers(rkt)
      .map((name) => `${rkt.data}/cas/oci/layer/sha256/${name}/diff/a`)
      .find(existsSync) ?? "";
  writeFileSync(changed, "changed");
  expect((await rkt.run(["image", "verify", key])).stderr).toContain("rebuilding");
  expect(readFileSync(changed, "utf8")).toBe("a");
  await rkt.ok(["image", "export", key, `${rkt.work}/out.tar`]);
  await using other = newRkt();
  expect((await other.ok(["fetch", ANY, "--full", `oci-archive:${rkt.work}/out.tar`])).trim()).toBe(
    key,
  );
  const index = Bun.spawnSync([
    "tar",
    "-xOf",
    `${rkt.work}/out.tar`,
    "index.json",
  ]).stdout.toString();
  expect(index).toContain(digest);
  expect(await rkt.ok(["image", "cat-manifest", key])).toContain('"acKind": "ImageManifest"');
});

test("a blob that was damaged on disk is noticed, and fetched again", async () => {
  await using rkt = newRkt();
  writeImage(`${rkt.work}/img`, { layers: [BUSYBOX, layer({ name: "a", content: "a" })] });
  const key = (await rkt.ok(["fetch", ANY, "--full", `oci:${rkt.work}/img`])).trim();
  rmSync(`${rkt.data}/cas/oci/layer`, { recursive: true });
  rmSync(`${rkt.data}/cas/oci/empty`, { recursive: true });
  rmSync(`${rkt.data}/cas/tree/oci-${key}`, { recursive: true });
  for (const name of blobs(rkt)) {
    const path = `${rkt.data}/cas/oci/blob/sha256/${name}`;
    writeFileSync(path, Buffer.alloc(statSync(path).size));
  }
  await rkt.fails(["run", NET, ANY, key, "--", "-c", "cat a"], "was damaged");
  // Each attempt finds one more.
  for (let i = 0; i < 4; i++) await rkt.run(["fetch", ANY, `oci:${rkt.work}/img`]);
  expect(await rkt.ok(["run", NET, ANY, key, "--", "-c", "cat a"])).toBe("a");
});

withTools("images made by umoci and copied by skopeo run from all local forms", async () => {
  await using rkt = newRkt();
  const { work } = rkt;
  const tool = (...words: string[]) => {
    const { exitCode, stderr } = Bun.spawnSync(words, { cwd: work });
    expect([words[0], exitCode, exitCode === 0 ? "" : stderr.toString()]).toEqual([
      words[0],
      0,
      "",
    ]);
  };
  Bun.spawnSync(["mkdir", "-p", `${work}/root/bin`]);
  tool("cp", "/bin/busybox", `${work}/root/bin/sh`);
  tool("umoci", "init", "--layout", "img");
  tool("umoci", "new", "--image", "img:v1");
  tool("umoci", "insert", "--image", "img:v1", "root", "/");
  tool(
    "umoci",
    "config",
    "--image",
    "img:v1",
    "--config.entrypoint",
    "/bin/sh",
    "--config.env",
    "A=b",
  );
  tool("skopeo", "--insecure-policy", "copy", "oci:img:v1", "oci-archive:o.tar:v1");
  tool(
    "skopeo",
    "--insecure-policy",
    "copy",
    "oci:img:v1",
    "docker-archive:d.tar:example.com/x/y:v2",
  );
  for (const reference of [
    "oci:img:v1",
    "oci-archive:o.tar:v1",
    "docker-archive:d.tar",
    "docker-archive:d.tar:example.com/x/y:v2",
  ]) {
    const out = await rkt.ok(["run", NET, ANY, reference, "--", "-c", "echo $A"], { cwd: work });
    expect([reference, out]).toEqual([reference, "b\n"]);
  }
  await rkt.fails(["fetch", ANY, "docker-archive:d.tar:busybox:none"], "example.com/x/y:v2", {
    cwd: work,
  });
  expect(await rkt.ok(["image", "list", "--fields=name", "--no-legend"])).toContain(
    "local/example.com/x/y:v2",
  );
});

needs(
  "root",
  "sandbox",
  "busybox",
  "overlay",
  "registry",
)("an image of a registry runs, and is found in the store the next time", async () => {
  await using rkt = newRkt();
  await using registry = await newRegistry();
  writeImage(`${rkt.work}/img`, { layers: [BUSYBOX, layer({ name: "a", content: "from afar" })] });
  await registry.push(`oci:${rkt.work}/img:latest`, "team/app:1");
  const reference = `docker://${registry.host}/team/app:1`;
  const run = ["run", "--net=host", ANY, reference, "--", "-c", "cat a"];
  expect(await rkt.ok(run, { env: registry.env })).toBe("from afar");
  expect(
    await rkt.ok(["run", NET, ANY, "--pull-policy=never", reference, "--", "-c", "cat a"]),
  ).toBe("from afar");
  expect(await rkt.ok(["image", "list", "--fields=name", "--no-legend"])).toContain("team/app:1");
});

test("one repository's image is not let in by the policy for another one", async () => {
  await using rkt = newRkt();
  await using registry = await newRegistry();
  writeImage(`${rkt.work}/img`, { layers: [BUSYBOX] });
  for (const name of ["strict/app:1", "open/app:1"]) {
    await registry.push(`oci:${rkt.work}/img:latest`, name);
  }
  const [strict, open] = ["strict/app:1", "open/app:1"].map(
    (name) => `docker://${registry.host}/${name}`,
  ) as [string, string];
  const { env } = registry;
  await rkt.ok([
    "trust",
    "--type=none",
    `--prefix=${registry.host}/open`,
    "--skip-fingerprint-review",
  ]);
  await rkt.ok(["fetch", ANY, strict], { env });
  await rkt.ok(["fetch", open], { env });
  const run = (image: string) => ["run", "--net=host", image, "--", "-c", "echo ran"];
  expect(await rkt.ok(run(open), { env })).toBe("ran\n");
  await rkt.fails(run(strict), "no trust policy says who may sign", { env });
  await rkt.ok(["fetch", ANY, strict, "--pull-policy=update"], { env });
  await rkt.fails(run(strict), "nobody verified it", { env });
});
