// SPDX-License-Identifier: Apache-2.0
import { beforeAll, describe, expect, test } from "bun:test";
import * as pgp from "openpgp";
import { makeKey, refusal, type TestKey } from "./fixture.ts";
import { formatFingerprint, readPublicKeys } from "./public-keys.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
let alice: TestKey;
let bob: TestKey;
beforeAll(async () => {
  alice = await makeKey("alice");
  bob = await makeKey("bob", { type: "curve25519", subkeys: [{ sign: true }, {}] });
});

describe("readPublicKeys", () => {
  test("reads an armored key with its subkeys and identities", async () => {
    const [info] = await readPublicKeys(bytes(bob.armored));
    expect(info?.fingerprint).toBe(bob.fingerprint);
    expect(info?.fingerprint).toMatch(/^[0-9a-f]{40}$/);
    expect(info?.subkeyFingerprints).toEqual(
      bob.privateKey.subkeys.map((subkey) => subkey.getFingerprint()),
    );
    expect(info?.identities).toEqual(["bob <bob@example.com>"]);
  });

  test("reads binary and several keys, and gives each back on its own", async () => {
    const both = Buffer.concat([
      alice.privateKey.toPublic().write(),
      bob.privateKey.toPublic().write(),
    ]);
    const infos = await readPublicKeys(new Uint8Array(both));
    expect(infos.map((info) => info.fingerprint)).toEqual([alice.fingerprint, bob.fingerprint]);
    const again = await readPublicKeys(bytes(infos[1]?.armored ?? ""));
    expect(again.map((info) => info.fingerprint)).toEqual([bob.fingerprint]);
    const blocks = await readPublicKeys(bytes(`keys:\n${alice.armored}\nand\n${bob.armored}`));
    expect(blocks.map((info) => info.fingerprint)).toEqual([alice.fingerprint, bob.fingerprint]);
  });

  test("refuses a private key, armored or binary", async () => {
    const armored = bytes(alice.privateKey.armor());
    const binary = alice.privateKey.write();
    expect(await refusal(() => readPublicKeys(armored))).toBe("KEY_PRIVATE");
    expect(await refusal(() => readPublicKeys(binary))).toBe("KEY_PRIVATE");
  });

  test("refuses a weak key", async () => {
    const config = { minRSABits: 1024 };
    const weak = await makeKey("weak", { type: "rsa", rsaBits: 1024, subkeys: [], config });
    expect(readPublicKeys(bytes(weak.armored))).rejects.toThrow(
      "RSA keys of 1024 bits are no longer safe",
    );
  });

  test("refuses what is not a key, with a sentence and in time", async () => {
    const key = alice.privateKey.toPublic().write();
    const signature = pgp.armor(pgp.enums.armor.signature, key) as string;
    for (const junk of [
      new Uint8Array(),
      bytes("hello"),
      new Uint8Array([0x99]),
      new Uint8Array(100).fill(0xff),
      bytes(signature),
      bytes(alice.armored.replace(/\n=[\s\S]*/, "")),
      new Uint8Array((1 << 20) + 1),
      new Uint8Array(1 << 20).map((_, at) => (at % 2 === 0 ? 0x88 : 0)),
    ]) {
      expect(await refusal(() => readPublicKeys(junk))).toBe("KEY_MALFORMED");
    }
  });

  test("never hangs or crashes on a truncated key", async () => {
    const key = alice.privateKey.toPublic().write();
    for (let length = 0; length < key.length; length++) {
      const code = await refusal(() => readPublicKeys(key.slice(0, length)));
      // A cut between packets leaves a shorter key, which is harmless: it cannot verify anything.
      expect(["KEY_MALFORMED", "accepted"]).toContain(code);
    }
  });
});

test("formatFingerprint groups as people compare", () => {
  expect(formatFingerprint("18ad5014c99ef7e3ba5f6ce950bdd3e0fc8a365e")).toBe(
    "18AD 5014 C99E F7E3 BA5F  6CE9 50BD D3E0 FC8A 365E",
  );
});
