// SPDX-License-Identifier: Apache-2.0
// Against real GnuPG: what publishers sign with. Skipped where gpg is not installed.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  openImage,
  refusal,
  type TestImage,
  type TestKeystore,
  temporaryDirectory,
  testKeystore,
} from "./fixture.ts";
import { checkSigner, parseSignature, readPublicKeys, verifyImage } from "./index.ts";
import { parseKeys } from "./public-keys.ts";

const GPG = "/usr/bin/gpg";
const PREFIX = "example.com/app";

describe.skipIf(!existsSync(GPG))("signatures by GnuPG", () => {
  const directory = temporaryDirectory();
  const home = join(directory.path, "home");
  const imagePath = join(directory.path, "image.aci");
  let image: TestImage;

  function gpg(args: readonly string[], input = ""): string {
    const env = { GNUPGHOME: home, PATH: "/usr/bin:/bin", LC_ALL: "C" };
    const { stdout, stderr, exitCode } = Bun.spawnSync(
      [GPG, "--batch", "--yes", "--no-tty", "--pinentry-mode=loopback", "--passphrase=", ...args],
      { env, stdin: Buffer.from(input) },
    );
    if (exitCode !== 0) throw new Error(`gpg ${args.join(" ")}: ${stderr.toString()}`);
    return stdout.toString("latin1");
  }

  /** Makes a key pair and returns its fingerprint. */
  function makeKey(name: string, algorithm: string, more: readonly string[] = []): string {
    gpg([...more, "--quick-generate-key", name, algorithm, "sign", "never"]);
    return fingerprints(name)[0] ?? "";
  }

  /** Of the primary key and the subkeys, in the order of the key. */
  function fingerprints(name: string): string[] {
    return gpg(["--with-colons", "--list-keys", name])
      .split("\n")
      .filter((line) => line.startsWith("fpr:"))
      .map((line) => line.split(":")[9]?.toLowerCase() ?? "");
  }

  const exportKey = (name: string, more: readonly string[] = ["--armor"]) =>
    Buffer.from(gpg([...more, "--export", name]), "latin1");

  function sign(name: string, more: readonly string[] = ["--armor"]): Uint8Array {
    const out = join(directory.path, "signature");
    gpg([...more, "--local-user", name, "--output", out, "--detach-sign", imagePath]);
    return readFileSync(out);
  }

  async function trusting(key: Uint8Array): Promise<TestKeystore> {
    const own = testKeystore(join(directory.path, crypto.randomUUID()));
    await own.keystore.addPrefixKey("example.com", key);
    return own;
  }

  async function verify(store: TestKeystore, signature: Uint8Array, raw = image) {
    const parsed = await parseSignature(signature);
    const keys = await store.keystore.keysFor(PREFIX);
    checkSigner(parsed, keys, PREFIX);
    return await verifyImage({ raw, signature: parsed, keys, prefix: PREFIX });
  }

  beforeAll(() => {
    mkdirSync(home, { mode: 0o700 });
    // 20 MB that differ in every block.
    const content = Buffer.alloc(20_000_000);
    for (let at = 0; at < content.length; at += 64) {
      createHash("sha512").update(String(at)).digest().copy(content, at);
    }
    writeFileSync(imagePath, content);
    image = openImage(imagePath);
    makeKey("rsa", "rsa2048");
    makeKey("ed25519", "ed25519");
  }, 60_000);

  afterAll(() => {
    Bun.spawnSync(["/usr/bin/gpgconf", "--kill", "all"], { env: { GNUPGHOME: home } });
    image[Symbol.dispose]();
    directory[Symbol.dispose]();
  });

  test.each(["rsa", "ed25519"])(
    "an %s key: armored and binary, key and signature",
    async (name) => {
      for (const keyForm of [["--armor"], []]) {
        const store = await trusting(exportKey(name, keyForm));
        for (const form of [["--armor"], []]) {
          const { verification } = await verify(store, sign(name, form));
          expect(verification).toMatchObject({
            fingerprint: fingerprints(name)[0],
            identities: [name],
          });
        }
      }
    },
  );

  test.each(["SHA224", "SHA256", "SHA384", "SHA512"])("the hash %s", async (hash) => {
    const signature = sign("rsa", ["--digest-algo", hash]);
    expect((await parseSignature(signature)).hashNames).toEqual([hash.toLowerCase() as "sha256"]);
    await verify(await trusting(exportKey("rsa")), signature);
  });

  test("the hash SHA-1 is refused", async () => {
    const store = await trusting(exportKey("rsa"));
    const signature = sign("rsa", ["--digest-algo", "SHA1"]);
    expect(await refusal(() => verify(store, signature))).toBe("SIGNATURE_HASH_WEAK");
  });

  test("a changed image of the same size is refused", async () => {
    const content = readFileSync(imagePath);
    content[10_000_000] = (content[10_000_000] ?? 0) ^ 1;
    const path = join(directory.path, "changed.aci");
    writeFileSync(path, content);
    using changed = openImage(path);
    for (const name of ["rsa", "ed25519"]) {
      const store = await trusting(exportKey(name));
      expect(await refusal(() => verify(store, sign(name), changed))).toBe("SIGNATURE_INVALID");
    }
  });

  test("another key is unknown", async () => {
    const store = await trusting(exportKey("rsa"));
    expect(await refusal(() => verify(store, sign("ed25519")))).toBe("KEY_UNTRUSTED");
  });

  test("a signing subkey", async () => {
    const primary = makeKey("with-subkey", "rsa2048");
    gpg(["--quick-add-key", primary, "ed25519", "sign", "never"]);
    const store = await trusting(exportKey("with-subkey"));
    const subkey = fingerprints("with-subkey")[1] ?? "";
    const signature = sign(`${subkey}!`);
    expect((await parseSignature(signature)).signatures[0]?.keyFingerprint).toBe(subkey);
    const { verification } = await verify(store, signature);
    expect(verification).toMatchObject({ fingerprint: primary });
    const [info] = await readPublicKeys(exportKey("with-subkey"));
    expect(info?.subkeyFingerprints).toEqual([subkey]);
    // The primary key may sign as well.
    await verify(store, sign(`${primary}!`));
  });

  test("a subkey of a primary key that may only certify", async () => {
    gpg(["--quick-generate-key", "certify", "rsa2048", "cert", "never"]);
    gpg(["--quick-add-key", fingerprints("certify")[0] ?? "", "rsa2048", "sign", "never"]);
    const { verification } = await verify(await trusting(exportKey("certify")), sign("certify"));
    expect(verification).toMatchObject({ fingerprint: fingerprints("certify")[0] });
  });

  test("a key that has expired, for a signature from before", async () => {
    const then = "--faked-system-time=20200101T000000!";
    gpg([then, "--quick-generate-key", "expired", "ed25519", "sign", "1y"]);
    const signature = sign("expired", [then]);
    const store = await trusting(exportKey("expired"));
    expect(await refusal(() => verify(store, signature))).toBe("KEY_EXPIRED");
    expect(verify(store, signature)).rejects.toThrow(
      /^key [0-9a-f]{40} of "expired" expired on 20\d\d-\d\d-\d\dT00:00:00Z$/,
    );
    // Renewed by its owner: good again.
    gpg(["--quick-set-expire", fingerprints("expired")[0] ?? "", "0"]);
    await verify(await trusting(exportKey("expired")), signature);
    await verify(
      await trusting(exportKey("expired", ["--export-options=export-clean"])),
      signature,
    );
  });

  test("a signature that has expired", async () => {
    const then = "--faked-system-time=20200101T000000!";
    gpg([then, "--quick-generate-key", "shortlived", "ed25519", "sign", "never"]);
    const signature = sign("shortlived", [then, "--default-sig-expire=2d"]);
    const store = await trusting(exportKey("shortlived"));
    expect(verify(store, signature)).rejects.toThrow("expired on 2020-01-03T00:00:00Z");
    expect(await refusal(() => verify(store, signature))).toBe("SIGNATURE_EXPIRED");
  });

  test("a signature from the future", async () => {
    const signature = sign("rsa", ["--faked-system-time=20991231T000000!"]);
    const store = await trusting(exportKey("rsa"));
    expect(await refusal(() => verify(store, signature))).toBe("SIGNATURE_FUTURE");
  });

  test("a revoked key", async () => {
    const primary = makeKey("revoked", "ed25519");
    const signature = sign("revoked");
    await verify(await trusting(exportKey("revoked")), signature);
    const folder = join(home, "openpgp-revocs.d");
    const file = readdirSync(folder).find((name) => name.toLowerCase().startsWith(primary)) ?? "";
    // GnuPG puts a colon before the armor so that it is not imported by mistake.
    gpg(
      ["--import"],
      readFileSync(join(folder, file), "utf8").replace(":-----BEGIN", "-----BEGIN"),
    );
    const store = await trusting(exportKey("revoked"));
    expect(await refusal(() => verify(store, signature))).toBe("KEY_REVOKED");
  });

  test("concatenated signatures: one trusted is enough", async () => {
    const store = await trusting(exportKey("ed25519"));
    const both = new Uint8Array(Buffer.concat([sign("rsa"), sign("ed25519")]));
    await verify(store, both);
    gpg([
      "--local-user=rsa",
      "--local-user=ed25519",
      "--output",
      join(directory.path, "two"),
      "--detach-sign",
      imagePath,
    ]);
    await verify(store, readFileSync(join(directory.path, "two")));
  });

  test("a DSA key cannot be trusted, and its signature is refused", async () => {
    makeKey("dsa", "dsa2048");
    expect(await refusal(() => trusting(exportKey("dsa")))).toBe("KEY_WEAK");
    const parsed = await parseSignature(sign("dsa"));
    const [key] = await parseKeys(exportKey("dsa"));
    if (key === undefined) throw new Error("no key");
    const trusted = { fingerprint: key.getFingerprint(), identities: [], path: "", key };
    const keys = { prefix: PREFIX, keys: [trusted] };
    expect(() => checkSigner(parsed, keys, PREFIX)).toThrow(
      "signature was made by a key of the kind DSA, which is no longer safe",
    );
  }, 60_000);

  test("a clear-signed or inline-signed file is not a detached signature", async () => {
    for (const mode of ["--clear-sign", "--sign"]) {
      const out = join(directory.path, "inline");
      gpg(["--local-user=ed25519", "--output", out, mode, "-"], "hello\n");
      expect(await refusal(() => parseSignature(readFileSync(out)))).toStartWith("SIGNATURE_");
    }
  });

  test("never accepts a changed RSA signature", async () => {
    const store = await trusting(exportKey("rsa"));
    const signature = sign("rsa", []);
    for (let at = 0; at < signature.length; at++) {
      const changed = Uint8Array.from(signature);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      if ((await refusal(() => verify(store, changed))) === "accepted") {
        throw new Error(`accepted with byte ${at} changed`);
      }
    }
  }, 60_000);
});
