// SPDX-License-Identifier: Apache-2.0
// Gathers the facts for the verdict: the library does the mathematics over our digest and judges the
// key's own signatures.
import { CLOCK_SKEW_MS, type Facts, type KeyFacts } from "./decide.ts";
import { documentDigest } from "./document-hash.ts";
import {
  type Library,
  type PublicKey,
  type SignaturePacket,
  StallError,
  type Subkey,
  settings,
  settled,
} from "./openpgp.ts";
import { keyWeakness } from "./public-keys.ts";
import type { HashName, RawImage } from "./raw-image.ts";
import type { Candidate } from "./resolve-signers.ts";

const NO_DOCUMENT = Object.freeze({
  getText: () => {
    throw new Error("the library asked for the document although it has the digest");
  },
});

/** `algorithm` is the signature's hash, already known to be usable. */
export async function examine(
  candidate: Candidate,
  material: {
    readonly pgp: Library;
    readonly raw: RawImage;
    readonly algorithm: HashName;
    readonly now: Date;
  },
): Promise<Facts> {
  const { signature, trusted, signer } = candidate;
  const { pgp, raw, algorithm, now } = material;
  const packet = signature.packet();
  if (packet.signatureData === null) throw new Error("a parsed signature has no signed part");
  const digest = await documentDigest(raw, algorithm, {
    version: packet.version,
    signatureData: packet.signatureData,
    salt: signature.salt,
  });
  // As within a tolerated skew from the future: a key made together with the signature counts as made.
  const latest = Math.min(signature.created.getTime(), now.getTime() + CLOCK_SKEW_MS);
  const at = new Date(Math.max(now.getTime(), latest));
  return {
    matches: await matches(pgp, candidate, digest),
    created: signature.created,
    expires: signature.expires,
    identity: trusted.identities[0],
    primary: await primaryFacts(pgp, trusted.key, at),
    signer: await signerFacts(pgp, candidate, at),
    notSigningKey: await notSigningKey(pgp, { trusted: trusted.key, signer }, [
      at,
      ...(hasSelfSignatureFrom(trusted.key, signer, signature.created) ? [signature.created] : []),
    ]),
  };
}

/** Only the mathematics: times and key validity are facts of their own. */
async function matches(
  pgp: Library,
  { signature, signer }: Candidate,
  digest: Uint8Array,
): Promise<boolean> {
  const packet = signature.packet();
  // The library takes a finished digest from this property (it uses it itself for one-pass signatures).
  // If it ever stopped to, it would ask NO_DOCUMENT and fail.
  Object.assign(packet, { hashed: digest });
  // null instead of a date: no check of times (missing in the library's types).
  const anyTime = null as unknown as Date;
  try {
    await settled(
      packet.verify(
        signer.keyPacket,
        pgp.enums.signature.binary,
        NO_DOCUMENT,
        anyTime,
        true,
        settings(pgp),
      ),
    );
    return true;
  } catch (error) {
    if (error instanceof StallError) throw error;
    // The library throws plain errors for every kind of mismatch: refused all the same.
    return false;
  }
}

async function primaryFacts(pgp: Library, key: PublicKey, at: Date): Promise<KeyFacts> {
  const config = settings(pgp);
  const expires = await settled(key.getExpirationTime(undefined, config));
  return {
    fingerprint: key.getFingerprint(),
    created: key.getCreationTime(),
    revoked: await settled(key.isRevoked(undefined, undefined, at, config)),
    expires: expires instanceof Date ? expires : undefined,
    weakness: keyWeakness(key.keyPacket),
  };
}

async function signerFacts(pgp: Library, candidate: Candidate, at: Date): Promise<KeyFacts> {
  const { trusted, signer } = candidate;
  if (!isSubkey(signer)) return primaryFacts(pgp, trusted.key, at);
  const config = settings(pgp);
  // Without a binding signature as argument, any valid revocation counts (missing in the types).
  const all = null as unknown as SignaturePacket;
  const revoked = await settled(signer.isRevoked(all, trusted.key.keyPacket, at, config));
  const expires = await settled(signer.getExpirationTime(at, config));
  return {
    fingerprint: signer.getFingerprint(),
    created: signer.getCreationTime(),
    revoked,
    expires: expires instanceof Date ? expires : undefined,
    weakness: keyWeakness(signer.keyPacket),
  };
}

/** Asks the library for the signing key at each time; it must name this very key. */
async function notSigningKey(
  pgp: Library,
  keys: { readonly trusted: PublicKey; readonly signer: PublicKey | Subkey },
  times: readonly Date[],
): Promise<string | undefined> {
  const { trusted, signer } = keys;
  for (const time of times) {
    try {
      const found = await settled(
        trusted.getSigningKey(signer.getKeyID(), time, undefined, settings(pgp)),
      );
      if (found.getFingerprint() !== signer.getFingerprint()) return "it is not the signing key";
    } catch (error) {
      if (error instanceof StallError) throw error;
      return error instanceof Error ? error.message : String(error);
    }
  }
  return undefined;
}

/**
 * Whether the key carries self-signatures that are as old as the document's signature. A key that was
 * renewed and then cleaned has only newer ones: then its state at that time is unknown, and its present
 * state (and its creation time) decides.
 */
function hasSelfSignatureFrom(key: PublicKey, signer: PublicKey | Subkey, date: Date): boolean {
  const primary = key.users.flatMap((user) => user.selfCertifications);
  const { directSignatures } = key as unknown as { readonly directSignatures: typeof primary };
  const old = (signatures: typeof primary) =>
    signatures.some(({ created }) => created !== null && created <= date);
  return (
    old([...primary, ...directSignatures]) && (!isSubkey(signer) || old(signer.bindingSignatures))
  );
}

function isSubkey(key: PublicKey | Subkey): key is Subkey {
  return "mainKey" in key;
}
