// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { chmodSync } from "node:fs";
import { SECURE } from "../../lib/insecure-options.ts";
import { type Descriptor, MEDIA_TYPES, type OciSource, parseDigest } from "../../oci/index.ts";
import { failure } from "../../store/test-images.ts";
import type { FetchContext } from "../context.ts";
import { type DockerReference, parseDockerReference } from "../docker-reference.ts";
import {
  type Handler,
  openWorld,
  type Reply,
  type Request,
  testCertificates,
  type World,
} from "../fixture.ts";
import { registrySource } from "./source.ts";

const sha256 = (bytes: Uint8Array | string): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

const LAYER = Buffer.alloc(100_000, "layer ");
const layer: Descriptor = {
  mediaType: "application/vnd.oci.image.layer.v1.tar",
  digest: parseDigest(sha256(LAYER)),
  size: LAYER.length,
};
const MANIFEST = JSON.stringify({
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.manifest,
  config: { mediaType: MEDIA_TYPES.config, digest: sha256("{}"), size: 2 },
  layers: [layer],
});
const BASE = "https://example.com/v2/a/b";
const SECRET = "hunter2-never-shown";

describe("a registry", () => {
  let world: World;
  let pauses: number[];
  beforeEach(async () => {
    world = await openWorld();
    pauses = [];
  });
  afterEach(() => world[Symbol.dispose]());

  function source(text = "example.com/a/b:1", changes: Partial<FetchContext> = {}): OciSource {
    const context = world.context({
      env: { ...world.web.env, HOME: world.dir, PATH: `${world.dir}:/usr/bin:/bin` },
      timeouts: { answer: 5000, stall: 300 },
      pause: async (milliseconds) => pauses.push(milliseconds),
      ...changes,
    });
    return registrySource(parseDockerReference(text) as DockerReference, {
      ...context,
      report: { ...context.report, debug: (_, line) => world.report.lines.push(`debug: ${line}`) },
    });
  }
  const blobUrl = `${BASE}/blobs/${layer.digest}`;
  const serveManifest = (url = `${BASE}/manifests/1`, headers = {}): void =>
    world.web.serve(url, (_, reply) =>
      reply.send(200, { "Content-Type": MEDIA_TYPES.manifest, ...headers }, MANIFEST),
    );
  async function read(from: OciSource, descriptor = layer): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of from.blob(descriptor)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }
  /** Answers one after the other; the last stays. */
  const inTurn =
    (...handlers: readonly Handler[]): Handler =>
    (request, reply) =>
      handlers[Math.min(turn++, handlers.length - 1)]?.(request, reply);
  let turn = 0;
  beforeEach(() => {
    turn = 0;
  });
  const status =
    (code: number, headers = {}, body = ""): Handler =>
    (_, reply) =>
      reply.send(code, headers, body);
  const whole: Handler = (_, reply) => reply.send(200, { ETag: '"e"' }, LAYER);
  const ranged: Handler = (request, reply) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
    if (from === 0) return whole(request, reply);
    reply.send(
      206,
      { ETag: '"e"', "Content-Range": `bytes ${from}-${LAYER.length - 1}/${LAYER.length}` },
      LAYER.subarray(from),
    );
  };
  const cutAt =
    (bytes: number, after: (reply: Reply) => void = (reply) => reply.end()): Handler =>
    (_, reply) => {
      reply.write(`HTTP/1.1 200 X\r\nETag: "e"\r\nContent-Length: ${LAYER.length}\r\n\r\n`);
      reply.write(LAYER.subarray(0, bytes));
      setTimeout(() => after(reply), 50);
    };

  test("gives the manifest of a tag with its digest, and is asked for no schema 1", async () => {
    serveManifest(undefined, { "Docker-Content-Digest": sha256(MANIFEST) });
    const from = source();
    expect(from).toMatchObject({
      reference: "docker://example.com/a/b:1",
      repository: "example.com/a/b",
      tag: "1",
    });
    const { bytes, mediaType, digest } = await from.resolve();
    expect(Buffer.from(bytes).toString()).toBe(MANIFEST);
    expect(mediaType).toBe(MEDIA_TYPES.manifest);
    expect<string>(digest).toBe(sha256(MANIFEST));
    const [request] = world.web.requests;
    expect(request?.headers.get("accept")).toContain(MEDIA_TYPES.index);
    expect(request?.headers.get("accept")).not.toContain("v1+prettyjws");
    expect(world.web.log).toHaveLength(1);
  });

  test("is asked by the digest where the reference has one, and must answer with those bytes", async () => {
    const digest = sha256(MANIFEST);
    serveManifest(`${BASE}/manifests/${digest}`);
    const found = await source(`example.com/a/b:1@${digest}`).resolve();
    expect<string>(found.digest).toBe(digest);
    const other = sha256("another");
    serveManifest(`${BASE}/manifests/${other}`);
    const error = await failure(() => source(`example.com/a/b@${other}`).resolve());
    expect(error.message).toContain("the registry sent a manifest with another digest");
  });

  test("that lies about a manifest's digest is not believed", async () => {
    serveManifest(undefined, { "Docker-Content-Digest": sha256("another") });
    const error = await failure(() => source().resolve());
    expect(error).toMatchObject({ code: "REGISTRY_INVALID" });
    expect(error.message).toContain("does not have the digest that the registry says it has");
  });

  test("that names no media type leaves it to the document", async () => {
    serveManifest(undefined, { "Content-Type": "application/json; charset=utf-8" });
    expect((await source().resolve()).mediaType).toBe(MEDIA_TYPES.manifest);
  });

  test("has no manifest by that digest or tag, which is an answer", async () => {
    const from = source();
    expect(await from.manifest(layer.digest)).toBeUndefined();
    expect(await from.tagged("sha256-0.sig")).toBeUndefined();
    expect(await from.tagged("../../x")).toBeUndefined();
    expect(await from.referrers(layer.digest)).toEqual([]);
  });

  test("says what refers to a manifest, page by page", async () => {
    const page = (size: number) =>
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.index,
        manifests: [{ mediaType: MEDIA_TYPES.manifest, digest: sha256(`${size}`), size }],
      });
    const url = `${BASE}/referrers/${layer.digest}`;
    const headers = { "Content-Type": MEDIA_TYPES.index };
    const link = { Link: '<https://elsewhere.test/x?n=2>; rel="next"' };
    world.web.serve(url, status(200, { ...headers, ...link }, page(1)));
    world.web.serve(`${url}?n=2`, status(200, headers, page(2)));
    const found = await source().referrers(layer.digest);
    expect(found.map(({ size }) => size)).toEqual([1, 2]);
  });

  test("without referrers is asked for the fallback tag", async () => {
    const index = JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.index,
      manifests: [{ mediaType: MEDIA_TYPES.manifest, digest: sha256("s"), size: 7 }],
    });
    const tag = layer.digest.replace(":", "-");
    world.web.serve(
      `${BASE}/manifests/${tag}`,
      status(200, { "Content-Type": MEDIA_TYPES.index }, index),
    );
    expect((await source().referrers(layer.digest)).map(({ size }) => size)).toEqual([7]);
  });

  describe("gives a blob", () => {
    test("and continues where the connection broke", async () => {
      world.web.serve(blobUrl, inTurn(cutAt(30_000), ranged));
      expect(await read(source())).toEqual(LAYER);
      expect(world.web.requests.map(({ headers }) => headers.get("range"))).toEqual([
        undefined,
        "bytes=30000-",
      ]);
      expect(world.web.requests[1]?.headers.get("if-range")).toBe('"e"');
      expect(pauses).toHaveLength(1);
    });

    test("and continues after it went silent", async () => {
      world.web.serve(
        blobUrl,
        inTurn(
          cutAt(10_000, () => undefined),
          ranged,
        ),
      );
      expect(await read(source())).toEqual(LAYER);
    });

    test("and sends all of it again where it knows no ranges", async () => {
      world.web.serve(blobUrl, inTurn(cutAt(30_000), cutAt(60_000), whole));
      expect(await read(source())).toEqual(LAYER);
    });

    test("after a while, when it says to come back", async () => {
      world.web.serve(blobUrl, inTurn(status(429, { "Retry-After": "3" }), status(503), ranged));
      expect(await read(source())).toEqual(LAYER);
      expect(pauses[0]).toBe(3000);
      expect(world.report.lines[0]).toBe(
        'image: cannot fetch "docker://example.com/a/b:1": the registry "example.com" says that there are too many requests, and wants us back in 3 s: trying again in 3.0 s',
      );
      expect(pauses).toHaveLength(2);
    });

    test("never, when it breaks without progress", async () => {
      world.web.serve(blobUrl, cutAt(0));
      const error = await failure(() => read(source()));
      expect(error).toMatchObject({ code: "BODY_SHORT" });
      expect(pauses).toHaveLength(4);
    });

    test("of the length in the manifest only", async () => {
      world.web.serve(blobUrl, status(200, {}, "short"));
      expect((await failure(() => read(source()))).message).toContain(
        `the registry has 5 bytes for ${layer.digest}, which is 100000 long by the manifest`,
      );
      const endless: Handler = (_, reply) => {
        reply.write("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n");
        const chunk = `${LAYER.length.toString(16)}\r\n${LAYER.toString()}\r\n`;
        reply.write(chunk + chunk);
      };
      world.web.serve(blobUrl, endless);
      expect(await failure(() => read(source()))).toMatchObject({ code: "TOO_LARGE" });
    });

    test("and not another part than was asked for", async () => {
      const wrong = status(206, { "Content-Range": "bytes 5-9/100000" }, "wrong");
      world.web.serve(blobUrl, inTurn(cutAt(30_000), wrong));
      expect(await failure(() => read(source()))).toMatchObject({ code: "HTTP_INVALID" });
    });
  });

  describe("that wants a login", () => {
    const REALM = "https://other.test/token";
    const tokenUrl = `${REALM}?scope=repository%3Aa%2Fb%3Apull&service=example`;
    const challenge = { "WWW-Authenticate": `Bearer realm="${REALM}",service="example",scope="x"` };
    let token: string;
    const authorizations = (host: string): readonly (string | undefined)[] =>
      world.web.requests
        .filter((request) => new URL(request.url).host === host)
        .map(({ headers }) => headers.get("authorization"));
    const guarded =
      (then: Handler): Handler =>
      (request, reply) =>
        request.headers.get("authorization") === `Bearer ${token}`
          ? then(request, reply)
          : reply.send(401, challenge);
    const manifest: Handler = status(200, { "Content-Type": MEDIA_TYPES.manifest }, MANIFEST);
    const dockerAuth = { user: "ann", password: SECRET };
    const withLogin = (): Partial<FetchContext> => ({
      config: {
        auth: new Map(),
        dockerAuth: new Map([["example.com", dockerAuth]]),
        paths: {},
        stage1: {},
        trustPolicies: new Map(),
      },
    });
    const basic = `Basic ${Buffer.from(`ann:${SECRET}`).toString("base64")}`;

    beforeEach(() => {
      token = "token-1";
      world.web.serve(`${BASE}/manifests/1`, guarded(manifest));
      world.web.serve(blobUrl, guarded(ranged));
      world.web.serve(tokenUrl, (_, reply) =>
        reply.send(200, {}, JSON.stringify({ token, expires_in: 300 })),
      );
    });
    afterEach(() => {
      expect(world.report.lines.join("\n")).not.toContain(SECRET);
    });

    test("gives a token to anybody, which is used again", async () => {
      const from = source();
      await from.resolve();
      expect(await read(from)).toEqual(LAYER);
      expect(world.web.log).toEqual([
        `GET ${BASE}/manifests/1`,
        `GET ${tokenUrl}`,
        `GET ${BASE}/manifests/1`,
        `GET ${blobUrl}`,
      ]);
      expect(authorizations("other.test")).toEqual([undefined]);
    });

    test("gives a new token when the old one is no longer taken, and one to many at once", async () => {
      const from = source();
      await from.resolve();
      token = "token-2";
      await Promise.all([read(from), read(from), read(from)]);
      expect(authorizations("other.test")).toHaveLength(2);
    });

    test("gives a new token before the old one ends", async () => {
      world.web.serve(tokenUrl, (_, reply) =>
        reply.send(200, {}, JSON.stringify({ access_token: token, expires_in: 0.001 })),
      );
      const from = source();
      await from.resolve();
      await Bun.sleep(5);
      await from.resolve();
      expect(authorizations("example.com")).toEqual([
        undefined,
        "Bearer token-1",
        "Bearer token-1",
      ]);
      expect(authorizations("other.test")).toHaveLength(2);
    });

    test("sees the credentials of dockerAuth only at its token server", async () => {
      await source(undefined, withLogin()).resolve();
      expect(authorizations("other.test")).toEqual([basic]);
      expect(authorizations("example.com")).toEqual([undefined, "Bearer token-1"]);
    });

    test("takes an identity token from Docker's config.json, which is sent in a body", async () => {
      world.file(
        ".docker/config.json",
        JSON.stringify({ auths: { "https://example.com": { identitytoken: SECRET } } }),
      );
      world.web.serve(REALM, (_, reply) => reply.send(200, {}, JSON.stringify({ token })));
      await source().resolve();
      expect(world.web.log).toContain(`POST ${REALM}`);
    });

    test("asks only the credential helper that is named for it", async () => {
      for (const name of ["right", "wrong"]) {
        const script = `#!/bin/sh\ncat >'${world.dir}/asked-${name}'\necho '{"Username":"ann","Secret":"${SECRET}"}'\n`;
        chmodSync(world.file(`docker-credential-${name}`, script), 0o755);
      }
      world.file(
        ".docker/config.json",
        JSON.stringify({
          credHelpers: { "example.com": "right", "quay.io": "wrong" },
          credsStore: "wrong",
        }),
      );
      await source().resolve();
      expect(authorizations("other.test")).toEqual([basic]);
      expect(await Bun.file(`${world.dir}/asked-right`).text()).toBe("example.com\n");
      expect(await Bun.file(`${world.dir}/asked-wrong`).exists()).toBe(false);
    });

    test("tells of a helper that fails, without a word of what it printed", async () => {
      const script = `#!/bin/sh\necho '${SECRET}'\necho '${SECRET}' >&2\nexit 3\n`;
      chmodSync(world.file("docker-credential-bad", script), 0o755);
      world.file(".docker/config.json", JSON.stringify({ credsStore: "bad" }));
      const error = await failure(() => source().resolve());
      expect(error).toMatchObject({ code: "CREDENTIALS_UNUSABLE" });
      expect(error.message).toBe(
        'cannot get credentials for "example.com" from "docker-credential-bad": it ended with status 3',
      );
    });

    test("takes podman's entry for the repository before that for the host", async () => {
      const auth = (user: string) => ({
        auth: Buffer.from(`${user}:${SECRET}`).toString("base64"),
      });
      world.file(
        ".config/containers/auth.json",
        JSON.stringify({ auths: { "example.com": auth("host"), "example.com/a": auth("ann") } }),
      );
      await source().resolve();
      expect(authorizations("other.test")).toEqual([basic]);
    });

    test("refuses a file of credentials that it cannot read, without quoting it", async () => {
      for (const text of [
        `{"auths": ${SECRET}}`,
        `{"auths":{"example.com":{"auth":"${SECRET}"}}}`,
      ]) {
        world.file(".docker/config.json", text);
        const error = await failure(() => source().resolve());
        expect(error).toMatchObject({ code: "CREDENTIALS_UNUSABLE" });
        expect(Bun.inspect(error)).not.toContain(SECRET);
      }
    });

    test("by name and password gets those, and says when they are wrong", async () => {
      world.web.serve(`${BASE}/manifests/1`, (request, reply) =>
        request.headers.get("authorization") === basic
          ? manifest(request, reply)
          : reply.send(401, { "WWW-Authenticate": 'Basic realm="r"' }),
      );
      await source(undefined, withLogin()).resolve();
      const nobody = await failure(() => source().resolve());
      expect(nobody.message).toBe(
        'cannot fetch "docker://example.com/a/b:1": the registry "example.com" gives it to nobody without a login, or does not have it',
      );
      dockerAuth.password = "wrong";
      const error = await failure(() => source(undefined, withLogin()).resolve());
      dockerAuth.password = SECRET;
      expect(error.message).toContain(
        'the registry "example.com" does not accept the credentials that are configured for it',
      );
    });

    test("redirects to another host, which sees no credentials", async () => {
      world.web.serve(
        blobUrl,
        guarded(status(307, { Location: `https://cdn.test/x?signature=${SECRET}` })),
      );
      world.web.serve(`https://cdn.test/x?signature=${SECRET}`, inTurn(cutAt(5), ranged));
      expect(await read(source(undefined, withLogin()))).toEqual(LAYER);
      expect(authorizations("cdn.test")).toEqual([undefined, undefined]);
    });

    test("redirects to a server that fails, whose signed address is not shown", async () => {
      world.web.serve(
        blobUrl,
        guarded(status(307, { Location: `https://wrong.test/x?signature=${SECRET}` })),
      );
      const error = await failure(() => read(source()));
      expect(error).toMatchObject({ code: "TLS_FAILED" });
      expect(Bun.inspect(error)).not.toContain(SECRET);
    });

    test("cannot send us to a token server without encryption", async () => {
      const header = challenge["WWW-Authenticate"].replace("https", "http");
      world.web.serve(`${BASE}/manifests/1`, status(401, { "WWW-Authenticate": header }));
      const error = await failure(() => source(undefined, withLogin()).resolve());
      expect(error.message).toContain("is not encrypted");
      expect(world.web.log).toHaveLength(1);
    });

    test("with a token server that talks nonsense is refused", async () => {
      for (const body of ["", "[]", "null", '{"token":"a\\nb"}', '{"token":7}']) {
        world.web.serve(tokenUrl, status(200, {}, body));
        expect(await failure(() => source().resolve())).toMatchObject({ code: "REGISTRY_INVALID" });
      }
    });
  });

  test("that does not have the image says so", async () => {
    const body = (code: string) => JSON.stringify({ errors: [{ code, message: "\x1b[1mx" }] });
    world.web.serve(`${BASE}/manifests/1`, status(404, {}, body("NAME_UNKNOWN")));
    const error = await failure(() => source().resolve());
    expect(error).toMatchObject({
      code: "REGISTRY_NOT_FOUND",
      message:
        'cannot fetch "docker://example.com/a/b:1": the registry "example.com" has no such repository',
      remedy: "check the image's name, and its tag or digest",
    });
    world.web.serve(`${BASE}/manifests/1`, status(403, {}, body("DENIED")));
    expect((await failure(() => source().resolve())).message).toEndWith("(it says: [1mx)");
  });

  test("that is Docker Hub explains its limit, which is not waited for", async () => {
    world.web.serve(
      "https://registry-1.docker.io/v2/library/a/manifests/latest",
      status(429, { "RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600" }),
    );
    // The test's certificate is made out to other hosts.
    const error = await failure(() =>
      source("a", { insecure: { ...SECURE, tls: true } }).resolve(),
    );
    expect(error.message).toBe(
      'cannot fetch "docker://registry-1.docker.io/library/a:latest": Docker Hub\'s limit of pulls for this address without a login is reached (100 in 6 h)',
    );
    expect(pauses).toEqual([]);
  });

  test("is left for its mirror, and asked when the mirror fails", async () => {
    const conf = world.file(
      "registries.conf",
      '[[registry]]\nlocation="example.com"\n[[registry.mirror]]\nlocation="cdn.test/mirror"\n',
    );
    const env = { ...world.web.env, HOME: world.dir, CONTAINERS_REGISTRIES_CONF: conf };
    const mirror = "https://cdn.test/v2/mirror/a/b";
    serveManifest(`${mirror}/manifests/1`);
    world.web.serve(`${mirror}/blobs/${layer.digest}`, inTurn(cutAt(40_000), status(500)));
    world.web.serve(blobUrl, ranged);
    const from = source(undefined, { env });
    expect(from.repository).toBe("example.com/a/b");
    await from.resolve();
    expect(await read(from)).toEqual(LAYER);
    const last: Request | undefined = world.web.requests.at(-1);
    expect(last?.url).toBe(blobUrl);
    expect(last?.headers.get("range")).toBe("bytes=40000-");
  });

  test("is asked over http only where that is allowed, and sees no password then", async () => {
    const seen: (string | null)[] = [];
    let code = 200;
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        seen.push(request.headers.get("authorization"));
        const headers = {
          "WWW-Authenticate": 'Basic realm="r"',
          "Content-Type": MEDIA_TYPES.manifest,
        };
        return new Response(MANIFEST, { status: code, headers });
      },
    });
    const place = `127.0.0.1:${server.port}`;
    const refused = await failure(() => source(`${place}/a:1`).resolve());
    expect(refused.message).toBe(
      `cannot ask the registry "${place}": it does not speak https here, or wants a certificate of its clients`,
    );
    expect(seen).toEqual([]);
    const http = { insecure: { ...SECURE, http: true } };
    await source(`${place}/a:1`, http).resolve();
    expect(world.report.lines).toContain(
      `image: warning: the registry "${place}" is asked over http`,
    );
    code = 401;
    const dockerAuth = new Map([[place, { user: "ann", password: SECRET }]]);
    const config = { auth: new Map(), dockerAuth, paths: {}, stage1: {}, trustPolicies: new Map() };
    const error = await failure(() => source(`${place}/a:1`, { ...http, config }).resolve());
    expect(error.message).toContain("credentials are not sent over http");
    expect(seen).toEqual([null, null]);
  });

  test("is believed by an authority of its own, in certs.d", async () => {
    const place = `127.0.0.1:${world.web.httpsPort}`;
    serveManifest(`https://${place}/v2/a/manifests/1`);
    const ca = await Bun.file(world.web.env["SSL_CERT_FILE"] ?? "").text();
    const env = { HOME: world.dir };
    expect(await failure(() => source(`${place}/a:1`, { env }).resolve())).toMatchObject({
      code: "TLS_FAILED",
    });
    world.file(`.config/containers/certs.d/${place}/ca.crt`, ca);
    await source(`${place}/a:1`, { env }).resolve();
  });

  test("is shown the certificate that certs.d has for it", async () => {
    const ca = await Bun.file(world.web.env["SSL_CERT_FILE"] ?? "").text();
    const { key, cert } = testCertificates();
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      tls: { key, cert, ca, requestCert: true, rejectUnauthorized: true },
      fetch: () => new Response(MANIFEST, { headers: { "Content-Type": MEDIA_TYPES.manifest } }),
    });
    const place = `127.0.0.1:${server.port}`;
    const env = { HOME: world.dir };
    world.file(`.config/containers/certs.d/${place}/ca.crt`, ca);
    expect((await failure(() => source(`${place}/a:1`, { env }).resolve())).message).toContain(
      "wants a certificate of its clients",
    );
    world.file(`.config/containers/certs.d/${place}/client.cert`, cert);
    expect((await failure(() => source(`${place}/a:1`, { env }).resolve())).message).toContain(
      '"client.key" is missing',
    );
    world.file(`.config/containers/certs.d/${place}/client.key`, key);
    await source(`${place}/a:1`, { env }).resolve();
  });

  test("may be insecure by registries.conf, with a warning", async () => {
    const place = `127.0.0.1:${world.web.httpsPort}`;
    serveManifest(`https://${place}/v2/a/manifests/1`);
    const conf = world.file("insecure.conf", `[[registry]]\nlocation="${place}"\ninsecure=true\n`);
    const env = { HOME: world.dir, CONTAINERS_REGISTRIES_CONF: conf };
    await source(`${place}/a:1`, { env }).resolve();
    expect(world.report.lines).toEqual([
      `image: warning: the certificate of the registry "${place}" is not checked: registries.conf says so`,
    ]);
  });
});
