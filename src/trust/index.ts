// SPDX-License-Identifier: Apache-2.0
// What the other folders may use of trust.
export { MAX_FILE_SIZE } from "./armor.ts";
export type { ImageCheck } from "./check-image.ts";
export { hashFile } from "./document-hash.ts";
export { TrustError, type TrustErrorCode } from "./errors.ts";
export {
  type AddedKey,
  type Keystore,
  type KeystoreDirs,
  openKeystore,
  type TrustedKey,
  type TrustedKeys,
} from "./keystore.ts";
export { type DetachedSignature, parseSignature, type Signature } from "./parse-signature.ts";
export { formatFingerprint, type PublicKeyInfo, readPublicKeys } from "./public-keys.ts";
export { checkSigner, signerHint } from "./resolve-signers.ts";
export {
  acceptUnverified,
  assertVerified,
  type CheckedAttestation,
  type HashName,
  type RawImage,
  type SigstoreVerification,
  type Verification,
  type VerifiedImage,
  verifyImage,
} from "./verified-image.ts";
