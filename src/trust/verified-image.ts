// SPDX-License-Identifier: Apache-2.0
// The gate: the one type that the store takes in, and the only two functions that make it. There is no
// way round them short of a cast, and `assertVerified` finds a cast at run time.
import { checkImage, type ImageCheck } from "./check-image.ts";
import type { RawImage } from "./raw-image.ts";

export type { HashName, RawImage } from "./raw-image.ts";

/** A signed statement about an image that its policy wanted. */
export interface CheckedAttestation {
  readonly predicateType: string;
  /** Of the bytes as they were attached; they are kept in the store under it. */
  readonly digest: string;
  /** Provenance: who built it, out of what. */
  readonly builder?: string | undefined;
  readonly source?: string | undefined;
}

/** A sigstore signature of an OCI image, as it was checked. */
export interface SigstoreVerification {
  readonly kind: "sigstore";
  /** `sha256:HEX` of the public key, for a signature by a key that the policy names. */
  readonly key?: string | undefined;
  /** Of the certificate, for a keyless signature. */
  readonly identity?: string | undefined;
  readonly issuer?: string | undefined;
  /** Where it was: cosign's tag, or a Sigstore bundle that refers to the image. */
  readonly form: "cosign" | "bundle";
  /** The digest that was signed: the index's or the manifest's. */
  readonly digest: string;
  /** The reference that was signed; undefined when the signature has none. */
  readonly signedReference?: string | undefined;
  /** Of the transparency log, when it was asked. */
  readonly logIndex?: string | undefined;
  /** RFC 3339, UTC: when the log took it in. */
  readonly loggedAt?: string | undefined;
  /** The policy's; empty: every image. */
  readonly prefix: string;
  /** RFC 3339, UTC. */
  readonly verifiedAt: string;
  readonly attestations?: readonly CheckedAttestation[] | undefined;
}

/** Who vouched for an image; kept with it in the store and shown by `rkt image list`. */
export type Verification =
  | {
      readonly kind: "openpgp";
      /** Fingerprint of the primary key, lower-case hex. */
      readonly fingerprint: string;
      /** The key's user IDs, as they stand in the key (quote them before printing). */
      readonly identities: readonly string[];
      /** The name whose trusted keys were asked. */
      readonly prefix: string;
      /** RFC 3339, UTC. */
      readonly verifiedAt: string;
    }
  | SigstoreVerification
  | {
      /** Nobody vouched for it, and the administrator's trust policy asks for nobody. */
      readonly kind: "policy";
      /** The policy's; empty: every image. */
      readonly prefix: string;
      /** RFC 3339, UTC. */
      readonly acceptedAt: string;
    }
  | {
      readonly kind: "unverified";
      /** Which flag or rule let it through. */
      readonly reason: string;
      /** RFC 3339, UTC. */
      readonly acceptedAt: string;
    };

const brand: unique symbol = Symbol("VerifiedImage");

/** A raw image together with who vouched for it. Only this file makes one. */
export interface VerifiedImage {
  readonly raw: RawImage;
  readonly verification: Verification;
  readonly [brand]: true;
}

const made = new WeakSet<VerifiedImage>();

function make(raw: RawImage, verification: Verification): VerifiedImage {
  const image: VerifiedImage = Object.freeze({ raw, verification, [brand]: true as const });
  made.add(image);
  return image;
}

/**
 * Checks the image's signature against the trusted keys and passes it through the gate. Throws a
 * TrustError otherwise. See `checkImage` for what is checked.
 */
export async function verifyImage(check: ImageCheck): Promise<VerifiedImage> {
  const signer = await checkImage(check);
  return make(check.raw, {
    kind: "openpgp",
    fingerprint: signer.fingerprint,
    identities: signer.identities,
    prefix: check.prefix,
    verifiedAt: new Date().toISOString(),
  });
}

/**
 * Lets an image through without a check, as --insecure-options=image asks. The reason stays with the
 * image for as long as it is stored.
 */
export function acceptUnverified(raw: RawImage, reason: string): VerifiedImage {
  return make(raw, { kind: "unverified", reason, acceptedAt: new Date().toISOString() });
}

/** The manifest of an OCI image together with who vouched for it: the manifest names all the rest by digest. */
export interface VerifiedManifest {
  readonly bytes: Uint8Array;
  readonly verification: Verification;
  readonly [brand]: true;
}

const madeManifests = new WeakSet<VerifiedManifest>();

/** Passes a manifest through the gate on the word of `decideOci`, or of a flag. */
export function acceptManifest(bytes: Uint8Array, verification: Verification): VerifiedManifest {
  const image: VerifiedManifest = Object.freeze({ bytes, verification, [brand]: true as const });
  madeManifests.add(image);
  return image;
}

export function assertVerifiedManifest(image: VerifiedManifest): void {
  if (!madeManifests.has(image))
    throw new Error("a manifest reached the store past the trust gate");
}

/** Throws unless `image` came out of `verifyImage` or `acceptUnverified`: a cast is a bug. */
export function assertVerified(image: VerifiedImage): void {
  if (!made.has(image)) throw new Error("an image reached the store past the trust gate");
}
