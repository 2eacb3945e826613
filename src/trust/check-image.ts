// SPDX-License-Identifier: Apache-2.0
// The whole check of one image: resolve who signed, gather the facts, decide.
import { decide } from "./decide.ts";
import type { TrustError } from "./errors.ts";
import { examine } from "./examine.ts";
import type { TrustedKey, TrustedKeys } from "./keystore.ts";
import { loadLibrary } from "./openpgp.ts";
import type { Signature } from "./parse-signature.ts";
import type { RawImage } from "./raw-image.ts";
import { refuseForm, resolveSigners, unknownSigner } from "./resolve-signers.ts";

export interface ImageCheck {
  readonly raw: RawImage;
  readonly signature: Signature;
  /** From `Keystore.keysFor(prefix)`. */
  readonly keys: TrustedKeys;
  /** The image's name: it is recorded, and shown in errors. */
  readonly prefix: string;
  /** The time to judge by; the present when left out. */
  readonly now?: Date;
}

/**
 * Who signed the image. The policy for a file with several signatures: one good signature by a key that
 * is trusted for the name is enough, whatever the others are. Otherwise the first refusal of a signature
 * by a trusted key is thrown, or KEY_UNTRUSTED when there is none.
 */
export async function checkImage(check: ImageCheck): Promise<TrustedKey> {
  const { raw, signature, keys, prefix, now = new Date() } = check;
  const pgp = await loadLibrary();
  const refusals: TrustError[] = [];
  for (const candidate of resolveSigners(signature, keys)) {
    const form = refuseForm(candidate.signature);
    const { hash } = candidate.signature;
    if (form !== undefined || hash.kind !== "usable") {
      if (form !== undefined) refusals.push(form);
      continue;
    }
    const facts = await examine(candidate, { pgp, raw, algorithm: hash.name, now });
    const refusal = decide(facts, now);
    if (refusal === undefined) return candidate.trusted;
    refusals.push(refusal);
  }
  throw refusals[0] ?? unknownSigner(signature, keys, prefix);
}
