// SPDX-License-Identifier: Apache-2.0
// The last steps of every way to an image: the signature over the raw bytes, then the import, and between the
// two, as soon as the manifest may be read, whether it is the image that was asked for.
import { type ImageKey, type ImageManifest, type Labels, labelMismatch } from "../appc/index.ts";
import { quote, stripControl } from "../lib/text.ts";
import {
  acceptUnverified,
  checkSigner,
  type RawImage,
  type Signature,
  signerHint,
  TrustError,
  type TrustedKeys,
  type VerifiedImage,
  verifyImage,
} from "../trust/index.ts";
import { ANY_NAME, checkSignerOfName, keysForAnyName } from "./any-name-keys.ts";
import type { FetchContext } from "./context.ts";
import { FetchError } from "./errors.ts";

/** What the manifest must say. */
export interface Expected {
  readonly name: string;
  readonly labels: Labels;
}

/** How images of one fetch are verified: with which keys, for which name. */
export type Verifier =
  | { readonly kind: "skip" }
  | { readonly kind: "check"; readonly keys: TrustedKeys; readonly prefix: string };

/** `name` is undefined for a file or a URL: who may sign is then decided when the manifest is read. */
export async function makeVerifier(
  name: string | undefined,
  { keystore, keystoreDirs }: FetchContext,
): Promise<Verifier> {
  if (keystore === undefined) return { kind: "skip" };
  const keys =
    name === undefined
      ? await keysForAnyName(keystore, keystoreDirs)
      : await keystore.keysFor(name);
  return { kind: "check", keys, prefix: name ?? ANY_NAME };
}

/** Refuses a signature by nobody we trust, before anything is downloaded for it. */
export function requireSigner(
  signature: Signature,
  verifier: Verifier,
  context: FetchContext,
): void {
  if (verifier.kind === "skip") return;
  hinting(context, () => checkSigner(signature, verifier.keys, verifier.prefix));
}

function hinting<T>(context: FetchContext, work: () => T): T {
  try {
    return work();
  } catch (error) {
    printHint(error, context);
    throw error;
  }
}

function printHint(error: unknown, { report }: FetchContext): void {
  if (!(error instanceof TrustError) || error.code !== "KEY_UNTRUSTED") return;
  const prefix = error.details?.["prefix"];
  const name = typeof prefix === "string" && prefix !== ANY_NAME ? prefix : "PREFIX";
  for (const line of signerHint(name)) report.line("image", line);
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
  const { keys, prefix } = verifier;
  try {
    const verified = await verifyImage({ raw, signature, keys, prefix });
    if (verified.verification.kind === "openpgp") {
      const lines = verified.verification.identities.map((id) => `\n  ${stripControl(id)}`);
      context.report.line("image", `signature verified:${lines.join("")}`);
    }
    return verified;
  } catch (error) {
    printHint(error, context);
    throw error;
  }
}

/**
 * Imports an image that is what was expected. An image that is not leaves nothing in the store: it must not
 * be found there by the name that it claims.
 */
export async function importChecked(
  image: VerifiedImage,
  options: { readonly latest: boolean; readonly expected: Expected | undefined },
  context: FetchContext,
): Promise<ImageKey> {
  const { expected, latest } = options;
  const { store } = context;
  let asked = false;
  const accept = async (manifest: ImageManifest): Promise<void> => {
    asked = true;
    if (expected !== undefined) checkManifest(manifest, expected);
    else if (context.keystore !== undefined) {
      await checkSignerOfName(context.keystore, manifest.name, image.verification);
    }
  };
  const checked = { latest, accept };
  const { key } = await store.importImage(image, checked);
  // A store that does not ask on the way is asked afterwards.
  if (!asked) {
    try {
      await accept(store.manifest(key));
    } catch (error) {
      store.removeImage(key);
      throw error;
    }
  }
  return key;
}

export function checkManifest(manifest: ImageManifest, expected: Expected): void {
  if (manifest.name !== expected.name) {
    throw new FetchError(
      "MANIFEST_MISMATCH",
      `error when reading the app name: ${quote(expected.name)} expected but ${quote(manifest.name)} found`,
      { details: { expected: expected.name, found: manifest.name } },
    );
  }
  const mismatch = labelMismatch(expected.labels, manifest.labels);
  if (mismatch !== undefined) throw new FetchError("MANIFEST_MISMATCH", mismatch);
}
