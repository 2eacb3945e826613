// SPDX-License-Identifier: Apache-2.0
// Public key files: reading them for `rkt trust` and for the keystore.
import { MIN_RSA_BITS, weakKeyAlgorithm } from "./algorithms.ts";
import { ArmorError, isArmored, MAX_FILE_SIZE, readArmor } from "./armor.ts";
import { TrustError } from "./errors.ts";
import {
  type Library,
  loadLibrary,
  type PublicKey,
  type Subkey,
  settings,
  settled,
} from "./openpgp.ts";
import { splitPackets } from "./packets.ts";

const MAX_KEYS = 64;
/** Much-certified keys have thousands of signatures on them. */
const MAX_PACKETS = 8192;
const MAX_SUBKEYS = 64;
const MAX_IDENTITIES = 64;

/** What a person must see before they trust a key. Identities come from outside: quote them. */
export interface PublicKeyInfo {
  /** The primary key's, lower-case hex. */
  readonly fingerprint: string;
  readonly subkeyFingerprints: readonly string[];
  /** User IDs as they stand in the key; nobody but the key itself vouches for them. */
  readonly identities: readonly string[];
  /** This key alone, ASCII-armored. */
  readonly armored: string;
}

/**
 * Reads a file of public keys, armored or binary. Refuses private keys, weak algorithms (they could never
 * verify anything) and files that are not made of keys.
 */
export async function readPublicKeys(bytes: Uint8Array): Promise<PublicKeyInfo[]> {
  const keys = await parseKeys(bytes);
  for (const key of keys) refuseWeakKey(key);
  return keys.map((key) => ({
    fingerprint: key.getFingerprint(),
    subkeyFingerprints: key.subkeys.map((subkey) => subkey.getFingerprint()),
    identities: key.getUserIDs(),
    armored: key.armor(),
  }));
}

/** The library's form of all keys of a file. */
export async function parseKeys(bytes: Uint8Array): Promise<PublicKey[]> {
  if (bytes.length > MAX_FILE_SIZE) {
    throw malformed(`${bytes.length} bytes, at most ${MAX_FILE_SIZE} are allowed`);
  }
  const packets = isArmored(bytes) ? readArmored(bytes) : [bytes];
  const pgp = await loadLibrary();
  const keys: PublicKey[] = [];
  for (const block of packets) keys.push(...(await readBlock(pgp, block)));
  if (keys.length > MAX_KEYS) throw malformed(`more than ${MAX_KEYS} keys`);
  for (const key of keys) {
    if (key.subkeys.length > MAX_SUBKEYS) throw malformed(`more than ${MAX_SUBKEYS} subkeys`);
    if (key.users.length > MAX_IDENTITIES) throw malformed(`more than ${MAX_IDENTITIES} user IDs`);
  }
  return keys;
}

function readArmored(bytes: Uint8Array): Uint8Array[] {
  try {
    return readArmor(bytes, "ignore").map(({ label, data }) => {
      if (label === "PGP PRIVATE KEY BLOCK") throw privateKey();
      if (label !== "PGP PUBLIC KEY BLOCK") throw malformed(`it holds a ${label}`);
      return data;
    });
  } catch (error) {
    throw error instanceof ArmorError ? malformed("broken armor", error) : error;
  }
}

async function readBlock(pgp: Library, block: Uint8Array): Promise<PublicKey[]> {
  if (((block[0] ?? 0) & 0x80) === 0) {
    throw malformed("it is neither armored nor OpenPGP packets");
  }
  let keys: PublicKey[];
  try {
    splitPackets(block, MAX_PACKETS);
    keys = await settled(pgp.readKeys({ binaryKeys: block, config: settings(pgp) }));
  } catch (error) {
    throw malformed("broken OpenPGP packets", error);
  }
  if (keys.some((key) => key.isPrivate())) throw privateKey();
  return keys;
}

function refuseWeakKey(key: PublicKey): void {
  const weakness = keyWeakness(key.keyPacket);
  if (weakness === undefined) return;
  throw new TrustError("KEY_WEAK", `cannot use the key ${key.getFingerprint()}: ${weakness}`, {
    remedy: "make a new key: RSA with 3072 bits, or Ed25519",
    details: { fingerprint: key.getFingerprint() },
  });
}

/** Why keys of this kind are refused altogether. */
export function keyWeakness(packet: (PublicKey | Subkey)["keyPacket"]): string | undefined {
  const name = weakKeyAlgorithm(packet.algorithm);
  if (name !== undefined) return `${name} keys are no longer safe`;
  const { bits, curve } = packet.getAlgorithmInfo();
  if (packet.algorithm <= 3 && bits !== undefined && bits < MIN_RSA_BITS) {
    return `RSA keys of ${bits} bits are no longer safe`;
  }
  return curve === "secp256k1" ? "keys on the curve secp256k1 are not accepted" : undefined;
}

/**
 * A fingerprint as people compare it: upper case, groups of four, a double space in the middle, as in
 * `AAAA BBBB CCCC DDDD EEEE  FFFF …`.
 */
export function formatFingerprint(fingerprint: string): string {
  const groups = fingerprint.toUpperCase().match(/.{1,4}/g) ?? [];
  const half = Math.ceil(groups.length / 2);
  return `${groups.slice(0, half).join(" ")}  ${groups.slice(half).join(" ")}`.trim();
}

function malformed(why: string, cause?: unknown): TrustError {
  return new TrustError("KEY_MALFORMED", `not a usable public key file: ${why}`, { cause });
}

function privateKey(): TrustError {
  return new TrustError("KEY_PRIVATE", "the file holds a private key, a public key is needed", {
    remedy: "export the public key with: gpg --armor --export KEY",
  });
}
