// SPDX-License-Identifier: Apache-2.0
// Stage two of trust: which trusted key claims to have made which signature. Needs no image, so it runs
// before one is downloaded.
import { quote } from "../lib/text.ts";
import { weakKeyAlgorithm } from "./algorithms.ts";
import { TrustError } from "./errors.ts";
import type { TrustedKey, TrustedKeys } from "./keystore.ts";
import type { PublicKey, Subkey } from "./openpgp.ts";
import type { DetachedSignature, Signature } from "./parse-signature.ts";
import { ANY_NAME, showPrefix } from "./prefix.ts";

/** A signature together with the trusted key that it names as its maker. */
export interface Candidate {
  readonly signature: DetachedSignature;
  readonly trusted: TrustedKey;
  /** The very key that signed: the trusted key itself or one of its subkeys. */
  readonly signer: PublicKey | Subkey;
}

/** All pairs of a signature and a trusted key that it names; empty when nobody is known. */
export function resolveSigners(signature: Signature, keys: TrustedKeys): Candidate[] {
  return signature.signatures.flatMap((one) =>
    keys.keys.flatMap((trusted) =>
      [trusted.key, ...trusted.key.subkeys]
        .filter((signer) => isNamedBy(signer, one))
        .map((signer) => ({ signature: one, trusted, signer })),
    ),
  );
}

/** Both forms must fit when both are given; the all-zero wildcard ID fits nobody. */
function isNamedBy(signer: PublicKey | Subkey, signature: DetachedSignature): boolean {
  return (
    signature.keyID === signer.getKeyID().toHex() &&
    (signature.keyFingerprint === undefined || signature.keyFingerprint === signer.getFingerprint())
  );
}

/**
 * Refuses a signature that cannot become good whatever the image holds: made by nobody who is trusted
 * for `prefix`, of another type than a document's, with a weak hash. Called before the image is
 * downloaded; whether key and signature are still valid is decided by `verifyImage`. For KEY_UNTRUSTED,
 * print `signerHint(prefix)` (also in `details.hint`) before the error.
 */
export function checkSigner(signature: Signature, keys: TrustedKeys, prefix: string): void {
  const refusals: TrustError[] = [];
  for (const { signature: one } of resolveSigners(signature, keys)) {
    const refusal = refuseForm(one);
    if (refusal === undefined) return;
    refusals.push(refusal);
  }
  throw refusals[0] ?? unknownSigner(signature, keys, prefix);
}

/** Why a signature is refused for what it is, without looking at any image. */
export function refuseForm(signature: DetachedSignature): TrustError | undefined {
  if (signature.type !== 0) {
    const type = `0x${signature.type.toString(16).padStart(2, "0")}`;
    return new TrustError(
      "SIGNATURE_UNSUPPORTED",
      `signature is of type ${type}, not over a binary document`,
      { remedy: "sign the image with: gpg --armor --detach-sign FILE" },
    );
  }
  switch (signature.hash.kind) {
    case "usable":
      break;
    case "weak":
      return new TrustError(
        "SIGNATURE_HASH_WEAK",
        `signature uses the hash ${signature.hash.label}, which is no longer safe`,
        {
          remedy: "sign the image again with: gpg --digest-algo SHA512 --armor --detach-sign FILE",
        },
      );
    case "unknown":
      return new TrustError(
        "SIGNATURE_UNSUPPORTED",
        `signature uses the unknown hash algorithm ${signature.hash.number}`,
      );
  }
  const weak = weakKeyAlgorithm(signature.keyAlgorithm);
  if (weak !== undefined) {
    return new TrustError(
      "KEY_WEAK",
      `signature was made by a key of the kind ${weak}, which is no longer safe`,
    );
  }
  if (signature.unknownCritical !== undefined) {
    return new TrustError(
      "SIGNATURE_UNSUPPORTED",
      `signature has an unknown critical part: ${quote(signature.unknownCritical)}`,
    );
  }
  return undefined;
}

export function unknownSigner(signature: Signature, keys: TrustedKeys, prefix: string): TrustError {
  const makers = signature.signatures.map((s) => s.keyFingerprint ?? s.keyID);
  const names = [...new Set(makers)].filter((name) => name !== "").join(", ");
  const known =
    keys.keys.length === 0
      ? `no key is trusted for ${showPrefix(prefix)}`
      : `none of the keys trusted for ${showPrefix(prefix)} made it`;
  return new TrustError(
    "KEY_UNTRUSTED",
    `signature made by unknown entity${names === "" ? "" : ` ${names}`}: ${known}`,
    { details: { prefix, makers, hint: signerHint(prefix) } },
  );
}

/** The two lines that rkt prints when a signature's maker is not trusted for a name. */
export function signerHint(prefix: string): readonly [string, string] {
  return [
    "if you expected the signing key to change, try running:",
    `    rkt trust --prefix ${prefix === ANY_NAME ? "NAME KEYFILE" : quote(prefix)}`,
  ];
}
