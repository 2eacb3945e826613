// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { SECURE } from "../lib/insecure-options.ts";
import { failure } from "../store/test-images.ts";
import { armor } from "../trust/fixture.ts";
import type { FetchContext } from "./context.ts";
import { makeAci, makeKey, openWorld, publish, sign, type TestKey, type World } from "./fixture.ts";
import { fetchImage } from "./index.ts";

const NAME = "example.com/app";
const KEY_URL = "https://example.com/keys.asc";

describe("an image by name", () => {
  let key: TestKey;
  let stranger: TestKey;
  let world: World;
  beforeAll(async () => {
    key = await makeKey("publisher");
    stranger = await makeKey("stranger");
  });
  beforeEach(async () => {
    world = await openWorld();
  });
  afterEach(() => world[Symbol.dispose]());
  const trust = () => world.keystore.addPrefixKey("example.com", key.armored);
  const get = (text: string, changes: Partial<FetchContext> = {}) =>
    fetchImage(text, world.context(changes));
  const getError = (text: string, changes: Partial<FetchContext> = {}) =>
    failure(() => get(text, changes));
  const insecure = { keystore: undefined, insecure: { ...SECURE, image: true } };

  test("is discovered, verified for its name, and marked latest", async () => {
    await trust();
    const { url, signatureUrl } = await publish(world, { name: NAME }, { key });
    const image = await get(NAME);
    expect(world.store.record(image)).toMatchObject({ name: NAME, latest: true });
    expect(world.store.verification(image)).toMatchObject({ prefix: NAME });
    expect(world.web.log).toEqual([
      `GET https://${NAME}?ac-discovery=1`,
      `GET ${signatureUrl}`,
      `GET ${url}`,
    ]);
    expect(world.report.lines.slice(0, 2)).toEqual([
      `image: searching for app image ${NAME}`,
      `image: keys already exist for prefix "${NAME}", not fetching again`,
    ]);
    expect(world.store.remote(url)).toMatchObject({ signatureUrl, key: image });
  });

  test("with a version asks for that version and is not marked latest", async () => {
    await trust();
    const image = { name: NAME, labels: { version: "1.2.0" } };
    const { url } = await publish(world, image, { key, version: "1.2.0" });
    const found = await get(`${NAME}:1.2.0`);
    expect(world.store.record(found).latest).toBe(false);
    expect(world.web.log).toContain(`GET ${url}`);
  });

  test("is discovered at a parent when its own page has nothing", async () => {
    await trust();
    await publish(world, { name: NAME }, { key });
    world.web.serve(`https://${NAME}?ac-discovery=1`, "<p>nothing here</p>");
    world.web.serve(
      "https://example.com/?ac-discovery=1",
      '<meta name="ac-discovery" content="example.com https://example.com/images/{name}-{version}-{os}-{arch}.{ext}">',
    );
    await get(NAME);
    expect(world.web.log.slice(0, 2)).toEqual([
      `GET https://${NAME}?ac-discovery=1`,
      "GET https://example.com/?ac-discovery=1",
    ]);
  });

  test("whose template needs a label that it has not is not found", async () => {
    world.web.serve(
      `https://${NAME}?ac-discovery=1`,
      `<meta name="ac-discovery" content="${NAME} https://example.com/{channel}.{ext}">`,
    );
    const error = await getError(NAME);
    expect(error.code).toBe("DISCOVERY_FAILED");
  });

  test("that is nowhere is refused with everything that was tried", async () => {
    world.web.serve(
      "https://example.com/?ac-discovery=1",
      "\0<<<garbage>>> <meta name=ac-discovery content=",
    );
    const error = await getError(NAME);
    expect(error.message).toBe(
      `discovery failed for "${NAME}": "${NAME}": expected a 200 OK got 404; "example.com": no matching meta tag`,
    );
    expect(error.code).toBe("DISCOVERY_FAILED");
    expect(error).toHaveProperty("remedy", expect.stringContaining("rkt image list"));
  });

  test("reads only the beginning of an endless page", async () => {
    world.web.serve(`https://${NAME}?ac-discovery=1`, (_, reply) => {
      reply.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
      for (let i = 0; i < 40; i++) reply.write(Buffer.alloc(1 << 16, 32));
      reply.write(`<meta name="ac-discovery" content="${NAME} https://example.com/a.{ext}">`);
    });
    expect((await getError(NAME)).code).toBe("DISCOVERY_FAILED");
  });

  test("is discovered over http only when that is allowed", async () => {
    await trust();
    await publish(world, { name: NAME }, { key });
    world.web.serve(`https://${NAME}?ac-discovery=1`, (_, reply) => reply.send(500));
    world.web.serve(
      `http://${NAME}?ac-discovery=1`,
      `<meta name="ac-discovery" content="${NAME} https://example.com/images/{name}-{version}-{os}-{arch}.{ext}">`,
    );
    expect((await getError(NAME)).code).toBe("DISCOVERY_FAILED");
    expect(world.web.log.filter((line) => line.startsWith("GET http:"))).toEqual([]);
    await get(NAME, { insecure: { ...SECURE, http: true } });
  });

  test("is not discovered on a server with a wrong certificate, unless TLS is insecure", async () => {
    const name = "wrong.test/app";
    world.web.serve(
      `https://${name}?ac-discovery=1`,
      `<meta name="ac-discovery" content="wrong.test https://wrong.test/a.{ext}">`,
    );
    world.web.serve("https://wrong.test/a.aci", makeAci({ name }));
    expect((await getError(name, insecure)).message).toContain("made out to another host");
    await get(name, { ...insecure, insecure: { ...SECURE, image: true, tls: true } });
    expect(world.report.lines).toContain("image: warning: TLS verification has been disabled");
  });

  test("signed by a stranger is refused with a hint, and was never asked for", async () => {
    await trust();
    const { url } = await publish(world, { name: NAME }, { key: stranger });
    expect((await getError(NAME)).code).toBe("KEY_UNTRUSTED");
    expect(world.report.lines.slice(-2)).toEqual([
      "image: if you expected the signing key to change, try running:",
      `image:     rkt trust --prefix "${NAME}"`,
    ]);
    expect(world.web.log).not.toContain(`GET ${url}`);
  });

  test("whose signature is nowhere may be a wrong name or version", async () => {
    await trust();
    const { signatureUrl } = await publish(world, { name: NAME }, { key });
    world.web.serve(signatureUrl, (_, response) => response.send(404));
    const error = await getError(NAME);
    expect(error.message).toBe(
      `error downloading the signature file from "${signatureUrl}": bad HTTP status code: 404`,
    );
    expect(error).toHaveProperty(
      "remedy",
      "check the name and version; the signature must be published beside the image",
    );
  });

  test("needs no discovery with pull policy new or never when the store has it", async () => {
    await trust();
    await publish(world, { name: NAME }, { key });
    const error = await getError(NAME, { pullPolicy: "never" });
    expect(error.message).toBe(
      `unable to fetch image from image name "${NAME},os=linux,arch=amd64": either image was not found in the store or store was disabled and fetching from remote yielded nothing or it was disabled`,
    );
    expect(error.code).toBe("IMAGE_NOT_FOUND");
    const image = await get(NAME);
    world.web.log.length = 0;
    expect(await get(NAME, { pullPolicy: "never" })).toBe(image);
    expect(await get(NAME, { pullPolicy: "new" })).toBe(image);
    expect(world.web.log).toEqual([]);
  });

  describe.each([false, true])("(compressed: %p)", (gzip) => {
    test("whose manifest has another name is refused and not in the store", async () => {
      await trust();
      const { url, signatureUrl } = await publish(world, { name: NAME }, { key });
      const plain = makeAci({ name: "example.com/evil" });
      const other = gzip ? Bun.gzipSync(Buffer.from(plain)) : plain;
      world.web.serve(url, other);
      world.web.serve(signatureUrl, await armor(await sign(key, other)));
      const error = await getError(NAME);
      expect(error.message).toBe(
        `error when reading the app name: "${NAME}" expected but "example.com/evil" found`,
      );
      expect(error.code).toBe("MANIFEST_MISMATCH");
      expect(world.store.listImages()).toEqual([]);
      expect(world.leftovers()).toEqual([]);
    });

    test.each([
      ["another value", { version: "2.0.0" }, 'requested value for label "version"'],
      ["no value", {}, 'requested label "version" not provided by the image manifest'],
    ])(
      "whose manifest has %s of a label is refused and not in the store",
      async (_, labels, start) => {
        await trust();
        await publish(world, { name: NAME, labels }, { key, version: "1.0.0", gzip });
        const error = await getError(`${NAME}:1.0.0`);
        expect(error.message).toStartWith(start);
        expect(error.code).toBe("MANIFEST_MISMATCH");
        expect(world.store.listImages()).toEqual([]);
      },
    );
  });

  test("in the cache by its URL is still checked for its name", async () => {
    await world.keystore.addRootKey(key.armored);
    const { url } = await publish(world, { name: NAME }, { key });
    await get(NAME);
    const record = world.store.remote(url);
    if (record === undefined) throw new Error("no record");
    world.store.putRemote({ ...record, maxAge: 1000 });
    world.web.serve(
      "https://other.test/?ac-discovery=1",
      `<meta name="ac-discovery" content="other.test ${url.replace(/\.aci$/, ".{ext}")}">`,
    );
    expect((await getError("other.test")).code).toBe("MANIFEST_MISMATCH");
    // The cache does not stand in the way of a server that has the right image by now.
    const right = makeAci({ name: "other.test" });
    world.web.serve(url, right);
    world.web.serve(`${url}.asc`, await armor(await sign(key, right)));
    const image = await get("other.test");
    expect(world.store.manifest(image).name as string).toBe("other.test");
  });

  describe("without a trusted key", () => {
    beforeEach(async () => {
      await publish(world, { name: NAME }, { key, keyUrl: KEY_URL });
      world.web.serve(KEY_URL, key.armored);
    });

    test("discovers the key, and trusts it after a yes", async () => {
      const questions: unknown[] = [];
      await get(NAME, {
        review: async (question) => {
          questions.push(question);
          return true;
        },
      });
      expect(questions).toEqual([
        { prefix: NAME, location: KEY_URL, fingerprints: [key.fingerprint] },
      ]);
      expect(world.keystore.hasKeyFor(NAME)).toBe(true);
    });

    test("does not trust it after a no", async () => {
      const error = await getError(NAME, { review: async () => false });
      expect(error.code).toBe("KEY_UNTRUSTED");
      expect(world.report.lines).toContain(`pubkey: not trusting "${KEY_URL}"`);
      expect(world.keystore.hasKeyFor(NAME)).toBe(false);
    });

    test("does not trust it when there is nobody to ask, and says what to do", async () => {
      const error = await getError(NAME);
      expect(error.code).toBe("KEY_UNTRUSTED");
      expect(world.report.lines).toContain("pubkey:  - call rkt with --trust-keys-from-https");
      expect(world.report.lines).toContain(`pubkey:  - run: rkt trust --prefix "${NAME}"`);
    });

    test("trusts it unasked with --trust-keys-from-https", async () => {
      await get(NAME, { trustKeysFromHttps: true });
      expect(world.report.lines).toContain(
        `pubkey: Trusting "${KEY_URL}" for prefix "${NAME}" without fingerprint review.`,
      );
    });

    test.each([
      ["etc", "prefix.d/example.com/app"],
      ["etc", "prefix.d/example.com"],
      ["etc", "root.d"],
      ["usr", "prefix.d/example.com/app"],
      ["usr", "root.d"],
    ])("neither trusts nor offers one that is masked in %s, %s", async (config, directory) => {
      const mask = join(world.dir, config, "trustedkeys", directory, key.fingerprint);
      mkdirSync(dirname(mask), { recursive: true });
      writeFileSync(mask, "");
      const review = async () => {
        throw new Error("asked about a masked key");
      };
      for (const changes of [{ trustKeysFromHttps: true }, { review }, {}]) {
        world.report.lines.length = 0;
        expect((await getError(NAME, changes)).code).toBe("KEY_UNTRUSTED");
        expect(world.report.lines).toContain(
          `image: key ${key.fingerprint} is masked for "${NAME}", not trusting it`,
        );
        expect(world.report.lines.join("\n")).not.toContain("pubkey:");
      }
      expect(readFileSync(mask, "utf8")).toBe("");
      expect(world.keystore.hasKeyFor(NAME)).toBe(false);
      expect(world.store.listImages()).toEqual([]);
    });

    test("trusts the others of a file in which one is masked", async () => {
      const mask = join(world.dir, "etc", "trustedkeys", "root.d", stranger.fingerprint);
      mkdirSync(dirname(mask), { recursive: true });
      writeFileSync(mask, "");
      world.web.serve(KEY_URL, `${stranger.armored}\n${key.armored}`);
      await get(NAME, { trustKeysFromHttps: true });
      const { keys } = await world.keystore.keysFor(NAME);
      expect(keys.map(({ fingerprint }) => fingerprint)).toEqual([key.fingerprint]);
    });

    test("does not look for keys over TLS that it does not check", async () => {
      const insecureTls = { ...SECURE, tls: true };
      const changes = { insecure: insecureTls, trustKeysFromHttps: true };
      expect((await getError(NAME, changes)).code).toBe("KEY_UNTRUSTED");
      expect(world.web.log).not.toContain(`GET ${KEY_URL}`);
      await get(NAME, { ...changes, insecure: { ...insecureTls, pubkey: true } });
    });

    test("does not take a key over http unless that is allowed too", async () => {
      await publish(world, { name: NAME }, { key, keyUrl: "http://example.com/keys.asc" });
      world.web.serve("http://example.com/keys.asc", key.armored);
      const review = async () => true;
      const http = { ...SECURE, http: true };
      expect((await getError(NAME, { review, insecure: http })).code).toBe("KEY_UNTRUSTED");
      expect(world.web.log).not.toContain("GET http://example.com/keys.asc");
      await get(NAME, { review, insecure: { ...http, pubkey: true } });
    });
  });
});
