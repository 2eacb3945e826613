// SPDX-License-Identifier: Apache-2.0
// The last steps of every way to an image: the signature over the raw bytes, then the import, and between the
// two, as soon as the manifest may be read, whether it is the image that was asked for.
import { type ImageKey, type ImageManifest, type Labels, labelMismatch } from "../appc/index.ts";
import { quote, stripControl } from "../lib/text.ts";
import {
  acceptUnverified,
  checkSigner,
  type Keystore,
  type RawImage,
  type Signature,
  signerHint,
  TrustError,
  type TrustedKeys,
  type VerifiedImage,
  verifyImage,
} from "../trust/index.ts";
import type { FetchContext } from "./context.ts";
import { FetchError } from "./errors.ts";

/** What the manifest must say. */
export interface Expected {
  readonly name: string;
  readonly labels: Labels;
}

/**
 * How images of one fetch are verified. A file or a URL has no name yet (`named` is false): the name is in the
 * manifest, which is not read before a signature over it has been checked. So any trusted key may have signed
 * it at first; once the name is known, the key must be one that is trusted for it.
 */
export type Verifier =
  | { readonly kind: "skip" }
  | {
      readonly kind: "check";
      readonly keystore: Keystore;
      readonly keys: TrustedKeys;
      readonly prefix: string;
      readonly named: boolean;
    };

export async function makeVerifier(
  name: string | undefined,
  { keystore }: FetchContext,
): Promise<Verifier> {
  if (keystore === undefined) return { kind: "skip" };
  const named = name !== undefined;
  const keys = named ? await keystore.keysFor(name) : await keystore.keysForAnyName();
  return { kind: "check", keystore, keys, prefix: keys.prefix, named };
}

/** Refuses a signature by nobody we trust, before anything is downloaded for it. */
export function requireSigner(
  signature: Signature,
  verifier: Verifier,
  context: FetchContext,
): void {
  if (verifier.kind === "skip") return;
  try {
    checkSigner(signature, verifier.keys, verifier.prefix);
  } catch (error) {
    printHint(error, verifier, context);
    throw error;
  }
}

function printHint(error: unknown, verifier: Verifier, { report }: FetchContext): void {
  if (!(error instanceof TrustError) || error.code !== "KEY_UNTRUSTED") return;
  if (verifier.kind === "skip") return;
  for (const line of signerHint(verifier.prefix)) report.line("image", line);
}

/** Opens the gate for a raw image, or throws. */
export async function verifyRaw(
  raw: RawImage,
  signature: Signature | undefined,
  { verifier, context }: { readonly verifier: Verifier; readonly context: FetchContext },
): Promise<VerifiedImage> {
  if (verifier.kind === "skip") return acceptUnverified(raw, "--insecure-options=image");
  if (signature === undefined)
    throw new Error("an image without its signature reached verification");
  const { keys, prefix, named } = verifier;
  try {
    const verified = await verifyImage({ raw, signature, keys, prefix });
    if (named) reportSigners(verified, context);
    return verified;
  } catch (error) {
    printHint(error, verifier, context);
    throw error;
  }
}

function reportSigners({ verification }: VerifiedImage, { report }: FetchContext): void {
  if (verification.kind !== "openpgp") return;
  const lines = verification.identities.map((id) => `\n  ${stripControl(id)}`);
  report.line("image", `signature verified:${lines.join("")}`);
}

/**
 * Imports an image that is what was expected. One that is not never enters the store: it must not be found
 * there by the name that it claims.
 */
export async function importChecked(
  image: VerifiedImage,
  {
    latest,
    expected,
    signature,
    verifier,
  }: {
    readonly latest: boolean;
    readonly expected: Expected | undefined;
    readonly signature: Signature | undefined;
    readonly verifier: Verifier;
  },
  context: FetchContext,
): Promise<ImageKey> {
  const accept = async (manifest: ImageManifest): Promise<VerifiedImage> => {
    if (expected !== undefined) checkManifest(manifest, expected);
    if (verifier.kind === "skip" || verifier.named) return image;
    if (signature === undefined) throw new Error("a signed image lost its signature");
    // The same signature again, now only with the keys that are trusted for this name.
    const keys = await verifier.keystore.keysFor(manifest.name);
    const named: Verifier = { ...verifier, keys, prefix: manifest.name, named: true };
    return await verifyRaw(image.raw, signature, { verifier: named, context });
  };
  const { key } = await context.store.importImage(image, { latest, accept });
  return key;
}

function checkManifest(manifest: ImageManifest, expected: Expected): void {
  const mismatch = manifestMismatch(manifest, expected);
  if (mismatch === undefined) return;
  throw new FetchError("MANIFEST_MISMATCH", mismatch, {
    details: { expected: expected.name, found: manifest.name },
  });
}

/** How an image is another one than was asked for; undefined when it is the one. */
export function manifestMismatch(manifest: ImageManifest, expected: Expected): string | undefined {
  return manifest.name === expected.name
    ? labelMismatch(expected.labels, manifest.labels)
    : `error when reading the app name: ${quote(expected.name)} expected but ${quote(manifest.name)} found`;
}
