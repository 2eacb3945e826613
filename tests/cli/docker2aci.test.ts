// SPDX-License-Identifier: Apache-2.0
// docker2aci as a user sees it: images in files become ACIs that rkt runs.
import { describe, expect } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import {
  busyboxLayer,
  type ImageDescription,
  type LayerItems,
  ociArchive,
  ociImage,
  savedV1,
  savedV2,
} from "../support/docker.ts";
import { needs } from "../support/needs.ts";
import { writeLayout } from "../support/oci.ts";
import { newRegistry, PASSWORD, USER } from "../support/registry.ts";
import { newRkt, RKT, type Rkt } from "../support/rkt.ts";
import { listTar, type TarItem, type TarListing, tarBytes } from "../support/tar.ts";
import { tempDir } from "../support/temp.ts";

const test = needs("busybox");
const testRegistry = needs("registry", "busybox");
const testRun = needs("root", "sandbox", "busybox", "overlay");

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A directory with docker2aci in it. */
function tool() {
  const dir = tempDir("docker2aci");
  symlinkSync(RKT, `${dir.path}/docker2aci`);
  const env: Record<string, string> = { HOME: dir.path, PATH: "/bin:/usr/bin", TMPDIR: dir.path };
  const run = (...args: readonly string[]): Outcome => {
    const done = Bun.spawnSync([`${dir.path}/docker2aci`, ...args], {
      cwd: dir.path,
      env,
    });
    return {
      stdout: done.stdout.toString(),
      stderr: done.stderr.toString(),
      status: done.exitCode,
    };
  };
  return {
    path: dir.path,
    env,
    run,
    /** Writes the archive and converts it, which must work. */
    convert(bytes: Buffer, ...flags: readonly string[]): Outcome {
      writeFileSync(`${dir.path}/image.tar`, bytes);
      const outcome = run(...flags, "image.tar");
      expect(outcome).toMatchObject({ status: 0 });
      expect(readdirSync(dir.path).filter((name) => name.startsWith("docker2aci-"))).toEqual([]);
      return outcome;
    },
    fails(bytes: Buffer, sentence: string, ...flags: readonly string[]): void {
      writeFileSync(`${dir.path}/image.tar`, bytes);
      const { stdout, stderr, status } = run(...flags, "image.tar");
      expect(stderr).toContain(sentence);
      expect({ stdout, status }).toEqual({ stdout: "", status: 1 });
      expect(readdirSync(dir.path).sort()).toEqual(["docker2aci", "image.tar"]);
    },
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

/** The entries of an ACI. */
function list(path: string): TarListing[] {
  const bytes = readFileSync(path);
  return listTar(bytes[0] === 0x1f ? gunzipSync(bytes) : bytes);
}

const manifestIn = (entries: readonly TarListing[]) =>
  JSON.parse(entries.find(({ name }) => name === "manifest")?.content ?? "null");

/** `name=content` of what is not there for every image. */
const files = (entries: readonly TarListing[]): string[] =>
  entries
    .filter(({ name }) => name !== "manifest" && !/^rootfs(\/dev(\/std.*|\/fd)?)?$/.test(name))
    .map(({ name, content, link }) => `${name.slice(7)}=${link === "" ? content : `>${link}`}`);

const file = (name: string, content: string): TarItem => ({ name, content });
const dir = (name: string): TarItem => ({ name: `${name}/`, type: "dir" });
const image = (...layers: readonly LayerItems[]): ImageDescription => ({
  layers,
  config: { Cmd: ["/x"] },
});

const CONFIG = {
  Entrypoint: ["/bin/sh", "-c"],
  Cmd: ["id -u; cat /data/seed /file; pwd; echo $A"],
  User: "user",
  Env: ["PATH=/bin", "A=b=c", "NONE"],
  WorkingDir: "/srv",
  Volumes: { "/data": {}, "/var/tmp": {} },
  ExposedPorts: { "80/tcp": {}, "53/udp": {} },
  Labels: { a: "b" },
  StopSignal: "SIGQUIT",
};
const RUNNABLE: ImageDescription = {
  config: CONFIG,
  layers: [
    [...busyboxLayer("sh", "id", "cat", "echo"), file("file", "old\n"), file("gone", "x")],
    [
      dir("srv"),
      dir("data"),
      file("data/seed", "seed\n"),
      file("file", "new\n"),
      file(".wh.gone", ""),
    ],
  ],
};

test("docker2aci without an image prints its usage", () => {
  using t = tool();
  for (const words of [[], ["a", "b"], ["-unknown", "a"], ["-image"]]) {
    const { stdout, stderr, status } = t.run(...words);
    expect(stderr).toContain("docker2aci [-debug] [-nosquash] [-compression=(gzip|none)] IMAGE");
    expect({ stdout, status }).toEqual({ stdout: "", status: 2 });
  }
  expect(t.run("-unknown", "a").stderr).toStartWith("flag provided but not defined: -unknown\n");
  expect(t.run("--image").stderr).toStartWith("flag needs an argument: -image\n");
  expect(t.run("-version").stdout).toMatch(/^docker2aci version \S+\nappc version 0\.8\.11\n$/);
  expect(t.run("-compression=xz", "a").stderr).toBe("Error: unknown compression method: xz\n");
  expect(t.run("-image", "a", "docker://b").stderr).toBe(
    "Error: flag --image works only with files.\n",
  );
  const missing = t.run("missing.tar");
  expect(missing.stderr).toStartWith('Error: conversion error: error opening file "missing.tar"');
  expect(missing.status).toBe(1);
});

test("rkt tool docker2aci is the same tool", () => {
  using t = tool();
  writeFileSync(`${t.path}/image.tar`, savedV1({ "a/b": { "1": image([file("f", "1")]) } }));
  const done = Bun.spawnSync([RKT, "tool", "docker2aci", "-compression", "none", "image.tar"], {
    cwd: t.path,
  });
  expect(done.stdout.toString()).toBe("\nGenerated ACI(s):\na-b-1.aci\n");
  expect(done.exitCode).toBe(0);
  const wrong = Bun.spawnSync([RKT, "tool", "docker2aci", "-x"], { cwd: t.path });
  expect(wrong.exitCode).toBe(2);
});

test("a file of docker save becomes one ACI", () => {
  using t = tool();
  const { stdout, stderr } = t.convert(savedV1({ busybox: { latest: RUNNABLE } }));
  expect(stdout).toBe(`
Converted volumes:
	name: "volume-data", path: "/data", readOnly: false
	name: "volume-var-tmp", path: "/var/tmp", readOnly: false

Converted ports:
	name: "53-udp", protocol: "udp", port: 53, count: 1, socketActivated: false
	name: "80-tcp", protocol: "tcp", port: 80, count: 1, socketActivated: false

Generated ACI(s):
library-busybox-latest.aci
`);
  expect(stderr).toMatch(/^Extracting [0-9a-f]{12}\nExtracting [0-9a-f]{12}\n$/);
  const path = `${t.path}/library-busybox-latest.aci`;
  expect(readFileSync(path).subarray(0, 2).toString("hex")).toBe("1f8b");
  const entries = list(path);
  expect(entries.slice(0, 2).map(({ name }) => name)).toEqual(["manifest", "rootfs"]);
  const manifest = manifestIn(entries);
  expect(manifest).toMatchObject({
    acKind: "ImageManifest",
    name: "library/busybox",
    app: {
      exec: [...CONFIG.Entrypoint, ...CONFIG.Cmd],
      user: "user",
      group: "user",
      workingDirectory: "/srv",
      environment: [
        { name: "PATH", value: "/bin" },
        { name: "A", value: "b=c" },
      ],
      userLabels: { a: "b" },
    },
  });
  expect(manifest.labels.map((label: { name: string }) => label.name)).toEqual([
    "arch",
    "os",
    "version",
  ]);
  expect(manifest.dependencies).toBeUndefined();
  expect(manifest.pathWhitelist).toBeUndefined();
  const annotations = Object.fromEntries(
    manifest.annotations.map((one: { name: string; value: string }) => [one.name, one.value]),
  );
  expect(annotations).toMatchObject({
    created: "2016-06-02T21:43:31Z",
    "appc.io/docker/repository": "library/busybox",
    "appc.io/docker/tag": "latest",
    "appc.io/docker/entrypoint": JSON.stringify(CONFIG.Entrypoint),
    "appc.io/docker/cmd": JSON.stringify(CONFIG.Cmd),
    "appc.io/docker/stopsignal": "SIGQUIT",
  });
  expect(files(entries).filter((line) => /^(file|gone)/.test(line))).toEqual(["file=new\n"]);
  const links = entries.filter(({ name }) => name.startsWith("rootfs/dev/"));
  expect(links.map(({ name, link }) => [name, link])).toEqual([
    ["rootfs/dev/fd", "/proc/self/fd"],
    ["rootfs/dev/stderr", "/dev/console"],
    ["rootfs/dev/stdin", "/proc/self/fd/0"],
    ["rootfs/dev/stdout", "/dev/console"],
  ]);
});

test("-nosquash makes an ACI of each layer, with dependencies and visible paths", () => {
  using t = tool();
  const layers = [
    [dir("d"), file("d/a", "1"), file("d/b", "1")],
    [dir("d"), file("d/.wh.a", ""), file("d/c", "2")],
  ];
  const v1 = t.convert(savedV1({ "x.example/n/m": { "1": image(...layers) } }), "-nosquash");
  const arch = process.arch === "arm64" ? "arm64" : "amd64";
  expect(v1.stdout).toBe(
    `\nGenerated ACI(s):\nn-m-1-linux-${arch}-1.aci\nn-m-1-linux-${arch}-0.aci\n`,
  );
  const lower = list(`${t.path}/n-m-1-linux-${arch}-1.aci`);
  const upper = list(`${t.path}/n-m-1-linux-${arch}-0.aci`);
  expect(lower[0]?.name).toBe("rootfs");
  expect(upper.at(-1)?.name).toBe("manifest");
  expect(files(lower)).toEqual(["d=", "d/a=1", "d/b=1"]);
  expect(files(upper)).toEqual(["d=", "d/c=2"]);
  const dev = ["/dev", "/dev/fd", "/dev/stderr", "/dev/stdin", "/dev/stdout"];
  expect(manifestIn(lower).pathWhitelist).toEqual(["/d", "/d/a", "/d/b", ...dev]);
  expect(manifestIn(upper).pathWhitelist).toEqual(["/d", "/d/b", "/d/c", ...dev]);
  expect(manifestIn(upper).dependencies).toEqual([
    { imageName: manifestIn(lower).name, labels: manifestIn(lower).labels },
  ]);
  const v2 = t.convert(
    ociArchive({ "1": image(...layers) }),
    "-nosquash",
    "-image=x.example/n/m:1",
  );
  const names = v2.stdout.trim().split("\n").slice(1);
  expect(names).toHaveLength(2);
  for (const name of names)
    expect(name).toMatch(/^x\.example\/n\/m-sha256-[0-9a-f]{64}-1-linux-(amd|arm)64\.aci$/);
  const [bottom, top] = names.map((name) => manifestIn(list(`${t.path}/${name}`)));
  expect(bottom.name).toBe(names[0]?.slice(0, names[0].indexOf("-1-linux")));
  expect(bottom.labels).toHaveLength(2);
  expect(top.dependencies).toEqual([{ imageName: bottom.name, labels: bottom.labels }]);
});

test("the newer forms of files are read too", () => {
  using t = tool();
  const forms: readonly (readonly [Buffer, string])[] = [
    [savedV2({ "quay.io/a/b:2": RUNNABLE }), "a-b-2.aci"],
    [gzipSync(savedV2({ "quay.io/a/b:gz": RUNNABLE })), "a-b-gz.aci"],
    [ociArchive({ "3": RUNNABLE }), "image-3.aci"],
    [ociArchive({ latest: RUNNABLE }, { refs: true }), "image-latest.aci"],
    [ociArchive({ "docker.io/library/n:4": RUNNABLE }), "library-n-4.aci"],
  ];
  for (const [bytes, name] of forms) {
    expect(t.convert(bytes, "-compression=none").stdout).toEndWith(`Generated ACI(s):\n${name}\n`);
    const entries = list(`${t.path}/${name}`);
    expect(readFileSync(`${t.path}/${name}`).toString("latin1", 257, 262)).toBe("ustar");
    expect(files(entries)).toContain("file=new\n");
    expect(files(entries).join()).not.toContain("gone");
    expect(manifestIn(entries).app.exec).toEqual([...CONFIG.Entrypoint, ...CONFIG.Cmd]);
  }
});

test("-image chooses one of several images", () => {
  using t = tool();
  const bytes = savedV1({
    one: { latest: image([file("f", "1")]), old: image([file("f", "0")]) },
    "two/x": { "7": image([file("f", "2")]) },
  });
  writeFileSync(`${t.path}/image.tar`, bytes);
  const several = t.run("image.tar");
  expect(several.stderr).toBe(
    "Error: conversion error: several images found, use option --image with one of:\n\nlibrary/one\ntwo/x\n",
  );
  expect(several.status).toBe(1);
  const content = (name: string) => files(list(`${t.path}/${name}`));
  t.convert(bytes, "-image", "one");
  expect(content("library-one-latest.aci")).toEqual(["f=1"]);
  t.convert(bytes, "--image=one:old");
  expect(content("library-one-old.aci")).toEqual(["f=0"]);
  t.convert(bytes, "-image=two/x");
  expect(content("two-x-7.aci")).toEqual(["f=2"]);
  expect(t.run("-image=one:none", "image.tar").stderr).toContain('tag "none" not found');
  expect(t.run("-image=none", "image.tar").stderr).toContain('app "library/none" not found');
});

describe("layers on layers", () => {
  const squashed = (...layers: readonly LayerItems[]): string[] => {
    using t = tool();
    t.convert(savedV1({ a: { b: image(...layers) } }));
    return files(list(`${t.path}/library-a-b.aci`));
  };

  test("an opaque directory hides what is below, not what is beside it", () => {
    expect(
      squashed(
        [dir("d"), file("d/a", "1"), file("d/b", "1"), file("e", "1")],
        [dir("d"), file("d/a", "2"), file("d/.wh..wh..opq", "")],
      ),
    ).toEqual(["d=", "d/a=2", "e=1"]);
  });

  test("a whiteout hides a directory with all that is in it, and not what its own layer has", () => {
    expect(
      squashed(
        [dir("d"), file("d/a", "1"), file("x", "1"), file(".wh.x", "")],
        [file(".wh.d", ""), dir("d"), file("d/n", "2")],
      ),
    ).toEqual(["d=", "d/n=2", "x=1"]);
  });

  test("a file takes the place of a directory, and a directory that of a link", () => {
    expect(
      squashed(
        [dir("d"), file("d/a", "1"), { name: "l", type: "symlink", link: "d" }],
        [file("d", "2"), file("l/x", "2")],
      ),
    ).toEqual(["d=2", "l=", "l/x=2"]);
  });

  test("hard links stay links, also when the first name is gone", () => {
    const link = (name: string, target: string): TarItem => ({ name, type: "link", link: target });
    expect(squashed([file("z", "1"), link("a", "z"), link("b", "a")])).toEqual([
      "a=1",
      "b=>rootfs/a",
      "z=>rootfs/a",
    ]);
    expect(squashed([file("a", "1"), link("b", "a"), link("c", "a")], [file(".wh.a", "")])).toEqual(
      ["b=1", "c=>rootfs/b"],
    );
    expect(squashed([file("a", "1")], [link("b", "a")])).toEqual(["a=1", "b=>rootfs/a"]);
  });

  test("what is no archive is an empty layer; gzip and zstd are read", () => {
    using t = tool();
    const bytes = tarBytes([file("f", "1")]);
    const { stderr } = t.convert(
      savedV1({
        a: {
          b: {
            config: {},
            layers: [Buffer.from("nothing"), Buffer.alloc(0), zstdCompressSync(bytes) as Buffer],
          },
        },
      }),
    );
    expect(
      stderr.match(/warning: layer [0-9a-f]{64} is no tar archive: taken as empty/g),
    ).toHaveLength(1);
    expect(files(list(`${t.path}/library-a-b.aci`))).toEqual(["f=1"]);
  });

  test("extended attributes and owners go along", () => {
    using t = tool();
    const item = { name: "f", content: "1", uid: 7, gid: 3_000_000, mode: 0o4711 };
    t.convert(
      savedV1({ a: { b: image([{ ...item, pax: { "SCHILY.xattr.user.k": "v" } }]) } }),
      "-compression=none",
    );
    const entry = list(`${t.path}/library-a-b.aci`).find(({ name }) => name === "rootfs/f");
    expect(entry).toMatchObject({ uid: 7, gid: 3_000_000, mode: 0o4711 });
    expect(entry?.pax["SCHILY.xattr.user.k"]).toBe("v");
  });
});

describe("hostile files", () => {
  const bad: readonly (readonly [string, LayerItems, string])[] = [
    ["a name that leaves", [file("../x", "1")], 'contains ".."'],
    [
      "a hard link that leaves",
      [{ name: "a", type: "link", link: "../../etc/passwd" }],
      'contains ".."',
    ],
    ["a hard link to nothing", [{ name: "a", type: "link", link: "b" }], "which is no file"],
    [
      "a hard link to a directory",
      [dir("d"), { name: "a", type: "link", link: "d" }],
      "which is no file",
    ],
    [
      "a /dev that is a link",
      [{ name: "dev", type: "symlink", link: "/" }],
      '"/dev" is not a directory',
    ],
    ["a whiteout of the parent", [dir("d"), file("d/.wh...", "")], "names no file"],
    ["a whiteout of nothing", [file(".wh.", "")], "names no file"],
    [
      "a size that is not there",
      [{ name: "f", content: "1", claimedSize: 1 << 30 }],
      "error reading layer",
    ],
    ["a wrong checksum", [{ name: "f", content: "1", badChecksum: true }], "error reading layer"],
  ];
  test.each(bad)("refuses %s", (_, layer, sentence) => {
    using t = tool();
    t.fails(savedV1({ a: { b: image([dir("e")], layer) } }), sentence);
    t.fails(savedV1({ a: { b: image([dir("e")], layer) } }), sentence, "-nosquash");
  });

  test("refuses what is not the image that its digests say", () => {
    using t = tool();
    const bytes = image([file("f", "1")]);
    const forge = (match: string) => (items: TarItem[]) =>
      items.map((item) =>
        Buffer.from(item.content ?? "")
          .toString("latin1")
          .includes(match)
          ? { ...item, content: Buffer.concat([Buffer.from(item.content ?? ""), Buffer.from(" ")]) }
          : item,
      );
    t.fails(ociArchive({ b: bytes }, { change: forge('"rootfs"') }), "has another digest");
    t.fails(ociArchive({ b: bytes }, { change: forge('"layers":[') }), "has another digest");
    t.fails(ociArchive({ b: bytes }, { change: forge("\x1f\x8b") }), "has another digest");
    const saved = savedV2({ "a:b": { layers: [[file("f", "CONTENT")]], config: {} } });
    const changed = saved.toString("latin1").replace("CONTENT", "content");
    t.fails(Buffer.from(changed, "latin1"), "has another digest");
  });

  test("refuses images whose layers lead in a circle or out of the file", () => {
    using t = tool();
    const id = "a".repeat(64);
    const chain = (parent: string): Buffer =>
      tarBytes([
        file("repositories", JSON.stringify({ a: { b: id } })),
        file(`${id}/json`, JSON.stringify({ id, parent })),
        file(`${id}/layer.tar`, ""),
      ]);
    t.fails(chain(id), `dependency loop detected at image "${id}"`);
    t.fails(chain("../../etc"), 'invalid layer ID "../../etc"');
    t.fails(chain("b".repeat(64)), `file "${"b".repeat(64)}/json" not found`);
    const table = (json: unknown) => tarBytes([file("repositories", JSON.stringify(json))]);
    t.fails(table({ "../x": { b: id } }), 'invalid image name "../x"');
    t.fails(table({ a: { "../x": id } }), 'the tag "../x"');
    t.fails(table({ a: { b: "../x" } }), 'invalid layer ID "../x"');
    const deep = Buffer.alloc(1_000_000, "[").toString();
    t.fails(tarBytes([file("repositories", deep)]), "error unmarshaling");
    t.fails(
      tarBytes([
        file("repositories", `{"a":{"b":${JSON.stringify(id)}}}`),
        file(`${id}/json`, deep),
      ]),
      "",
    );
    t.fails(table({}), "no images found");
    t.fails(tarBytes([]), "no images found");
    t.fails(Buffer.from("text"), "error reading the image's file");
  });

  test("an image without layers is none", () => {
    using t = tool();
    t.fails(
      savedV2({ "a:b": { layers: [], config: {} } }),
      "backend image had no useful layers: not creating ACI",
    );
  });

  test("an operating system's name cannot lead out of the directory", () => {
    using t = tool();
    const more = { os: "../../up", architecture: "/x" };
    t.convert(savedV1({ a: { b: { ...image([file("f", "1")]), more } } }), "-nosquash");
    expect(existsSync(`${t.path}/library-a-b-0.aci`)).toBe(true);
  });
});

const NET = "--net=none";
const OUTPUT = "1000\nseed\nnew\n/srv\nb=c\n";

async function fetchAll(rkt: Rkt, dir: string, stdout: string): Promise<string> {
  let key = "";
  for (const name of stdout
    .slice(stdout.indexOf("ACI(s):\n") + 8)
    .trim()
    .split("\n"))
    key = (
      await rkt.ok(["fetch", "--insecure-options=image", "--pull-policy=new", `${dir}/${name}`])
    ).trim();
  return key;
}

const FORMS: readonly (readonly [string, () => Buffer])[] = [
  ["docker save", () => savedV1({ busybox: { latest: RUNNABLE } })],
  ["docker save today", () => savedV2({ "busybox:latest": RUNNABLE })],
  ["an OCI layout", () => ociArchive({ latest: RUNNABLE })],
];
for (const [form, bytes] of FORMS) {
  for (const flags of [[], ["-compression=none"], ["-nosquash"]]) {
    testRun(`the image of ${form} runs, made with ${flags[0] ?? "no flag"}`, async () => {
      using t = tool();
      await using rkt = newRkt();
      const { stdout } = t.convert(bytes(), ...flags);
      const key = await fetchAll(rkt, t.path, stdout);
      const result = await rkt.run(["run", NET, "--insecure-options=image", key]);
      expect(result.stderr.replaceAll(/.*implicitly creating an "empty" volume.*\n/g, "")).toBe("");
      expect({ stdout: result.stdout, status: result.status }).toEqual({
        stdout: OUTPUT,
        status: 0,
      });
    });
  }
}

/** An OCI layout with the image, which skopeo reads. */
function layoutOf(path: string): string {
  writeLayout(path, "1", {
    config: CONFIG,
    layers: RUNNABLE.layers.map((files) => ({ files: files as LayerItems, compression: "gzip" })),
  });
  return `oci:${path}:1`;
}

describe("with real tools", () => {
  testRegistry("an image of a registry becomes an ACI", async () => {
    await using registry = await newRegistry();
    using t = tool();
    await registry.push(layoutOf(`${t.path}/layout`), "some/image:1");
    const { host } = registry;
    Object.assign(t.env, registry.env);
    const reference = `docker://${host}/some/image`;
    const tagged = t.run(`${reference}:1`);
    expect(tagged).toMatchObject({ status: 0 });
    expect(tagged.stderr).toMatch(/^(Downloading sha256:[0-9a-f]{11}\n){2}$/);
    expect(tagged.stdout).toEndWith("\nGenerated ACI(s):\nsome-image-1.aci\n");
    const entries = list(`${t.path}/some-image-1.aci`);
    expect(files(entries)).toContain("file=new\n");
    const manifest = manifestIn(entries);
    expect(manifest.name).toBe(`${host.replace(":", "-")}/some/image`);
    const annotations = Object.fromEntries(
      manifest.annotations.map((one: { name: string; value: string }) => [one.name, one.value]),
    );
    expect(annotations).toMatchObject({
      "appc.io/docker/originalname": `${host}/some/image:1`,
      "appc.io/docker/registryurl": host,
      "appc.io/docker/repository": "some/image",
    });
    const digest = annotations["appc.io/docker/manifesthash"];
    expect(t.run(`${reference}@${digest}`).stdout).toEndWith(
      "\nGenerated ACI(s):\nsome-image.aci\n",
    );
    const missing = t.run(`${reference}:2`);
    expect(missing.stderr).toStartWith("Error: conversion error: ");
    expect(missing.status).toBe(1);
    expect(t.run("docker://UPPER").stderr).toContain('invalid image name "UPPER"');
  });

  testRegistry(
    "credentials are those of Docker's configuration; certificates are checked",
    async () => {
      await using registry = await newRegistry({ auth: "htpasswd" });
      using t = tool();
      await registry.push(layoutOf(`${t.path}/layout`), "some/image:1");
      const reference = `docker://${registry.host}/some/image:1`;
      const unknown = t.run(reference);
      expect({ status: unknown.status, stdout: unknown.stdout }).toEqual({ status: 1, stdout: "" });
      Object.assign(t.env, registry.env);
      expect(t.run(reference).status).toBe(1);
      const auth = Buffer.from(`${USER}:${PASSWORD}`).toString("base64");
      mkdirSync(`${t.path}/.docker`);
      writeFileSync(
        `${t.path}/.docker/config.json`,
        JSON.stringify({ auths: { [registry.host]: { auth } } }),
      );
      const known = t.run("-debug", reference);
      expect(known).toMatchObject({ status: 0 });
      expect(known.stderr).not.toContain(PASSWORD);
      delete t.env["SSL_CERT_FILE"];
      expect(t.run("-insecure-skip-verify", reference)).toMatchObject({ status: 0 });
    },
  );

  test("a registry is asked without encryption only with -insecure-allow-http", async () => {
    using t = tool();
    const { manifest, blobs } = ociImage(image([file("f", "1")]));
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch({ url }) {
        const name = new URL(url).pathname.split("/").at(-1) ?? "";
        if (name === "1") {
          const type = "application/vnd.oci.image.manifest.v1+json";
          return new Response(manifest.bytes, { headers: { "Content-Type": type } });
        }
        const blob = blobs.find(({ digest }) => digest === name);
        return blob === undefined ? new Response("{}", { status: 404 }) : new Response(blob.bytes);
      },
    });
    const convert = async (...flags: readonly string[]) => {
      const reference = `docker://127.0.0.1:${server.port}/a/b:1`;
      const child = Bun.spawn([`${t.path}/docker2aci`, ...flags, reference], {
        cwd: t.path,
        env: t.env,
        stderr: "ignore",
      });
      return await child.exited;
    };
    expect(await convert()).toBe(1);
    expect(await convert("-insecure-skip-verify")).toBe(1);
    expect(existsSync(`${t.path}/a-b-1.aci`)).toBe(false);
    expect(await convert("-insecure-allow-http")).toBe(0);
    expect(files(list(`${t.path}/a-b-1.aci`))).toEqual(["f=1"]);
  });

  for (const form of ["docker-archive", "oci-archive"]) {
    testRegistry(`a file that skopeo wrote as ${form} becomes an ACI`, () => {
      using t = tool();
      const from = layoutOf(`${t.path}/layout`);
      const to = `${form}:${t.path}/image.tar:${form === "docker-archive" ? "a.example/b:c" : "c"}`;
      const skopeo = Bun.spawnSync(["skopeo", "--insecure-policy", "copy", "-q", from, to]);
      expect(skopeo.stderr.toString()).toBe("");
      const { stdout } = t.convert(readFileSync(`${t.path}/image.tar`));
      const name = form === "docker-archive" ? "b-c.aci" : "image-c.aci";
      expect(stdout).toEndWith(`\nGenerated ACI(s):\n${name}\n`);
      const entries = list(`${t.path}/${name}`);
      expect(files(entries)).toContain("file=new\n");
      expect(manifestIn(entries).app.exec).toEqual([...CONFIG.Entrypoint, ...CONFIG.Cmd]);
    });
  }
});
