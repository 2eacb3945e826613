// SPDX-License-Identifier: Apache-2.0
// Images for tests that are about something else: signed by a key that the rkt under test trusts for every
// name, as a user's images are.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Rkt } from "./rkt.ts";
import { newKey } from "./signing.ts";

const signer = newKey({ name: "Every Image" });

/** Trusts the tests' own key for every name, below a local configuration directory. */
export async function trustSigner(local: string): Promise<void> {
  const { fingerprint, publicKey } = await signer;
  const keys = `${local}/trustedkeys/root.d`;
  mkdirSync(keys, { recursive: true });
  writeFileSync(`${keys}/${fingerprint}`, publicKey);
}

/** Writes FILE.asc beside an image's file. */
export async function signFile(file: string): Promise<void> {
  writeFileSync(`${file}.asc`, await (await signer).sign(readFileSync(file)));
}

/** Signs an image's file and fetches it; prints what `rkt fetch` prints. */
export async function fetchSigned(rkt: Rkt, file: string, ...flags: string[]): Promise<string> {
  await trustSigner(rkt.local);
  await signFile(file);
  return (await rkt.ok(["fetch", ...flags, file])).trim();
}
