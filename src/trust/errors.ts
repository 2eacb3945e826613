// SPDX-License-Identifier: Apache-2.0
// The failures of this folder. Every reason to refuse an image has its own code, because what the user
// can do about it differs.
import { RktError } from "../lib/errors.ts";

export type TrustErrorCode =
  /** No key that is trusted for the name made a signature. */
  | "KEY_UNTRUSTED"
  | "KEY_EXPIRED"
  | "KEY_REVOKED"
  /** The key is too short or of an algorithm that is no longer safe. */
  | "KEY_WEAK"
  /** The key's own signatures do not hold, or it may not sign. */
  | "KEY_INVALID"
  /** The bytes are not a public key. */
  | "KEY_MALFORMED"
  /** A private key where a public key belongs. */
  | "KEY_PRIVATE"
  /** A good signature by a trusted key, but of something else. */
  | "SIGNATURE_INVALID"
  /** There is no `.asc`; thrown by fetch. */
  | "SIGNATURE_MISSING"
  | "SIGNATURE_EXPIRED"
  | "SIGNATURE_FUTURE"
  | "SIGNATURE_HASH_WEAK"
  /** Another kind of signature, version, algorithm or critical extension than we can check. */
  | "SIGNATURE_UNSUPPORTED"
  /** Broken armor or packets. */
  | "SIGNATURE_MALFORMED"
  /** The file holds no signature at all. */
  | "SIGNATURE_NONE"
  /** No trust policy is there for an OCI image's name. */
  | "POLICY_MISSING"
  /** A signature of another image, or of another name. */
  | "DIGEST_MISMATCH"
  | "REFERENCE_MISMATCH"
  /** A good certificate of somebody else. */
  | "IDENTITY_UNTRUSTED"
  | "CERTIFICATE_INVALID"
  /** The transparency log does not have the signature, or what says so is forged. */
  | "LOG_INVALID"
  | "TIMESTAMP_INVALID"
  /** What the policy wants attached is not there, or says something else. */
  | "ATTESTATION_MISSING"
  | "TRUST_ROOT_UNREADABLE"
  | "IMAGE_UNREADABLE"
  | "KEYSTORE_UNREADABLE"
  | "KEYSTORE_UNWRITABLE"
  | "KEYSTORE_MISMATCH"
  | "PREFIX_INVALID";

export class TrustError extends RktError<TrustErrorCode> {}
