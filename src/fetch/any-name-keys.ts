// SPDX-License-Identifier: Apache-2.0
// The keys for an image whose name is not known yet (a file or a URL): it is in the manifest, which is not
// read before the signature over it has been checked. So any trusted key may have signed it at first;
// once the name is known, the key must be one that is trusted for it (`checkSignerOfName`).
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import {
  type Keystore,
  type KeystoreDirs,
  signerHint,
  TrustError,
  type TrustedKey,
  type TrustedKeys,
  type Verification,
} from "../trust/index.ts";

const MAX_PREFIXES = 4096;
const MAX_DEPTH = 32;

/** Shown in errors where the name would stand. */
export const ANY_NAME = "any image";

export async function keysForAnyName(keystore: Keystore, dirs: KeystoreDirs): Promise<TrustedKeys> {
  const prefixes = new Set<string>();
  for (const base of [dirs.systemConfig, dirs.localConfig]) {
    collectPrefixes(join(base, "trustedkeys", "prefix.d"), "", prefixes);
  }
  // Every answer has the root keys; without any prefix some name is needed to ask for them.
  if (prefixes.size === 0) prefixes.add("localhost");
  const keys = new Map<string, TrustedKey>();
  for (const prefix of prefixes) {
    for (const key of await keysBelow(keystore, prefix)) keys.set(key.fingerprint, key);
  }
  return { prefix: ANY_NAME, keys: [...keys.values()] };
}

/** A directory that cannot be a name's prefix applies to no name. */
async function keysBelow(keystore: Keystore, prefix: string): Promise<readonly TrustedKey[]> {
  try {
    return (await keystore.keysFor(prefix)).keys;
  } catch (error) {
    if (error instanceof TrustError && error.code === "PREFIX_INVALID") return [];
    throw error;
  }
}

function collectPrefixes(directory: string, prefix: string, found: Set<string>, depth = 0): void {
  if (depth > MAX_DEPTH || found.size > MAX_PREFIXES) return;
  for (const entry of listDirectory(directory)) {
    if (entry.isDirectory()) {
      const deeper = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
      collectPrefixes(join(directory, entry.name), deeper, found, depth + 1);
    } else if (prefix !== "") {
      found.add(prefix);
    }
  }
}

function listDirectory(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/** Throws KEY_UNTRUSTED unless the key that vouched for an image is trusted for this name. */
export async function checkSignerOfName(
  keystore: Keystore,
  name: string,
  verification: Verification,
): Promise<void> {
  if (verification.kind !== "openpgp") return;
  const { keys } = await keystore.keysFor(name);
  if (keys.some((key) => key.fingerprint === verification.fingerprint)) return;
  throw new TrustError(
    "KEY_UNTRUSTED",
    `signature made by unknown entity ${verification.fingerprint}: the key is not trusted for ${quote(name)}`,
    { details: { prefix: name, makers: [verification.fingerprint], hint: signerHint(name) } },
  );
}
