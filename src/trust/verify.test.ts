// SPDX-License-Identifier: Apache-2.0
// The whole way from files to a VerifiedImage, with keys and signatures made by OpenPGP.js.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import * as pgp from "openpgp";
import {
  armor,
  makeKey,
  refusal,
  sign,
  type TestImage,
  type TestKey,
  type TestKeystore,
  temporaryDirectory,
  testKeystore,
  writeImage,
} from "./fixture.ts";
import {
  acceptUnverified,
  assertVerified,
  checkSigner,
  parseSignature,
  signerHint,
  type VerifiedImage,
  verifyImage,
} from "./index.ts";

const PREFIX = "example.com/app";
const CONTENT = "the image";
const HOUR = 3_600_000;
const ago = (hours: number) => new Date(Date.now() - hours * HOUR);

const directory = temporaryDirectory();
let store: TestKeystore;
let image: TestImage;
let alice: TestKey;
let mallory: TestKey;
let signature: Uint8Array;

beforeAll(async () => {
  store = testKeystore(directory.path);
  image = writeImage(directory.path, CONTENT);
  alice = await makeKey("alice", { date: ago(2000) });
  mallory = await makeKey("mallory");
  await store.keystore.addPrefixKey("example.com", alice.armored);
  signature = await sign(alice, CONTENT);
});
afterAll(() => {
  image[Symbol.dispose]();
  directory[Symbol.dispose]();
});

interface Check {
  readonly signature?: Uint8Array | string;
  readonly image?: TestImage;
  readonly store?: TestKeystore;
  readonly now?: Date;
}

/** Exactly what fetch does, in its order. */
async function verify(check: Check = {}): Promise<VerifiedImage> {
  const file = check.signature ?? signature;
  const parsed = await parseSignature(typeof file === "string" ? Buffer.from(file) : file);
  const keys = await (check.store ?? store).keystore.keysFor(PREFIX);
  checkSigner(parsed, keys, PREFIX);
  return await verifyImage({
    raw: check.image ?? image,
    signature: parsed,
    keys,
    prefix: PREFIX,
    ...(check.now === undefined ? {} : { now: check.now }),
  });
}

/** A keystore that trusts exactly these keys. */
async function trusting(...keys: (TestKey | string)[]): Promise<TestKeystore> {
  const own = testKeystore(`${directory.path}/${crypto.randomUUID()}`);
  for (const key of keys) {
    await own.keystore.addRootKey(typeof key === "string" ? key : key.armored);
  }
  return own;
}

describe("verifyImage", () => {
  test("accepts a good signature and says who made it", async () => {
    for (const file of [signature, await armor(signature)]) {
      const verified = await verify({ signature: file });
      expect(verified.raw).toBe(image);
      expect(verified.verification).toMatchObject({
        kind: "openpgp",
        fingerprint: alice.fingerprint,
        identities: ["alice <alice@example.com>"],
        prefix: PREFIX,
      });
      expect(() => assertVerified(verified)).not.toThrow();
    }
  });

  test.each<[string, Partial<Parameters<typeof pgp.generateKey>[0]>]>([
    ["an Ed25519 subkey", { subkeys: [{ sign: true }] }],
    ["an RSA key", { type: "rsa", rsaBits: 2048, subkeys: [] }],
    ["a NIST P-256 key", { type: "ecc", curve: "nistP256" }],
    ["a NIST P-521 key", { type: "ecc", curve: "nistP521" }],
    ["a Brainpool key", { type: "ecc", curve: "brainpoolP256r1" }],
    ["a new-format Ed25519 key", { type: "curve25519" }],
    ["a new-format Ed448 key", { type: "curve448" }],
    ["a version 6 key", { type: "curve25519", config: { v6Keys: true } }],
  ])("accepts %s, and nothing else by it", async (name, options) => {
    const key = await makeKey("signer", options);
    const own = await trusting(key);
    const made = await sign(key, CONTENT);
    const verified = await verify({ signature: made, store: own });
    expect(verified.verification).toMatchObject({ fingerprint: key.fingerprint });
    using other = writeImage(directory.path, `${CONTENT} of ${name}`);
    expect(await refusal(() => verify({ signature: made, store: own, image: other }))).toBe(
      "SIGNATURE_INVALID",
    );
  });

  test.each(["sha256", "sha384", "sha512", "sha3_256", "sha3_512"] as const)(
    "accepts the hash %s",
    async (hash) => {
      const preferredHashAlgorithm = pgp.enums.hash[hash];
      // The key's own preferences would win over the setting.
      const config = { preferredHashAlgorithm };
      const key = await makeKey("hasher", { config, type: "curve25519" });
      const made = await sign(key, CONTENT, { config });
      const parsed = await parseSignature(made);
      expect(parsed.hashNames).toEqual([hash.replace("_", "-") as "sha256"]);
      await verify({ signature: made, store: await trusting(key) });
    },
  );

  test("refuses another image, a shorter one, a longer one, an empty one", async () => {
    for (const content of ["the imagf", "the imag", "the image ", ""]) {
      using other = writeImage(directory.path, content);
      expect(await refusal(() => verify({ image: other }))).toBe("SIGNATURE_INVALID");
    }
    expect(verify({ signature: await sign(alice, "x") })).rejects.toThrow(
      `signature does not match the image: key ${alice.fingerprint} of "alice <alice@example.com>" signed other content`,
    );
  });

  test("never accepts a signature with any bit or byte changed", async () => {
    for (const file of [signature, Buffer.from(await armor(signature))]) {
      for (let at = 0; at < file.length; at++) {
        for (const mask of [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
          const changed = Uint8Array.from(file);
          changed[at] = (changed[at] ?? 0) ^ mask;
          const code = await refusal(() => verify({ signature: changed }));
          if (code === "accepted") throw new Error(`accepted with byte ${at} ^ ${mask}`);
        }
      }
    }
  }, 60_000);

  test("never accepts a truncated or lengthened signature", async () => {
    const armored = Buffer.from(await armor(signature));
    // Only the final newline of the armor may be missing.
    for (const [file, last] of [
      [signature, 0],
      [armored, 1],
    ] as const) {
      for (let length = 0; length < file.length - last; length++) {
        const code = await refusal(() => verify({ signature: file.subarray(0, length) }));
        expect(code).toStartWith("SIGNATURE_");
      }
      for (const extra of [0, 0x41, 0x88, 0xff]) {
        const longer = Buffer.concat([file, Buffer.from([extra])]);
        expect(await refusal(() => verify({ signature: longer }))).toStartWith("SIGNATURE_");
      }
    }
  });

  test("judges a signature by the time that it is given", async () => {
    expect(await refusal(() => verify({ now: ago(2) }))).toBe("SIGNATURE_FUTURE");
    expect(await refusal(() => verify({ now: new Date(Date.now() - 30_000) }))).toBe("accepted");
    const future = await sign(alice, CONTENT, { date: new Date(Date.now() + HOUR) });
    expect(await refusal(() => verify({ signature: future }))).toBe("SIGNATURE_FUTURE");
  });

  test("takes a key and signature made moments ago by a clock that is ahead", async () => {
    const date = new Date(Date.now() + 20_000);
    const key = await makeKey("hasty", { date });
    const made = await sign(key, CONTENT, { date });
    await verify({ signature: made, store: await trusting(key) });
  });

  test("refuses an expired key, also for a signature from its good days", async () => {
    const key = await makeKey("late", { date: ago(100), keyExpirationTime: 50 * 3600 });
    const made = await sign(key, CONTENT, { date: ago(90) });
    const own = await trusting(key);
    expect(await refusal(() => verify({ signature: made, store: own }))).toBe("KEY_EXPIRED");
    expect(await refusal(() => verify({ signature: made, store: own, now: ago(89) }))).toBe(
      "accepted",
    );
  });

  test("accepts an old signature by a key that was renewed and cleaned since", async () => {
    const key = await makeKey("renewed", { date: ago(100), keyExpirationTime: 50 * 3600 });
    const made = await sign(key, CONTENT, { date: ago(90) });
    const { privateKey } = await pgp.reformatKey({
      privateKey: key.privateKey,
      userIDs: [{ name: "renewed" }],
      date: ago(1),
      format: "object",
    });
    const own = await trusting(privateKey.toPublic().armor());
    await verify({ signature: made, store: own });
  });

  test("refuses a revoked key", async () => {
    const key = await makeKey("gone", { date: ago(10) });
    const made = await sign(key, CONTENT, { date: ago(5) });
    const { publicKey } = await pgp.revokeKey({ key: key.privateKey, format: "object" });
    expect(
      await refusal(async () =>
        verify({ signature: made, store: await trusting(publicKey.armor()) }),
      ),
    ).toBe("KEY_REVOKED");
  });

  test("refuses a revoked subkey of a living key", async () => {
    const key = await makeKey("sub", { date: ago(10), subkeys: [{ sign: true }] });
    const made = await sign(key, CONTENT, { date: ago(5) });
    const [subkey] = key.privateKey.subkeys;
    if (subkey === undefined) throw new Error("no subkey");
    key.privateKey.subkeys[0] = await subkey.revoke(
      key.privateKey.keyPacket as pgp.SecretKeyPacket,
    );
    const own = await trusting(key.privateKey.toPublic().armor());
    expect(await refusal(() => verify({ signature: made, store: own }))).toBe("KEY_REVOKED");
  });

  test("refuses a subkey that is not bound to the trusted key", async () => {
    const victim = await makeKey("victim");
    const thief = await makeKey("thief", { subkeys: [{ sign: true }] });
    const made = await sign(thief, CONTENT);
    const forged = victim.privateKey.toPublic();
    forged.subkeys.push(...thief.privateKey.toPublic().subkeys);
    const own = await trusting(forged.armor());
    expect(await refusal(() => verify({ signature: made, store: own }))).toBe("KEY_INVALID");
  });

  test("refuses an encryption subkey that signs", async () => {
    const key = await makeKey("encrypter", {
      type: "rsa",
      rsaBits: 2048,
      subkeys: [{ type: "rsa", rsaBits: 2048 }],
    });
    const [subkey] = key.privateKey.subkeys;
    const message = await pgp.createMessage({ binary: new TextEncoder().encode(CONTENT) });
    const packet = new pgp.SignaturePacket();
    packet.signatureType = pgp.enums.signature.binary;
    packet.publicKeyAlgorithm = pgp.enums.publicKey.rsaEncryptSign;
    packet.hashAlgorithm = pgp.enums.hash.sha512;
    // The library's types miss the fifth parameter.
    const make = packet.sign as (...args: unknown[]) => Promise<void>;
    await make.call(packet, subkey?.keyPacket, message.packets[0], new Date(), true, pgp.config);
    const packets = new pgp.PacketList<pgp.SignaturePacket>();
    packets.push(packet);
    const own = await trusting(key);
    const made = packets.write() as Uint8Array;
    expect(await refusal(() => verify({ signature: made, store: own }))).toBe("KEY_INVALID");
  });

  test("refuses a weak RSA key that is already in the keystore", async () => {
    const config = { minRSABits: 1024 };
    const weak = await makeKey("weak", { type: "rsa", rsaBits: 1024, subkeys: [], config });
    const made = await sign(weak, CONTENT, { config });
    const keys = await keysOf(weak);
    const parsed = await parseSignature(made);
    expect(
      await refusal(() => verifyImage({ raw: image, signature: parsed, keys, prefix: PREFIX })),
    ).toBe("KEY_WEAK");
  });

  test("accepts one good signature among others, in any order", async () => {
    const stranger = await sign(mallory, CONTENT);
    const wrong = await sign(alice, "something else");
    for (const parts of [
      [stranger, signature],
      [signature, stranger],
      [wrong, signature],
      [signature, wrong, stranger],
    ]) {
      await verify({ signature: new Uint8Array(Buffer.concat(parts)) });
      const armored = await Promise.all(parts.map(armor));
      await verify({ signature: armored.join("") });
    }
    expect(
      await refusal(() => verify({ signature: new Uint8Array(Buffer.concat([stranger, wrong])) })),
    ).toBe("SIGNATURE_INVALID");
  });

  test("bounds the number of signatures", async () => {
    const many = Buffer.concat(Array.from({ length: 17 }, () => signature));
    expect(await refusal(() => verify({ signature: new Uint8Array(many) }))).toBe(
      "SIGNATURE_MALFORMED",
    );
    expect(await refusal(() => verify({ signature: new Uint8Array(1 << 19) }))).toBe(
      "SIGNATURE_MALFORMED",
    );
  });

  test("says when the image cannot be read to its end", async () => {
    const raw = { ...image, size: image.size + 1 };
    const parsed = await parseSignature(await sign(await makeV6(), CONTENT));
    const keys = await keysOf(await makeV6());
    expect(await refusal(() => verifyImage({ raw, signature: parsed, keys, prefix: PREFIX }))).toBe(
      "IMAGE_UNREADABLE",
    );
  });
});

let v6: Promise<TestKey> | undefined;
function makeV6(): Promise<TestKey> {
  v6 ??= makeKey("six", { type: "curve25519", config: { v6Keys: true } });
  return v6;
}

async function keysOf(key: TestKey) {
  const own = testKeystore(`${directory.path}/${crypto.randomUUID()}`);
  const root = `${own.local}/trustedkeys/root.d`;
  mkdirSync(root, { recursive: true });
  writeFileSync(`${root}/${key.fingerprint}`, key.armored);
  return await own.keystore.keysFor(PREFIX);
}

describe("checkSigner", () => {
  test("refuses an unknown signer with rkt's hint, before there is an image", async () => {
    const parsed = await parseSignature(await sign(mallory, CONTENT));
    const keys = await store.keystore.keysFor(PREFIX);
    expect(() => checkSigner(parsed, keys, PREFIX)).toThrow(
      `signature made by unknown entity ${mallory.fingerprint}: none of the keys trusted for "${PREFIX}" made it`,
    );
    const empty = await testKeystore(`${directory.path}/empty`).keystore.keysFor(PREFIX);
    expect(() => checkSigner(parsed, empty, PREFIX)).toThrow(`no key is trusted for "${PREFIX}"`);
    expect(signerHint(PREFIX)).toEqual([
      "if you expected the signing key to change, try running:",
      '    rkt trust --prefix "example.com/app"',
    ]);
  });

  test("refuses a weak hash by a known signer", async () => {
    const config = {
      preferredHashAlgorithm: pgp.enums.hash.sha1,
      rejectMessageHashAlgorithms: new Set<pgp.enums.hash>(),
      rejectHashAlgorithms: new Set<pgp.enums.hash>(),
      nonDeterministicSignaturesViaNotation: false,
    };
    const key = await makeKey("old", { config, type: "rsa", rsaBits: 2048, subkeys: [] });
    const made = await sign(key, CONTENT, { config });
    const own = await trusting(key);
    expect(await refusal(() => verify({ signature: made, store: own }))).toBe(
      "SIGNATURE_HASH_WEAK",
    );
    expect(verify({ signature: made, store: own })).rejects.toThrow(
      "signature uses the hash SHA-1, which is no longer safe",
    );
  });

  test("refuses a signature over text", async () => {
    const message = await pgp.createMessage({ text: CONTENT });
    const made = await pgp.sign({
      message,
      signingKeys: alice.privateKey,
      detached: true,
      format: "binary",
    });
    expect(await refusal(() => verify({ signature: made as Uint8Array }))).toBe(
      "SIGNATURE_UNSUPPORTED",
    );
  });
});

describe("parseSignature", () => {
  const NONE = "keystore: no valid signatures found in signature file";
  test.each<[string, () => Uint8Array | string, string, string]>([
    ["an empty file", () => "", "SIGNATURE_NONE", NONE],
    ["a web page", () => "<html>not found</html>", "SIGNATURE_NONE", NONE],
    ["a public key", () => alice.armored, "SIGNATURE_NONE", NONE],
    [
      "broken armor",
      () => "-----BEGIN PGP SIGNATURE-----\n\nabc\n",
      "SIGNATURE_MALFORMED",
      "signature file has broken armor",
    ],
    [
      "broken packets",
      () => signature.subarray(0, 20),
      "SIGNATURE_MALFORMED",
      "signature file is broken",
    ],
    [
      "a version 3 signature",
      () => new Uint8Array([0x88, 3, 3, 5, 0]),
      "SIGNATURE_UNSUPPORTED",
      "signature file holds a signature of version 3: only versions 4 and 6 are supported",
    ],
  ])("refuses %s", async (_, file, code, message) => {
    const content = file();
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    expect(await refusal(() => parseSignature(bytes))).toBe(code);
    expect(parseSignature(bytes)).rejects.toThrow(message);
  });
});

describe("the gate", () => {
  test("lets an unverified image through by name, and remembers why", () => {
    const accepted = acceptUnverified(image, "--insecure-options=image");
    expect(accepted.verification).toMatchObject({
      kind: "unverified",
      reason: "--insecure-options=image",
    });
    expect(() => assertVerified(accepted)).not.toThrow();
  });

  test("finds a forged value at run time", async () => {
    const verified = await verify();
    expect(() => assertVerified({ ...verified })).toThrow("past the trust gate");
  });

  test("cannot be changed afterwards", async () => {
    const verified = await verify();
    expect(() => Object.assign(verified, { raw: null })).toThrow();
  });
});
