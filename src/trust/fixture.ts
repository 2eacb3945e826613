// SPDX-License-Identifier: Apache-2.0
// For the tests of this folder: images on disk, keys and signatures by OpenPGP.js, keystores.
import { createHash } from "node:crypto";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pgp from "openpgp";
import { hashFile } from "./document-hash.ts";
import { TrustError } from "./errors.ts";
import { type Keystore, openKeystore } from "./keystore.ts";
import type { RawImage } from "./raw-image.ts";

/** A directory that goes away with its scope. */
export function temporaryDirectory(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "trust-test-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export interface TestImage extends RawImage, Disposable {}

export function openImage(path: string): TestImage {
  const fd = openSync(path, "r");
  const size = statSync(path).size;
  const known = new Map<string, ReturnType<typeof hashFile>>();
  return {
    path,
    fd,
    size,
    hash: (name) => {
      const hash = known.get(name) ?? hashFile({ path, fd, size }, createHash(name));
      known.set(name, hash);
      return hash;
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

export function writeImage(directory: string, content: string | Uint8Array): TestImage {
  const path = join(directory, `image-${createHash("sha256").update(content).digest("hex")}.aci`);
  writeFileSync(path, content);
  return openImage(path);
}

export interface TestKeystore {
  readonly keystore: Keystore;
  readonly system: string;
  readonly local: string;
}

export function testKeystore(directory: string): TestKeystore {
  const system = join(directory, "usr");
  const local = join(directory, "etc");
  mkdirSync(system, { recursive: true });
  mkdirSync(local, { recursive: true });
  return { system, local, keystore: openKeystore({ systemConfig: system, localConfig: local }) };
}

export interface TestKey {
  readonly privateKey: pgp.PrivateKey;
  readonly armored: string;
  readonly fingerprint: string;
}

export async function makeKey(
  name: string,
  options: Partial<Parameters<typeof pgp.generateKey>[0]> = {},
): Promise<TestKey> {
  const { privateKey } = await pgp.generateKey({
    type: "ecc",
    curve: "ed25519Legacy",
    userIDs: [{ name, email: `${name}@example.com` }],
    ...options,
    format: "object",
  });
  const key = privateKey as pgp.PrivateKey;
  return {
    privateKey: key,
    armored: key.toPublic().armor(),
    fingerprint: key.getFingerprint(),
  };
}

export async function sign(
  key: TestKey,
  content: string | Uint8Array,
  options: { readonly date?: Date; readonly config?: pgp.PartialConfig } = {},
): Promise<Uint8Array> {
  const message = await pgp.createMessage({
    binary: typeof content === "string" ? new TextEncoder().encode(content) : content,
  });
  const signature = await pgp.sign({
    message,
    signingKeys: key.privateKey,
    detached: true,
    format: "binary",
    ...options,
  });
  return signature as Uint8Array;
}

export async function armor(binary: Uint8Array): Promise<string> {
  return (await pgp.readSignature({ binarySignature: binary })).armor();
}

/** The code of the TrustError that `work` fails with; "accepted" when it does not fail. */
export async function refusal(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof TrustError) return error.code;
    throw error;
  }
  return "accepted";
}
