// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { failure } from "../store/test-images.ts";
import { formatFingerprint } from "../trust/index.ts";
import { makeKey, openWorld, type TestKey, type World } from "./fixture.ts";

import { discoverPublicKeys, downloadPublicKey, type TrustOptions, trustKeys } from "./pubkeys.ts";
import { reviewOn } from "./review.ts";

const PREFIX = "example.com/app";
const URL_ = "https://example.com/key.asc";

describe("rkt trust", () => {
  let key: TestKey;
  let world: World;
  let said: string[];
  beforeAll(async () => {
    key = await makeKey("publisher");
  });
  beforeEach(async () => {
    world = await openWorld();
    said = [];
    world.web.serve(URL_, key.armored);
  });
  afterEach(() => world[Symbol.dispose]());
  const network = (allowHttp = false) => ({ context: world.context(), allowHttp });
  const trust = (changes: Partial<TrustOptions>) =>
    trustKeys({
      ...network(),
      keystore: world.keystore,
      prefix: PREFIX,
      locations: [URL_],
      automatic: false,
      skipReview: false,
      trustKeysFromHttps: false,
      review: async () => true,
      say: (text) => said.push(text),
      ...changes,
    });
  const keyPath = (...parts: readonly string[]) =>
    join(world.dir, "etc", "trustedkeys", ...parts, key.fingerprint);

  test("shows a key, asks, and trusts it for the prefix", async () => {
    await trust({});
    expect(world.report.lines).toEqual([`pubkey: prefix: "${PREFIX}"\nkey: "${URL_}"`]);
    expect(said[0]?.split("\n")).toEqual([
      `gpg key fingerprint is: ${formatFingerprint(key.fingerprint)}`,
      expect.stringMatching(/^ {4}Subkey fingerprint: ([0-9A-F]{4} ){5} ([0-9A-F]{4} ?){5}$/),
      "\tpublisher <publisher@example.com>",
    ]);
    const path = keyPath("prefix.d", PREFIX);
    expect(said.slice(1)).toEqual([
      `Trusting "${URL_}" for prefix "${PREFIX}" after fingerprint review.`,
      `Added key for prefix "${PREFIX}" at "${path}"`,
    ]);
    expect(existsSync(path)).toBe(true);
  });

  test("trusts a root key from a file without a review when told so", async () => {
    const file = world.file("key.asc", key.armored);
    await trust({ prefix: undefined, locations: [file], skipReview: true, review: undefined });
    expect(said.slice(1)).toEqual([
      `Trusting "${file}" for prefix "" without fingerprint review.`,
      `Added root key at "${keyPath("root.d")}"`,
    ]);
  });

  test("replaces the mask of a key that a person asks for, and says so", async () => {
    const mask = keyPath("prefix.d", PREFIX);
    mkdirSync(dirname(mask), { recursive: true });
    writeFileSync(mask, "");
    await trust({});
    expect(said).toContain(
      `Key ${key.fingerprint} was masked for prefix "${PREFIX}"; it is trusted again.`,
    );
    expect(world.keystore.isMasked(PREFIX, key.fingerprint)).toBe(false);
    expect(world.keystore.hasKeyFor(PREFIX)).toBe(true);
  });

  test("goes on to the next key after a no", async () => {
    const file = world.file("key.asc", key.armored);
    const review = async ({ location }: { readonly location: string }) => location === file;
    await trust({ locations: [URL_, file], review });
    expect(world.report.lines).toContain(`pubkey: not trusting "${URL_}"`);
    expect(said.at(-1)).toStartWith("Added key");
  });

  test("fails without a terminal, with two hints", async () => {
    const error = await failure(() => trust({ review: undefined }));
    expect(error.message).toBe(
      "error reviewing key: unable to ask user to review fingerprint due to lack of tty",
    );
    expect(error.code).toBe("REVIEW_IMPOSSIBLE");
    expect(world.report.lines.slice(-2)).toEqual([
      "pubkey:  - call rkt with --trust-keys-from-https",
      `pubkey:  - run: rkt trust --prefix "${PREFIX}"`,
    ]);
    expect(world.keystore.hasKeyFor(PREFIX)).toBe(false);
  });

  test("names the flag for a file, and no empty prefix for a root key", async () => {
    const file = world.file("key.asc", key.armored);
    await failure(() => trust({ locations: [file], review: undefined }));
    expect(world.report.lines.slice(-3)).toEqual([
      `pubkey: to trust the key for "${PREFIX}", do one of the following:`,
      "pubkey:  - call rkt trust with --skip-fingerprint-review, after comparing the fingerprint",
      `pubkey:  - run on a terminal: rkt trust --prefix "${PREFIX}" PUBKEY`,
    ]);
    await failure(() => trust({ prefix: undefined, review: undefined }));
    expect(world.report.lines.slice(-3)).toEqual([
      "pubkey: to trust the key for every image, do one of the following:",
      "pubkey:  - call rkt with --trust-keys-from-https",
      "pubkey:  - run: rkt trust --root PUBKEY",
    ]);
  });

  test("reviews a key from a file although keys from https are trusted", async () => {
    const file = world.file("key.asc", key.armored);
    const error = await failure(() =>
      trust({ locations: [file], trustKeysFromHttps: true, review: undefined }),
    );
    expect(error.code).toBe("REVIEW_IMPOSSIBLE");
  });

  test("finds keys by discovery", async () => {
    world.web.serve(
      "https://example.com/?ac-discovery=1",
      `<meta name="ac-discovery-pubkeys" content="example.com ${URL_}">
       <meta name="ac-discovery-pubkeys" content="other.test https://other.test/key">`,
    );
    expect(await discoverPublicKeys(PREFIX, network())).toEqual([URL_]);
  });

  test("says that it cannot find out where the keys are", async () => {
    const error = await failure(() => discoverPublicKeys(PREFIX, network()));
    expect(error.message).toBe("error determining key location");
    expect((error.cause as Error).message).toStartWith(`discovery failed for "${PREFIX}": `);
    expect(error.code).toBe("KEY_LOCATION");
    expect((await failure(() => discoverPublicKeys("", network()))).message).toBe(
      "ACIdentifier cannot be empty",
    );
  });

  test("takes a key over http only when that is allowed", async () => {
    world.web.serve("http://example.com/key.asc", key.armored);
    const error = await failure(() => downloadPublicKey("http://example.com/key.asc", network()));
    expect(error.message).toBe("--insecure-allow-http required for http URLs");
    expect(error.code).toBe("KEY_LOCATION");
    expect(world.web.log).toEqual([]);
    await downloadPublicKey("http://example.com/key.asc", network(true));
  });

  test("is not led from https to http", async () => {
    world.web.serve(URL_, (_, r) => r.send(302, { Location: "http://example.com/key.asc" }));
    expect((await failure(() => trust({}))).code).toBe("REDIRECT_REFUSED");
  });

  test.each(["ftp://example.com/key", "file:///key"])(
    "does not know places like %p",
    async (place) => {
      const error = await failure(() => downloadPublicKey(place, network()));
      expect(error.message).toBe("only local files and http or https URLs supported");
    },
  );

  test("says that a key file is missing, and that a server does not have it", async () => {
    const missing = await failure(() => downloadPublicKey("/nonexistent/key", network()));
    expect(missing.message).toBe('error opening key file "/nonexistent/key"');
    const error = await failure(() => downloadPublicKey("https://example.com/none", network()));
    expect(error.message).toBe(
      'error downloading the key from "https://example.com/none": bad HTTP status code: 404',
    );
  });

  test("refuses what is no key, or too much of it", async () => {
    world.web.serve(URL_, "<html>");
    expect((await failure(() => trust({}))).code).toBe("KEY_MALFORMED");
    world.web.serve(URL_, Buffer.alloc(20 << 20));
    expect((await failure(() => trust({}))).code).toBe("TOO_LARGE");
  });

  test("asks until the answer is yes or no", async () => {
    const written: string[] = [];
    const ask = (...answers: string[]) =>
      reviewOn({ write: (text) => written.push(text), readLine: () => answers.shift() })({
        prefix: PREFIX,
        location: URL_,
        fingerprints: [],
      });
    expect(await ask("Y", "yes")).toBe(true);
    expect(written).toEqual([
      "Are you sure you want to trust this key (yes/no)?\n",
      "Please enter 'yes' or 'no'\n",
    ]);
    expect(await ask("no")).toBe(false);
    expect(await ask()).toBe(false);
  });
});
