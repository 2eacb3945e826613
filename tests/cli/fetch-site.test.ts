// SPDX-License-Identifier: Apache-2.0
// Images by name and URL: discovery, the order of checks, caches, resuming, servers that lie (rkt-cli §2).
import { expect } from "bun:test";
import { lstatSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { buildAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt, type RunOptions, runMeasured } from "../support/rkt.ts";
import { newKey, type SigningKey } from "../support/signing.ts";
import { newSite, type Page, type Site } from "../support/site.ts";
import { exists } from "../support/temp.ts";

const test = needs("root", "sandbox");
const INSECURE = "--insecure-options=image";
const HOST = "https://example.com";
const TEMPLATE = `${HOST}/files/{name}-{version}-{os}-{arch}.{ext}`;
const ARCH = process.arch === "arm64" ? "aarch64" : "amd64";

interface World {
  readonly rkt: Rkt;
  readonly site: Site;
  readonly key: SigningKey;
  readonly env: RunOptions;
}

/** A site with example.com/app in version 1.0.0, signed; its key is not trusted yet. */
async function world(rkt: Rkt, site: Site): Promise<World> {
  const key = await newKey();
  site.discovery("example.com/app", TEMPLATE);
  const result = { rkt, site, key, env: { env: site.env } };
  await publish(result, "example.com/app", "1.0.0");
  return result;
}

function url(name: string, version: string): string {
  return `${HOST}/files/${name}-${version}-linux-${ARCH}.aci`;
}

async function publish(
  { site, key }: World,
  name: string,
  version: string,
  image: Parameters<typeof buildAci>[0] = {},
): Promise<Buffer> {
  const aci = buildAci({ name, labels: { version }, ...image });
  site.serve(url(name, version), { body: aci });
  site.serve(`${url(name, version)}.asc`, { body: await key.sign(aci) });
  return aci;
}

async function trust({ rkt, key }: World, prefix = "example.com"): Promise<void> {
  const path = `${rkt.work}/key`;
  writeFileSync(path, key.publicKey);
  await rkt.ok(["trust", `--prefix=${prefix}`, "--skip-fingerprint-review", path]);
}

test("fetch by name refuses an unknown signer before it downloads the image", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const { env } = await world(rkt, site);
  const { stderr } = await rkt.fails(["fetch", "example.com/app:1.0.0"], "fetch: ", env);
  expect(stderr).toContain("if you expected the signing key to change, try running:");
  expect(stderr).toContain('rkt trust --prefix "example.com/app"');
  expect(site.urls()).toContain(`GET ${url("example.com/app", "1.0.0")}.asc`);
  expect(site.urls()).not.toContain(`GET ${url("example.com/app", "1.0.0")}`);
  expect(rkt.leftovers()).toEqual([]);
});

test("fetch by name discovers, verifies, stores", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  await trust(w);
  site.forget();
  const result = await rkt.run(["fetch", "--full", "example.com/app:1.0.0"], w.env);
  expect(result.stderr).toContain("image: signature verified:");
  expect(result.stdout).toMatch(/^sha512-[0-9a-f]{64}\n$/);
  expect(result.status).toBe(0);
  expect(site.urls()[0]).toBe(`GET ${HOST}/app?ac-discovery=1`);
  expect(site.urls().slice(-2)).toEqual([
    `GET ${url("example.com/app", "1.0.0")}.asc`,
    `GET ${url("example.com/app", "1.0.0")}`,
  ]);
  expect(site.seen.every((each) => /^rkt\/\d/.test(each.headers["user-agent"] ?? ""))).toBe(true);
  const list = await rkt.ok(["image", "list", "--fields=name", "--no-legend"]);
  expect(list.trim()).toBe("example.com/app:1.0.0");
});

test("fetch --pull-policy=new and never use the store, update asks again", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  const name = "example.com/app:1.0.0";
  await rkt.fails(
    [INSECURE, "fetch", "--pull-policy=never", name],
    'unable to fetch image from image name "',
    w.env,
  );
  expect(site.urls()).toEqual([]);
  const first = await rkt.ok([INSECURE, "fetch", name], w.env);
  site.forget();
  for (const policy of ["new", "never"]) {
    expect(await rkt.ok([INSECURE, "fetch", `--pull-policy=${policy}`, name], w.env)).toBe(first);
  }
  expect(site.urls()).toEqual([]);
  await rkt.ok([INSECURE, "fetch", name], w.env);
  expect(site.urls()).not.toEqual([]);
});

test("discovery goes up from the name to the host", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  await publish(w, "example.com/deep/er/app", "1.0.0");
  site.discovery("example.com", TEMPLATE);
  site.serve(`${HOST}/deep`, { status: 500 });
  await rkt.ok([INSECURE, "fetch", "example.com/deep/er/app:1.0.0"], w.env);
  expect(site.urls().slice(0, 4)).toEqual([
    `GET ${HOST}/deep/er/app?ac-discovery=1`,
    `GET ${HOST}/deep/er?ac-discovery=1`,
    `GET ${HOST}/deep?ac-discovery=1`,
    `GET ${HOST}/?ac-discovery=1`,
  ]);
  await rkt.fails([INSECURE, "fetch", "example.com/app/nothing:9"], "fetch: ", w.env);
});

test("plain http is used only with --insecure-options=http", async () => {
  await using rkt = newRkt();
  await using site = await newSite({ http: true });
  site.serve("http://example.com/app", {
    body: '<meta name="ac-discovery" content="example.com/app http://example.com/{name}.{ext}">',
  });
  site.serve("http://example.com/example.com/app.aci", {
    body: buildAci({ name: "example.com/app" }),
  });
  await rkt.fails([INSECURE, "fetch", "example.com/app"], "fetch: ");
  expect(site.urls()).toEqual([]);
  await rkt.ok(["--insecure-options=image,http", "fetch", "example.com/app"]);
});

test("a certificate that nobody vouches for is refused, but for --insecure-options=tls", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  await world(rkt, site);
  await rkt.fails([INSECURE, "fetch", url("example.com/app", "1.0.0")], /certificate/i);
  const { stderr, status } = await rkt.run([
    "--insecure-options=image,tls",
    "fetch",
    url("example.com/app", "1.0.0"),
  ]);
  expect(stderr).toContain("warning: TLS verification has been disabled");
  expect(status).toBe(0);
});

test("the image must be the one that was asked for", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  site.serve(url("example.com/app", "2.0.0"), { body: buildAci({ name: "example.com/other" }) });
  await rkt.fails(
    [INSECURE, "fetch", "example.com/app:2.0.0"],
    'error when reading the app name: "example.com/app" expected but "example.com/other" found',
    w.env,
  );
  site.serve(url("example.com/app", "2.0.0"), {
    body: buildAci({ name: "example.com/app", labels: { version: "1.9.9" } }),
  });
  await rkt.fails([INSECURE, "fetch", "example.com/app:2.0.0"], "requested value for label", w.env);
  expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
  expect(rkt.leftovers()).toEqual([]);
});

test("an image that was signed, then changed, is refused", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  await trust(w);
  const aci = await publish(w, "example.com/app", "1.0.0");
  const changed = Buffer.from(aci);
  changed[changed.length - 1] = 1;
  site.serve(url("example.com/app", "1.0.0"), { body: changed });
  await rkt.fails(["fetch", "example.com/app:1.0.0"], "fetch: ", w.env);
  expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
});

test("an ETag saves a download, max-age saves the request", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  const target = `${HOST}/files/etag.aci`;
  site.serve(target, { body: buildAci(), headers: { ETag: '"one"' } });
  const first = await rkt.ok([INSECURE, "fetch", target], w.env);
  site.forget();
  expect(await rkt.ok([INSECURE, "fetch", target], w.env)).toBe(first);
  expect(site.seen.map((each) => each.headers["if-none-match"])).toEqual(['"one"']);

  site.serve(target, {
    body: buildAci(),
    headers: { ETag: '"two"', "Cache-Control": "max-age=3600" },
  });
  await rkt.ok([INSECURE, "fetch", target], w.env);
  site.forget();
  expect(await rkt.ok([INSECURE, "fetch", target], w.env)).toBe(first);
  expect(site.urls()).toEqual([]);
});

/** Begins a download that never ends, and kills it when something of it is on the disk. */
async function breakDownload({ rkt, site, env }: World, target: string, page: Page): Promise<void> {
  site.serve(target, { ...page, stallAfter: 200_000 });
  await using download = rkt.spawn([INSECURE, "fetch", target], env);
  const directory = `${rkt.data}/cas/tmp`;
  const arrived = (): boolean =>
    exists(directory) &&
    readdirSync(directory).some(
      (name) => (lstatSync(`${directory}/${name}`, { throwIfNoEntry: false })?.size ?? 0) > 1000,
    );
  while (!arrived()) await Bun.sleep(20);
  download.kill("SIGKILL");
  await download.finished;
}

test("a broken download is resumed where it stopped", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  const target = `${HOST}/files/large.aci`;
  const body = buildAci({ files: [{ name: "a", content: Buffer.alloc(300_000, "x") }] });
  const page = { body, headers: { "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT" } };
  await breakDownload(w, target, page);
  site.serve(target, page);
  site.forget();
  await rkt.ok([INSECURE, "fetch", target], w.env);
  const get = site.seen.find((each) => each.method === "GET");
  expect(Number(/^bytes=(\d+)-$/.exec(get?.headers["range"] ?? "")?.[1])).toBeGreaterThan(0);
  expect(rkt.leftovers()).toEqual([]);
});

test("a partial download is not continued when the server has something newer", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  const target = `${HOST}/files/large.aci`;
  const body = buildAci({ files: [{ name: "a", content: Buffer.alloc(300_000, "x") }] });
  await breakDownload(w, target, {
    body,
    headers: { "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT" },
  });
  const newer = new Date(Date.now() + 86_400_000).toUTCString();
  site.serve(target, { body, headers: { "Last-Modified": newer } });
  const { stderr, status } = await rkt.run([INSECURE, "fetch", target], w.env);
  expect(stderr).toContain("cannot use cached partial download, resource updated.");
  expect(status).toBe(0);
});

test("a signature may be deferred once, not twice", async () => {
  await using rkt = newRkt({ keepsPartial: true });
  await using site = await newSite();
  const w = await world(rkt, site);
  await trust(w);
  const aci = await publish(w, "example.com/app", "1.0.0");
  const signature = await w.key.sign(aci);
  let asked = 0;
  site.serve(`${url("example.com/app", "1.0.0")}.asc`, () => {
    asked += 1;
    return asked === 1 ? { status: 202 } : { body: signature };
  });
  await rkt.ok(["fetch", "example.com/app:1.0.0"], w.env);
  await rkt.ok(["image", "rm", "example.com/app:1.0.0"]);
  site.serve(`${url("example.com/app", "1.0.0")}.asc`, { status: 202 });
  await rkt.fails(
    ["fetch", "example.com/app:1.0.0"],
    "error downloading the signature file: server asked to defer the download again",
    w.env,
  );
  expect(rkt.leftovers()).toEqual([]);
});

test("redirects are followed, ten of them", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  site.serve(`${HOST}/files/moved.aci`, {
    status: 302,
    headers: { Location: "https://other.example/there.aci" },
  });
  site.serve("https://other.example/there.aci", { body: buildAci() });
  await rkt.ok([INSECURE, "fetch", `${HOST}/files/moved.aci`], w.env);
  site.serve(`${HOST}/files/loop.aci`, {
    status: 302,
    headers: { Location: `${HOST}/files/loop.aci` },
  });
  site.forget();
  await rkt.fails([INSECURE, "fetch", `${HOST}/files/loop.aci`], "too many redirects", w.env);
  expect(site.seen.length).toBeLessThanOrEqual(11);
});

test("credentials go to their own host only, over https only", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  mkdirSync(`${rkt.local}/auth.d`, { recursive: true });
  writeFileSync(
    `${rkt.local}/auth.d/a.json`,
    JSON.stringify({
      rktKind: "auth",
      rktVersion: "v1",
      domains: ["example.com"],
      type: "basic",
      credentials: { user: "ann", password: "secret" },
    }),
  );
  site.serve(`${HOST}/files/moved.aci`, {
    status: 302,
    headers: { Location: "https://other.example/there.aci" },
  });
  site.serve("https://other.example/there.aci", { body: buildAci() });
  await rkt.ok([INSECURE, "fetch", `${HOST}/files/moved.aci`], w.env);
  const header = (host: string): string | undefined =>
    site.seen.find((each) => each.url.startsWith(`https://${host}/`))?.headers["authorization"];
  expect(header("example.com")).toBe(`Basic ${btoa("ann:secret")}`);
  expect(header("other.example")).toBeUndefined();
  const { stderr } = await rkt.run(
    [INSECURE, "fetch", "https://ann:secret@example.com/none.aci"],
    w.env,
  );
  expect(stderr).not.toContain("secret");
});

const LIES: readonly [string, Parameters<Site["serve"]>[1]][] = [
  ["that ends before its length", { body: buildAci(), cutAfter: 1000 }],
  ["that claims more than it sends", { body: buildAci(), claimLength: 100_000, cutAfter: 4096 }],
  ["that answers 404", { status: 404 }],
  ["that answers 500 with a body", { status: 500, body: buildAci() }],
  ["that answers 416 to everything", { status: 416 }],
  ["that answers 206 to a whole request, and with nothing", { status: 206, body: "" }],
  ["that answers 304 to a first request", { status: 304 }],
  ["that answers an HTML page", { body: "<html>log in first</html>" }],
  [
    "that redirects to a file of this machine",
    { status: 302, headers: { Location: "file:///etc/passwd" } },
  ],
  ["that redirects to nowhere", { status: 302 }],
  ["that answers nothing", { cutAfter: 0, claimLength: 10 }],
];

for (const [what, page] of LIES) {
  test(`a server ${what} is one sentence and nothing is stored`, async () => {
    await using rkt = newRkt({ keepsPartial: what.includes("than") || what.includes("before") });
    await using site = await newSite();
    const w = await world(rkt, site);
    const target = `${HOST}/files/lie.aci`;
    site.serve(target, page);
    const { stdout } = await rkt.fails([INSECURE, "fetch", target], "fetch: ", w.env);
    expect(stdout).toBe("");
    expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
  });
}

test("a discovery page, a signature and a key are read only up to a bound", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  await trust(w);
  site.serve(`${HOST}/endless`, { endless: true });
  const discovery = await runMeasured(rkt, [INSECURE, "fetch", "example.com/endless:1"], {
    ...w.env,
    timeout: 50_000,
  });
  expect(discovery.status).toBe(254);
  expect(discovery.peakBytes).toBeLessThan(150e6);
  site.serve(`${url("example.com/app", "1.0.0")}.asc`, { endless: true });
  const signature = await runMeasured(rkt, ["fetch", "example.com/app:1.0.0"], {
    ...w.env,
    timeout: 50_000,
  });
  expect(signature.status).toBe(254);
  expect(signature.peakBytes).toBeLessThan(150e6);
});

test("dependencies are fetched by name, each verified", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  site.discovery("example.com", TEMPLATE);
  await trust(w);
  const label = [{ name: "version", value: "1.0.0" }];
  await publish(w, "example.com/top", "1.0.0", {
    manifest: { dependencies: [{ imageName: "example.com/middle", labels: label }] },
  });
  await publish(w, "example.com/middle", "1.0.0", {
    manifest: { dependencies: [{ imageName: "example.com/base", labels: label }] },
  });
  await publish(w, "example.com/base", "1.0.0");
  const output = await rkt.ok(["fetch", "example.com/top:1.0.0"], w.env);
  expect(output.trim().split("\n")).toHaveLength(1);
  const names = await rkt.ok(["image", "list", "--no-legend", "--fields=name", "--sort=name"]);
  expect(
    names
      .trim()
      .split("\n")
      .map((line) => line.trim()),
  ).toEqual(["example.com/base:1.0.0", "example.com/middle:1.0.0", "example.com/top:1.0.0"]);
});

test("an unsigned dependency spoils the image", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  site.discovery("example.com", TEMPLATE);
  await trust(w);
  await publish(w, "example.com/top", "1.0.0", {
    manifest: {
      dependencies: [
        { imageName: "example.com/base", labels: [{ name: "version", value: "1.0.0" }] },
      ],
    },
  });
  await publish(w, "example.com/base", "1.0.0");
  site.remove(`${url("example.com/base", "1.0.0")}.asc`);
  await rkt.fails(["fetch", "example.com/top:1.0.0"], "fetch: ", w.env);
});

test("dependencies in a circle end with an error", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  site.discovery("example.com", TEMPLATE);
  for (const [name, other] of [
    ["a", "b"],
    ["b", "a"],
  ]) {
    await publish(w, `example.com/${name}`, "1.0.0", {
      manifest: {
        dependencies: [
          { imageName: `example.com/${other}`, labels: [{ name: "version", value: "1.0.0" }] },
        ],
      },
    });
  }
  const result = await rkt.run([INSECURE, "fetch", "example.com/a:1.0.0"], w.env);
  expect(result.stderr).not.toContain("this is a bug");
  expect(site.seen.length).toBeLessThan(30);
});

test("two processes that fetch the same image download it once", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  const target = `${HOST}/files/slow.aci`;
  const aci = buildAci({ files: [{ name: "a", content: Buffer.alloc(8 << 20, "x") }] });
  site.serve(target, { body: aci, headers: { ETag: '"1"' } });
  const results = await Promise.all([1, 2].map(() => rkt.run([INSECURE, "fetch", target], w.env)));
  expect(results.map((each) => each.status)).toEqual([0, 0]);
  expect(results[0]?.stdout).toBe(results[1]?.stdout ?? "");
  const whole = site.seen.filter(
    (each) => each.method === "GET" && each.headers["if-none-match"] === undefined,
  );
  expect(whole).toHaveLength(1);
  expect(rkt.leftovers()).toEqual([]);
});

test("no progress bar where stderr is no terminal", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  const { stderr } = await rkt.run([INSECURE, "fetch", url("example.com/app", "1.0.0")], w.env);
  expect(stderr).not.toContain("\r");
  expect(stderr).not.toContain("[=");
});

test("a proxy from the environment is used, and its password is not shown", async () => {
  await using rkt = newRkt();
  await using proxy = await newSite({ port: 8080, http: true });
  const result = await rkt.run([INSECURE, "fetch", "http://images.example.com/a.aci"], {
    env: {
      http_proxy: "http://ann:secret@127.0.0.1:8080",
      HTTP_PROXY: "http://ann:secret@127.0.0.1:8080",
    },
  });
  expect(proxy.seen.length).toBeGreaterThan(0);
  expect(result.stderr).not.toContain("secret");
  expect(result.status).toBe(254);
});

test("keys that a site offers are not taken without a review", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const w = await world(rkt, site);
  site.discovery("example.com/app", TEMPLATE, `${HOST}/key.asc`);
  site.serve(`${HOST}/key.asc`, { body: w.key.publicKey });
  await rkt.fails(["fetch", "example.com/app:1.0.0"], "fetch: ", w.env);
  await rkt.ok(["--trust-keys-from-https", "fetch", "example.com/app:1.0.0"], w.env);
  expect(readdirSync(`${rkt.local}/trustedkeys/prefix.d/example.com/app`)).toEqual([
    w.key.fingerprint,
  ]);
});
