// SPDX-License-Identifier: Apache-2.0
// An image from an http or https URL, with the rules of the cache by URL and the order of checks of rkt-cli.md
// §2.2 and §2.3: who signed is known before the image is asked for, and what comes is verified before
// anything looks into it.
import type { ImageKey } from "../appc/index.ts";
import { quote, redactUrl } from "../lib/text.ts";
import type { RemoteRecord } from "../store/index.ts";
import type { Signature } from "../trust/index.ts";
import type { FetchContext } from "./context.ts";
import { downloadImage } from "./download-image.ts";
import { FetchError } from "./errors.ts";
import {
  type Expected,
  importChecked,
  makeVerifier,
  manifestMismatch,
  requireSigner,
  type Verifier,
  verifyRaw,
} from "./import-image.ts";
import { DEFAULT_LIMIT } from "./limits.ts";
import { networkOf } from "./network.ts";
import { lockPartialFile, type PartialFile } from "./partial-file.ts";
import { readSignature, type SignatureSource } from "./signature.ts";

export interface UrlSource {
  readonly url: string;
  readonly signature: SignatureSource;
  /** The name to verify for, and what the manifest must say; undefined when the URL was given by itself. */
  readonly expected: Expected | undefined;
  readonly latest: boolean;
  /** The largest file, where somebody states it. */
  readonly limit: number | undefined;
}

export async function fetchUrl(source: UrlSource, context: FetchContext): Promise<ImageKey> {
  const started = Date.now();
  const { report, store } = context;
  const cached = await usableRecord(source, context);
  if (cached !== undefined && isFresh(cached, started)) {
    report.debug("image", `${redactUrl(source.url)} is fresh in the store`);
    return cached.key;
  }
  using file = await lockPartialFile(store.tmpDir, source.url, () =>
    report.line("image", "another rkt instance is downloading this file, waiting..."),
  );
  if (!file.waited) return await fetchLocked({ source, file, cached }, context);
  // Whoever we waited for may have brought the image in the meantime: then it is as new as we want it.
  const brought = await usableRecord(source, context);
  if (brought !== undefined && brought.downloadTime.getTime() >= started) return brought.key;
  return await fetchLocked({ source, file, cached: brought }, context);
}

interface Locked {
  readonly source: UrlSource;
  readonly file: PartialFile;
  readonly cached: RemoteRecord | undefined;
}

async function fetchLocked(locked: Locked, context: FetchContext): Promise<ImageKey> {
  const { source, file, cached } = locked;
  const { report, store, insecure } = context;
  // Until a download has begun, what an earlier one left stays.
  file.keep = true;
  const verifier = await makeVerifier(source.expected?.name, context);
  const early = await earlySignature(source, verifier, context);
  report.line("image", `remote fetching from URL ${quote(redactUrl(source.url))}`);
  const download = await downloadImage(source.url, {
    network: networkOf(context),
    file,
    etag: cached === undefined || cached.etag === "" ? undefined : cached.etag,
    hashNames: early === undefined || early === "deferred" ? [] : early.hashNames,
    limit: Math.min(source.limit ?? Infinity, context.maxImageSize ?? DEFAULT_LIMIT),
    allowDowngrade: insecure.http,
    report,
  });
  if (download.kind === "not-modified") {
    if (cached === undefined) throw new Error("304 without a cached image");
    return cached.key;
  }
  file.keep = early === "deferred";
  const signature = early === "deferred" ? await lateSignature(source, context) : early;
  // From here on a failure means that these bytes are of no use: they must not be resumed from.
  file.keep = false;
  const verified = await verifyRaw(download.raw, signature, { verifier, context });
  const { latest, expected } = source;
  const key = await importChecked(verified, { latest, expected, signature, verifier }, context);
  store.putRemote({
    url: source.url,
    signatureUrl: source.signature.kind === "url" ? source.signature.url : "",
    etag: download.etag,
    maxAge: download.maxAge,
    key,
    downloadTime: new Date(),
  });
  return key;
}

async function earlySignature(
  source: UrlSource,
  verifier: Verifier,
  context: FetchContext,
): Promise<Signature | "deferred" | undefined> {
  if (verifier.kind === "skip") return undefined;
  const signature = await readSignature(source.signature, context);
  if (signature !== "deferred") requireSigner(signature, verifier, context);
  return signature;
}

async function lateSignature(source: UrlSource, context: FetchContext): Promise<Signature> {
  const signature = await readSignature(source.signature, context);
  if (signature !== "deferred") return signature;
  throw new FetchError(
    "DEFERRED_TWICE",
    "error downloading the signature file: server asked to defer the download again",
  );
}

/**
 * What the store has from this URL, if it may stand for a fresh download: verified, by a key that is trusted
 * for its name today, and what is expected. Without it the image is downloaded again.
 */
async function usableRecord(
  { url, expected }: UrlSource,
  { store, keystore }: FetchContext,
): Promise<RemoteRecord | undefined> {
  const record = store.remote(url);
  if (record === undefined) return undefined;
  const verification = store.verification(record.key);
  if (verification.kind === "unknown") return undefined;
  const manifest = store.manifest(record.key);
  if (expected !== undefined && manifestMismatch(manifest, expected) !== undefined) {
    return undefined;
  }
  if (keystore !== undefined) {
    if (verification.kind !== "openpgp") return undefined;
    const { keys } = await keystore.keysFor(manifest.name);
    if (!keys.some((key) => key.fingerprint === verification.fingerprint)) return undefined;
  }
  return record;
}

function isFresh({ maxAge, downloadTime }: RemoteRecord, now: number): boolean {
  const age = now - downloadTime.getTime();
  return maxAge > 0 && age >= 0 && age < maxAge * 1000;
}
