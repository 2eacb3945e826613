// SPDX-License-Identifier: Apache-2.0
// Images from Debian's docker-registry, filled by skopeo, through a line that can be broken.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type FaultProxy, newFaultProxy } from "../support/fault-proxy.ts";
import { needs } from "../support/needs.ts";
import { type OciDescription, type OciFacts, writeLayout } from "../support/oci.ts";
import { newRegistry, PASSWORD, type Registry, USER } from "../support/registry.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

const run = needs("root", "overlay", "busybox", "registry");
const IMAGE = "--insecure-options=image";

const base: OciDescription["layers"][number] = {
  files: [
    { name: "bin", type: "dir" },
    ...(run === test
      ? [{ name: "bin/busybox", content: readFileSync("/bin/busybox"), mode: 0o755 }]
      : []),
    { name: "bin/sh", type: "symlink", link: "busybox" },
    { name: "noise", content: randomBytes(1_000_000) },
    { name: "gone", content: "of the lower layer" },
  ],
};

let dir: TempDir;
let registry: Registry;
let proxy: FaultProxy;
let facts: Readonly<Record<"1" | "2", OciFacts>>;

beforeAll(async () => {
  if (run !== test) return;
  dir = tempDir("rkt-docker");
  const image = (text: string): OciDescription => ({
    layers: [
      base,
      {
        files: [
          { name: ".wh.gone", content: "" },
          { name: "hello", content: `${text}\n` },
        ],
      },
    ],
    config: {
      Entrypoint: ["/bin/busybox", "sh", "-c"],
      Cmd: ["cat /hello; ls /gone; echo $WORD"],
      Env: ["PATH=/bin", "WORD=word"],
    },
  });
  facts = {
    "1": writeLayout(dir.join("one"), "1", image("one")),
    "2": writeLayout(dir.join("two"), "2", image("two")),
  };
  registry = await newRegistry({ auth: "htpasswd" });
  await registry.push(`oci:${dir.join("one")}:1`, "busybox:1");
  await registry.push(`oci:${dir.join("two")}:2`, "busybox:2");
  proxy = await newFaultProxy(registry.host);
});
afterAll(async () => {
  proxy?.[Symbol.dispose]();
  await registry?.[Symbol.asyncDispose]();
  dir?.[Symbol.dispose]();
});

/** Knows the certificate; with `login` the password too. */
function client(login = true): { rkt: Rkt; options: { env: Record<string, string> } } {
  const rkt = newRkt();
  mkdirSync(`${rkt.local}/auth.d`);
  if (login) {
    const credentials = { user: USER, password: PASSWORD };
    const kind = { rktKind: "dockerAuth", rktVersion: "v1" };
    writeFileSync(
      `${rkt.local}/auth.d/registry.json`,
      JSON.stringify({ ...kind, registries: [proxy.host], credentials }),
    );
  }
  proxy.fault = () => undefined;
  (proxy.seen as unknown[]).length = 0;
  return { rkt, options: { env: { ...registry.env, HOME: rkt.work } } };
}
const blobsAsked = (): readonly string[] =>
  proxy.seen
    .filter(({ headers }) => headers["authorization"] !== undefined)
    .flatMap(({ path }) => /\/blobs\/(.*)$/.exec(path)?.[1] ?? []);

describe("docker images", () => {
  run("fetch takes one from a registry, and run runs it", async () => {
    const { rkt, options } = client();
    await using _ = rkt;
    const name = `docker://${proxy.host}/busybox:1`;
    const id = (await rkt.ok(["fetch", IMAGE, name], options)).trim();
    expect(id).toMatch(/^sha512-[0-9a-f]{32,}$/);
    const result = await rkt.run([IMAGE, "run", "--net=none", name], options);
    expect(result.stdout).toBe("one\nword\n");
    expect(result.stderr).toContain("/gone");
    // What is in the store needs no registry.
    const again = await rkt.ok([IMAGE, "run", "--net=none", "--pull-policy=never", id], options);
    expect(again).toBe("one\nword\n");
  });

  run("fetch does not take again what another image brought", async () => {
    const { rkt, options } = client();
    await using _ = rkt;
    await rkt.ok(["fetch", IMAGE, `docker://${proxy.host}/busybox:1`], options);
    expect(blobsAsked()).toContain(facts["1"].layers[0]?.digest ?? "");
    (proxy.seen as unknown[]).length = 0;
    const two = (
      await rkt.ok(["fetch", IMAGE, `docker://${proxy.host}/busybox:2`], options)
    ).trim();
    expect(blobsAsked()).toContain(facts["2"].layers[1]?.digest ?? "");
    expect(blobsAsked()).not.toContain(facts["2"].layers[0]?.digest ?? "");
    expect(await rkt.ok([IMAGE, "run", "--net=none", two], options)).toBe("two\nword\n");
  });

  run("fetch by digest takes that image whatever the tag is, and no other", async () => {
    const { rkt, options } = client();
    await using _ = rkt;
    const two = facts["2"].digest;
    const id = await rkt.ok(["fetch", IMAGE, `docker://${proxy.host}/busybox:1@${two}`], options);
    expect(await rkt.ok([IMAGE, "run", "--net=none", id.trim()], options)).toBe("two\nword\n");
    const none = `sha256:${"0".repeat(64)}`;
    await rkt.fails(
      ["fetch", IMAGE, `docker://${proxy.host}/busybox@${none}`],
      "has no such image",
      options,
    );
  });

  run("fetch refuses one that nobody verified", async () => {
    const { rkt, options } = client();
    await using _ = rkt;
    await rkt.fails(["fetch", `docker://${proxy.host}/busybox:1`], /^fetch: /m, options);
    expect(blobsAsked()).toEqual([]);
  });

  run("fetch says that a login is wanted, and never what it is", async () => {
    const { rkt, options } = client(false);
    await using _ = rkt;
    const name = `docker://${proxy.host}/busybox:1`;
    const result = await rkt.fails(["fetch", IMAGE, name], "gives it to nobody", options);
    expect(result.stderr).toContain("try: check the image's name; give the registry's credentials");
    const { rkt: other, options: known } = client();
    await using __ = other;
    proxy.fault = ({ headers }) =>
      headers["authorization"] === undefined ? undefined : { status: 403 };
    const debug = await other.fails(
      ["--debug", "fetch", IMAGE, name],
      "does not let the user",
      known,
    );
    expect(debug.stderr + debug.stdout).not.toContain(PASSWORD);
    expect(debug.stderr).not.toContain(Buffer.from(`${USER}:${PASSWORD}`).toString("base64"));
  });

  run("fetch goes on where the line broke", async () => {
    const { rkt, options } = client();
    await using _ = rkt;
    let cuts = 0;
    proxy.fault = ({ path, headers }) =>
      path.endsWith(facts["1"].layers[0]?.digest ?? "") &&
      headers["authorization"] !== undefined &&
      cuts++ < 2
        ? { cutAfter: 300_000 }
        : undefined;
    const id = await rkt.ok(["fetch", IMAGE, `docker://${proxy.host}/busybox:1`], options);
    expect(cuts).toBeGreaterThan(2);
    expect(await rkt.ok([IMAGE, "run", "--net=none", id.trim()], options)).toBe("one\nword\n");
  });

  run("fetch refuses a layer or a config with another byte, and leaves nothing of it", async () => {
    const { rkt, options } = client();
    await using _ = rkt;
    for (const at of [0, 100]) {
      proxy.fault = ({ path }) => (path.includes("/blobs/") ? { corruptAt: at } : undefined);
      await rkt.fails(
        ["fetch", IMAGE, `docker://${proxy.host}/busybox:1`],
        /digest|sha256/,
        options,
      );
    }
    expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
    proxy.fault = () => undefined;
    await rkt.ok(["fetch", IMAGE, `docker://${proxy.host}/busybox:1`], options);
  });

  run("fetch refuses schema 1, and says what a registry says that has no more for us", async () => {
    const { rkt, options } = client();
    await using _ = rkt;
    const name = `docker://${proxy.host}/busybox:1`;
    const type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    const body = JSON.stringify({ schemaVersion: 1, name: "busybox", tag: "1", fsLayers: [] });
    proxy.fault = () => ({ status: 200, body, headers: { "content-type": type } });
    await rkt.fails(["fetch", IMAGE, name], /schema 1/, options);
    proxy.fault = () => ({ status: 429, headers: { "retry-after": "3600" } });
    await rkt.fails(
      ["fetch", IMAGE, name],
      "too many requests, and wants us back in 3600 s",
      options,
    );
    proxy.fault = () => ({ status: 404 });
    await rkt.fails(["fetch", IMAGE, name], "has no such image", options);
  });

  run("fetch does as registries.conf says", async () => {
    const { rkt, options } = client();
    await using _ = rkt;
    const conf = `${rkt.work}/registries.conf`;
    const env = { ...options.env, CONTAINERS_REGISTRIES_CONF: conf };
    writeFileSync(conf, `[[registry]]\nprefix="blocked.test"\nblocked=true\n`);
    await rkt.fails(
      ["fetch", IMAGE, "docker://blocked.test/busybox:1"],
      'registries.conf blocks "blocked.test"',
      { env },
    );
    writeFileSync(conf, `[[registry]]\nprefix="else.test"\nlocation="${proxy.host}"\n`);
    const id = await rkt.ok(["fetch", IMAGE, "docker://else.test/busybox:1"], { env });
    expect(await rkt.ok(["image", "list", "--no-legend", "--fields=name"])).toContain("else.test");
    expect(await rkt.ok([IMAGE, "run", "--net=none", id.trim()])).toBe("one\nword\n");
    writeFileSync(conf, "[[registry");
    await rkt.fails(["fetch", IMAGE, "docker://else.test/busybox:2"], "it is not valid TOML", {
      env,
    });
  });
});
