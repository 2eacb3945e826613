// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { rmSync, utimesSync } from "node:fs";
import { join } from "node:path";
import type { ImageKey } from "../appc/index.ts";
import { SECURE } from "../lib/insecure-options.ts";
import { keyedPath } from "../store/keys.ts";
import { failure } from "../store/test-images.ts";
import { armor } from "../trust/fixture.ts";
import type { FetchContext } from "./context.ts";
import {
  fileHandler,
  makeAci,
  makeKey,
  openWorld,
  sign,
  type TestKey,
  type World,
} from "./fixture.ts";
import { fetchImage, findImage } from "./index.ts";

const URL_ = "https://example.com/app.aci";
const ASC = `${URL_}.asc`;
const INSECURE = { ...SECURE, image: true };

describe("an image by URL", () => {
  let key: TestKey;
  let stranger: TestKey;
  let world: World;
  let bytes: Uint8Array;
  beforeAll(async () => {
    key = await makeKey("publisher");
    stranger = await makeKey("stranger");
  });
  beforeEach(async () => {
    world = await openWorld();
    await world.keystore.addPrefixKey("example.com", key.armored);
    bytes = makeAci({ name: "example.com/app", files: { data: "x".repeat(100_000) } });
  });
  afterEach(() => world[Symbol.dispose]());

  async function signed(content: Uint8Array = bytes, by: TestKey = key): Promise<string> {
    return await armor(await sign(by, content));
  }
  async function serveSigned(): Promise<void> {
    world.web.serve(URL_, bytes);
    world.web.serve(ASC, await signed());
  }
  const fetch_ = (changes: Partial<FetchContext> = {}) => fetchImage(URL_, world.context(changes));
  const fetchError = (changes: Partial<FetchContext> = {}) => failure(() => fetch_(changes));
  /** A context that has no keystore, as with --insecure-options=image. */
  const insecure: Partial<FetchContext> = { keystore: undefined, insecure: INSECURE };
  const asked = (method: string, url: string) =>
    world.web.log.filter((line) => line === `${method} ${url}`).length;
  const requestOf = (method: string, url: string) =>
    world.web.requests.findLast((request) => request.method === method && request.url === url);

  test("is verified, imported and shown with a bar each", async () => {
    await serveSigned();
    const image = await fetch_();
    expect(world.store.manifest(image).name as string).toBe("example.com/app");
    expect(world.store.verification(image)).toMatchObject({
      kind: "openpgp",
      fingerprint: key.fingerprint,
      prefix: "example.com/app",
    });
    expect(world.report.lines).toEqual([
      `image: remote fetching from URL "${URL_}"`,
      "image: signature verified:\n  publisher <publisher@example.com>",
    ]);
    expect(world.report.bars.map(({ label, total, done }) => [label, total === done])).toEqual([
      ["signature", true],
      ["ACI", true],
    ]);
    expect(world.web.log).toEqual([`GET ${ASC}`, `GET ${URL_}`]);
    expect(world.leftovers()).toEqual([]);
  });

  test("whose record of verification is lost is fetched again, with checks and without", async () => {
    await serveSigned();
    const image = await fetch_();
    const record = world.store.remote(URL_);
    if (record === undefined) throw new Error("no record");
    for (const changes of [insecure, {}]) {
      world.store.putRemote({ ...record, maxAge: 1000, downloadTime: new Date() });
      rmSync(keyedPath(world.store.paths.records, image));
      await fetch_(changes);
      expect(world.store.verification(image).kind).not.toBe("unknown");
    }
  });

  test("is refused before it is asked for when nobody we trust signed it", async () => {
    world.web.serve(URL_, bytes);
    world.web.serve(ASC, await signed(bytes, stranger));
    const error = await fetchError();
    expect(error.code).toBe("KEY_UNTRUSTED");
    expect(error.message).toEndWith(": none of the keys trusted for any image made it");
    expect(world.web.log).toEqual([`GET ${ASC}`]);
    expect(world.report.lines).toEqual([
      "image: if you expected the signing key to change, try running:",
      "image:     rkt trust --prefix NAME KEYFILE",
    ]);
    expect(world.store.listImages()).toEqual([]);
    expect(world.leftovers()).toEqual([]);
  });

  test("is refused when the key that signed it is trusted for another name only", async () => {
    await world.keystore.addPrefixKey("other.test", stranger.armored);
    world.web.serve(URL_, bytes);
    world.web.serve(ASC, await signed(bytes, stranger));
    const error = await fetchError();
    expect(error.message).toContain('none of the keys trusted for "example.com/app" made it');
    expect(error.code).toBe("KEY_UNTRUSTED");
    expect(world.store.listImages()).toEqual([]);
    expect(world.leftovers()).toEqual([]);
  });

  test("is refused when its signature is for other bytes, and nothing of it stays", async () => {
    world.web.serve(URL_, bytes);
    world.web.serve(ASC, await signed(Buffer.from("other")));
    const error = await fetchError();
    expect(error.code).toBe("SIGNATURE_INVALID");
    expect(world.store.listImages()).toEqual([]);
    expect(world.leftovers()).toEqual([]);
  });

  test("is refused without a signature, before it is asked for", async () => {
    world.web.serve(URL_, bytes);
    const error = await fetchError();
    expect(error.message).toBe(
      `error downloading the signature file from "${ASC}": bad HTTP status code: 404`,
    );
    expect(error.code).toBe("SIGNATURE_MISSING");
    expect(error).toHaveProperty(
      "remedy",
      "check the URL; the signature must be published beside the image",
    );
    expect(asked("GET", URL_)).toBe(0);
  });

  test("is refused when what stands beside it is no signature, or is endless", async () => {
    world.web.serve(URL_, bytes);
    world.web.serve(ASC, "<html>login here</html>");
    expect((await fetchError()).code).toBe("SIGNATURE_NONE");
    world.web.serve(ASC, Buffer.alloc(300_000));
    expect((await fetchError()).code).toBe("TOO_LARGE");
    expect(asked("GET", URL_)).toBe(0);
  });

  test("needs no signature with --insecure-options=image, and that is recorded", async () => {
    world.web.serve(URL_, bytes);
    const image = await fetch_(insecure);
    expect(world.store.verification(image)).toMatchObject({
      kind: "unverified",
      reason: "--insecure-options=image",
    });
    expect(world.web.log).toEqual([`GET ${URL_}`]);
  });

  test("takes the signature from the file of --signature", async () => {
    world.web.serve(URL_, bytes);
    const signature = world.file("app.asc", await signed());
    await fetchImage(URL_, world.context(), { signature });
    expect(world.web.log).toEqual([`GET ${URL_}`]);
  });

  test("that is not there is an error with its status", async () => {
    world.web.serve(ASC, await signed());
    const error = await fetchError();
    expect(error.message).toBe(
      `error downloading the ACI from "${URL_}": bad HTTP status code: 404`,
    );
    expect(error.code).toBe("HTTP_STATUS");
    expect(world.leftovers()).toEqual([]);
  });

  test("comes before its signature when the server asks for that", async () => {
    await serveSigned();
    const asc = await signed();
    let times = 0;
    world.web.serve(ASC, (_, reply) => reply.send(times++ === 0 ? 202 : 200, {}, asc));
    await fetch_();
    expect(world.web.log).toEqual([`GET ${ASC}`, `GET ${URL_}`, `GET ${ASC}`]);
  });

  test("is refused when the signature is deferred twice", async () => {
    world.web.serve(URL_, bytes);
    world.web.serve(ASC, (_, reply) => reply.send(202));
    const error = await fetchError();
    expect(error.message).toBe(
      "error downloading the signature file: server asked to defer the download again",
    );
    expect(error.code).toBe("DEFERRED_TWICE");
    expect(world.store.listImages()).toEqual([]);
  });

  test("is refused when the deferred signature turns out to be a stranger's", async () => {
    world.web.serve(URL_, bytes);
    const asc = await signed(bytes, stranger);
    let times = 0;
    world.web.serve(ASC, (_, reply) => reply.send(times++ === 0 ? 202 : 200, {}, asc));
    expect((await fetchError()).code).toBe("KEY_UNTRUSTED");
    expect(world.store.listImages()).toEqual([]);
  });

  test("is not asked for again while its max-age lasts", async () => {
    world.web.serve(ASC, await signed());
    world.web.serve(
      URL_,
      fileHandler(() => bytes, { cacheControl: "max-age=3600" }),
    );
    const image = await fetch_();
    expect(await fetch_()).toBe(image);
    expect(world.web.log).toHaveLength(2);
  });

  test("is asked for again when its max-age is over", async () => {
    world.web.serve(ASC, await signed());
    world.web.serve(
      URL_,
      fileHandler(() => bytes, { cacheControl: "max-age=3600" }),
    );
    await fetch_();
    const record = world.store.remote(URL_);
    if (record === undefined) throw new Error("no record");
    world.store.putRemote({ ...record, downloadTime: new Date(Date.now() - 3_600_001) });
    await fetch_();
    expect(asked("GET", URL_)).toBe(2);
  });

  test("is not sent again when its ETag is still the same", async () => {
    world.web.serve(ASC, await signed());
    world.web.serve(
      URL_,
      fileHandler(() => bytes, { etag: () => '"one"' }),
    );
    const image = await fetch_();
    const before = world.store.remote(URL_)?.downloadTime;
    expect(await fetch_()).toBe(image);
    expect(requestOf("GET", URL_)?.headers.get("if-none-match")).toBe('"one"');
    expect(world.store.remote(URL_)?.downloadTime).toEqual(before as Date);
    expect(world.leftovers()).toEqual([]);
  });

  test("is sent again when its ETag changed", async () => {
    let etag = '"one"';
    world.web.serve(ASC, await signed());
    world.web.serve(
      URL_,
      fileHandler(() => bytes, { etag: () => etag }),
    );
    const image = await fetch_();
    bytes = makeAci({ name: "example.com/app", files: { data: "new" } });
    world.web.serve(ASC, await signed());
    etag = '"two"';
    const other = await fetch_();
    expect(other).not.toBe(image);
    expect(world.store.remote(URL_)).toMatchObject({ etag: '"two"', key: other });
  });

  test("that was let in unverified is fetched again, not taken from the cache", async () => {
    world.web.serve(ASC, await signed());
    const options = { etag: () => '"one"', cacheControl: "max-age=3600" };
    world.web.serve(
      URL_,
      fileHandler(() => bytes, options),
    );
    const image = await fetch_(insecure);
    expect(await fetch_()).toBe(image);
    expect(requestOf("GET", URL_)?.headers.get("if-none-match")).toBeUndefined();
    expect(world.store.verification(image).kind).toBe("openpgp");
  });

  test("an answer 304 that nobody asked for is an error", async () => {
    world.web.serve(ASC, await signed());
    world.web.serve(URL_, (_, reply) => reply.send(304));
    const error = await fetchError();
    expect(error.message).toEndWith(
      "the server misbehaves: it says 304 to an unconditional request",
    );
    expect(error.code).toBe("HTTP_INVALID");
  });

  describe("broken off", () => {
    let cut: number | undefined;
    let etag: string | undefined;
    let modified: string | undefined;
    beforeEach(async () => {
      cut = 60_000;
      etag = '"one"';
      modified = undefined;
      world.web.serve(ASC, await signed());
      serve();
      expect((await fetchError()).code).toBe("BODY_SHORT");
      expect(world.leftovers()).toHaveLength(2);
      cut = undefined;
      world.web.log.length = 0;
    });
    function serve(): void {
      world.web.serve(
        URL_,
        fileHandler(() => bytes, {
          ...(etag === undefined ? {} : { etag: () => etag ?? "" }),
          ...(modified === undefined ? {} : { lastModified: () => modified ?? "" }),
          cutAfter: () => cut,
        }),
      );
    }
    const range = () => requestOf("GET", URL_)?.headers.get("range");

    test("is continued where it broke off", async () => {
      const image = await fetch_();
      expect(range()).toBe("bytes=60000-");
      expect(requestOf("GET", URL_)?.headers.get("if-range")).toBe('"one"');
      expect(world.store.record(image).size).toBe(bytes.length);
      expect(world.report.bars.at(-1)).toEqual({
        label: "ACI",
        total: bytes.length,
        done: bytes.length,
      });
      expect(world.leftovers()).toEqual([]);
    });

    test("twice is continued twice", async () => {
      cut = 10_000;
      expect((await fetchError()).code).toBe("BODY_SHORT");
      cut = undefined;
      await fetch_();
      expect(range()).toBe("bytes=70000-");
    });

    test("starts again when the content changed", async () => {
      bytes = makeAci({ name: "example.com/app", files: { data: "y".repeat(100_000) } });
      etag = '"two"';
      world.web.serve(ASC, await signed());
      const image = await fetch_();
      expect(range()).toBeUndefined();
      expect(world.report.lines).toContain(
        "image: cannot use cached partial download, resource updated.",
      );
      expect(world.store.manifest(image).name as string).toBe("example.com/app");
    });

    test("starts again when the content changes between the question and the answer", async () => {
      const old = bytes;
      bytes = makeAci({ name: "example.com/app", files: { data: "y".repeat(100_000) } });
      world.web.serve(ASC, await signed());
      const before = fileHandler(() => old, { etag: () => '"one"' });
      const after = fileHandler(() => bytes, { etag: () => '"two"' });
      world.web.serve(URL_, (request, reply) =>
        (request.method === "HEAD" ? before : after)(request, reply),
      );
      const image = await fetch_();
      expect(range()).toBe("bytes=60000-");
      expect(world.store.record(image).size).toBe(bytes.length);
    });

    test("starts again when the server does not do ranges any more", async () => {
      world.web.serve(URL_, bytes);
      await fetch_();
      expect(range()).toBeUndefined();
      expect(world.report.lines).toContain(
        "image: cannot use cached partial download, range request unsupported.",
      );
    });

    test("starts again when the server does not answer HEAD", async () => {
      const handler = fileHandler(() => bytes, { etag: () => '"one"' });
      world.web.serve(URL_, (request, reply) =>
        request.method === "HEAD" ? reply.send(405) : handler(request, reply),
      );
      await fetch_();
      expect(world.report.lines).toContain("image: bad HTTP status code from HEAD request: 405");
    });

    test("starts again on 416", async () => {
      const handler = fileHandler(() => bytes, { etag: () => '"one"' });
      world.web.serve(URL_, (request, reply) =>
        request.headers.has("range") ? reply.send(416) : handler(request, reply),
      );
      await fetch_();
      expect(asked("GET", URL_)).toBe(2);
    });

    test("is refused when the server sends another range", async () => {
      const handler = fileHandler(() => bytes, { etag: () => '"one"' });
      world.web.serve(URL_, (request, reply) =>
        request.headers.has("range")
          ? reply.send(206, { "Content-Range": `bytes 1-9/${bytes.length}` }, "123456789")
          : handler(request, reply),
      );
      expect((await fetchError()).code).toBe("HTTP_INVALID");
    });

    test("and whole by then is not sent again", async () => {
      const partial = world.leftovers().find((name) => !name.endsWith(".etag")) ?? "";
      await Bun.write(join(world.store.tmpDir, partial), bytes);
      await fetch_();
      expect(world.web.log).toEqual([`GET ${ASC}`, `HEAD ${URL_}`]);
    });

    test("and damaged meanwhile is caught by the signature, and the next attempt starts again", async () => {
      const partial = world.leftovers().find((name) => !name.endsWith(".etag")) ?? "";
      await Bun.write(join(world.store.tmpDir, partial), Buffer.alloc(60_000));
      expect((await fetchError()).code).toBe("SIGNATURE_INVALID");
      expect(world.leftovers()).toEqual([]);
      await fetch_();
      expect(range()).toBeUndefined();
    });

    test("is kept while the server is away, and when the signer is unknown", async () => {
      world.web.serve(URL_, (_, reply) => reply.cut());
      expect((await fetchError()).code).toBe("CONNECTION_FAILED");
      world.web.serve(URL_, (_, reply) => reply.send(503));
      expect((await fetchError()).code).toBe("HTTP_STATUS");
      expect(world.leftovers()).toHaveLength(2);
      world.web.serve(ASC, await signed(bytes, stranger));
      expect((await fetchError()).code).toBe("KEY_UNTRUSTED");
      expect(world.leftovers()).toHaveLength(2);
    });

    test("is continued by date when there is no ETag", async () => {
      const etagFile = world.leftovers().find((name) => name.endsWith(".etag")) ?? "";
      await Bun.write(join(world.store.tmpDir, etagFile), "");
      etag = undefined;
      modified = new Date(Date.now() - 100_000).toUTCString();
      serve();
      await fetch_();
      expect(requestOf("GET", URL_)?.headers.get("if-range")).toBe(modified);
    });

    test("is not continued when the file became newer after the download began", async () => {
      const path = join(
        world.store.tmpDir,
        world.leftovers().find((n) => n.endsWith(".etag")) ?? "",
      );
      await Bun.write(path, "");
      utimesSync(path, new Date(0), new Date(1_000_000));
      etag = undefined;
      modified = new Date(Date.now() - 100_000).toUTCString();
      serve();
      await fetch_();
      expect(range()).toBeUndefined();
    });
  });

  test("that stalls is given up, and what came is kept", async () => {
    world.web.serve(ASC, await signed());
    world.web.serve(URL_, (_, reply) => {
      reply.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`);
      reply.write(bytes.subarray(0, 10));
    });
    const error = await fetchError({ timeouts: { answer: 5_000, stall: 200 } });
    expect(error.code).toBe("TIMEOUT");
    expect(world.leftovers()).toHaveLength(2);
  });

  test("larger than the limit is refused by its announcement and by its bytes", async () => {
    await serveSigned();
    expect((await fetchError({ maxImageSize: 1000 })).code).toBe("TOO_LARGE");
    world.web.serve(URL_, (_, reply) => {
      reply.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
      reply.write(bytes);
      reply.end();
    });
    expect((await fetchError({ maxImageSize: 1000 })).code).toBe("TOO_LARGE");
    expect(world.leftovers()).toEqual([]);
  });

  test("with more bytes than any disk has is refused before it is written", async () => {
    world.web.serve(ASC, await signed());
    world.web.serve(URL_, (_, reply) => {
      reply.write("HTTP/1.1 200 OK\r\nContent-Length: 900000000000000\r\n\r\n");
    });
    const error = await fetchError({ maxImageSize: Number.MAX_SAFE_INTEGER });
    expect(error.message).toBe(`not enough space in "${world.store.tmpDir}"`);
    expect(error.code).toBe("DISK_FULL");
    expect(world.leftovers()).toEqual([]);
  });

  test("that is no archive is refused after its signature was checked", async () => {
    bytes = Buffer.from("hello, I am not a tar");
    await serveSigned();
    expect((await fetchError()).code).toBe("IMAGE_INVALID");
    world.web.serve(ASC, await signed(Buffer.from("other bytes")));
    expect((await fetchError()).code).toBe("SIGNATURE_INVALID");
    expect(world.leftovers()).toEqual([]);
  });

  test("compressed is verified as it came and stored plain", async () => {
    const plain = bytes;
    bytes = Bun.gzipSync(Buffer.from(plain));
    await serveSigned();
    const image = await fetch_();
    expect(world.store.record(image).size).toBe(plain.length);
    expect(world.leftovers()).toEqual([]);
  });

  test("by pull policy never comes from the store or not at all", async () => {
    await serveSigned();
    const error = await failure(() => fetch_({ pullPolicy: "never" }));
    expect(error.message).toBe(
      `unable to fetch image from URL "${URL_}": either image was not found in the store or store was disabled and fetching from remote yielded nothing or it was disabled`,
    );
    expect(error.code).toBe("IMAGE_NOT_FOUND");
    expect(world.web.log).toEqual([]);
    const image = await fetch_();
    expect(await fetch_({ pullPolicy: "never" })).toBe(image);
  });

  test("by pull policy new is asked for once", async () => {
    await serveSigned();
    const image = await fetch_({ pullPolicy: "new" });
    expect(await fetch_({ pullPolicy: "new" })).toBe(image);
    expect(asked("GET", URL_)).toBe(1);
  });

  test("that was removed from the store is fetched again", async () => {
    world.web.serve(ASC, await signed());
    const options = { etag: () => '"one"', cacheControl: "max-age=3600" };
    world.web.serve(
      URL_,
      fileHandler(() => bytes, options),
    );
    world.store.removeImage(await fetch_());
    await fetch_();
    expect(asked("GET", URL_)).toBe(2);
  });

  test("wanted twice at once is downloaded once", async () => {
    world.web.serve(ASC, await signed());
    let begin = (): void => undefined;
    const second = new Promise<void>((resolve) => {
      begin = resolve;
    });
    world.web.serve(URL_, (_, reply) => {
      begin();
      const lines = `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\nConnection: close\r\n\r\n`;
      reply.write(lines);
      setTimeout(() => {
        reply.write(bytes);
        reply.end();
      }, 300);
    });
    const one = fetch_();
    await second;
    const two = fetch_();
    expect(await two).toBe(await one);
    expect(asked("GET", URL_)).toBe(1);
    expect(world.report.lines).toContain(
      "image: another rkt instance is downloading this file, waiting...",
    );
    expect(world.leftovers()).toEqual([]);
  });

  test("wanted by two processes at once is downloaded once", async () => {
    world.web.serve(ASC, await signed());
    world.web.serve(URL_, (_, reply) => {
      reply.write(
        `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\nConnection: close\r\n\r\n`,
      );
      setTimeout(() => {
        reply.write(bytes);
        reply.end();
      }, 1500);
    });
    const script = world.file(
      "child.ts",
      `import { fetchImage } from ${JSON.stringify(join(import.meta.dir, "index.ts"))};
       import { openStore } from ${JSON.stringify(join(import.meta.dir, "../store/index.ts"))};
       import { openKeystore } from ${JSON.stringify(join(import.meta.dir, "../trust/index.ts"))};
       import { loadConfig } from ${JSON.stringify(join(import.meta.dir, "../config/index.ts"))};
       import { silentReporter } from ${JSON.stringify(join(import.meta.dir, "../lib/reporter.ts"))};
       import { SECURE } from ${JSON.stringify(join(import.meta.dir, "../lib/insecure-options.ts"))};
       const [data, etc] = process.argv.slice(2);
       const dirs = { systemConfig: etc, localConfig: etc };
       const key = await fetchImage(${JSON.stringify(URL_)}, {
         store: openStore(data), keystore: openKeystore(dirs),
         config: loadConfig({ system: etc, local: etc }), insecure: SECURE, trustKeysFromHttps: false,
         pullPolicy: "update", dependencies: true, version: "1", report: silentReporter,
       });
       process.stdout.write(key);`,
    );
    const children = [1, 2].map(() =>
      Bun.spawn([process.execPath, script, world.storeDir, join(world.dir, "etc")], {
        env: { ...process.env, ...world.web.env },
        stdout: "pipe",
      }),
    );
    const output = await Promise.all(children.map((child) => new Response(child.stdout).text()));
    expect(output).toEqual([output[0] ?? "", output[0] ?? ""]);
    expect(output[0]).toMatch(/^sha512-[0-9a-f]{64}$/);
    expect(await Promise.all(children.map((child) => child.exited))).toEqual([0, 0]);
    expect(asked("GET", URL_)).toBe(1);
    expect(world.leftovers()).toEqual([]);
  });

  test("shows credentials from auth.d to its own host only", async () => {
    await serveSigned();
    world.web.serve(URL_, (_, reply) => reply.send(302, { Location: "https://cdn.test/app.aci" }));
    world.web.serve("https://cdn.test/app.aci", bytes);
    world.file(
      "etc/auth.d/example.json",
      JSON.stringify({
        rktKind: "auth",
        rktVersion: "v1",
        domains: ["example.com"],
        type: "basic",
        credentials: { user: "me", password: "secret" },
      }),
    );
    await fetch_();
    const shown = world.web.requests.map(({ url, headers }) => [url, headers.get("authorization")]);
    const basic = `Basic ${btoa("me:secret")}`;
    expect(shown).toEqual([
      [ASC, basic],
      [URL_, basic],
      ["https://cdn.test/app.aci", undefined],
    ]);
  });

  test("by its hash is found in the store and never fetched", async () => {
    await serveSigned();
    const image: ImageKey = await fetch_();
    const notFetched = (): Promise<never> => Promise.reject(new Error("asked to fetch"));
    expect(await findImage(image.slice(0, 20), world.context(), notFetched)).toBe(image);
    const error = await failure(() => findImage("sha512-00", world.context(), notFetched));
    expect(error.message).toBe("no image IDs found");
  });

  test("of Docker's is refused where nothing can vouch for it, before anybody is asked", async () => {
    const signedOnly = await failure(() => fetchImage("docker://busybox", world.context()));
    expect(signedOnly.message).toBe(
      'no trust policy says who may sign "registry-1.docker.io/library/busybox"',
    );
    expect(signedOnly.code).toBe("POLICY_MISSING");
    expect(world.web.requests).toEqual([]);
    const never = await failure(() =>
      fetchImage("docker://busybox", world.context({ ...insecure, pullPolicy: "never" })),
    );
    expect(never.message).toStartWith('unable to fetch docker image from URL "docker://busybox": ');
  });
});
