// SPDX-License-Identifier: Apache-2.0
// From a source of OCI images to an image in the store: the manifest for the platform, the decision whether to trust
// it, and only then config and layers. Every digest is checked, and the image is in the store when all of it is.
import { createHash } from "node:crypto";
import { write, writeSync } from "node:fs";
import type { ImageKey } from "../appc/index.ts";
import { type Reporter, silentReporter } from "../lib/reporter.ts";
import { quote } from "../lib/text.ts";
import {
  choosePlatform,
  type Descriptor,
  type Digest,
  formatPlatform,
  hostPlatform,
  imageManifestOf,
  isIndexType,
  isLayerType,
  MAX_DOCUMENT_BYTES,
  MEDIA_TYPES,
  matchesPlatform,
  type OciConfig,
  type OciManifest,
  type OciSource,
  type Platform,
  parseConfig,
  parseIndex,
  parseManifest,
  parsePlatform,
  type SourceManifest,
} from "../oci/index.ts";
import { LOCAL_NAME } from "../oci/trust-policy.ts";
import { createTemporary, type StoredLayer } from "../store/index.ts";
import { hasBlob, placeBlob, readBlob, writeBlob } from "../store/oci-layers.ts";
import { BUSY, ensureOciLayout, lockName, waitForLock } from "../store/oci-layout.ts";
import { layerUnpacker } from "../store/oci-render.ts";
import { acceptManifest } from "../trust/verified-image.ts";
import type { FetchContext } from "./context.ts";
import { decideTrust, requirePolicy } from "./decide-oci.ts";
import { algorithmOf, digestOfBytes } from "./digest.ts";
import { FetchError } from "./errors.ts";
import { checkSpace, explainWrite } from "./hash-writer.ts";
import { DEFAULT_LIMIT } from "./limits.ts";

/** An index in an index in an index. */
const MAX_NESTING = 3;
const PARALLEL_DOWNLOADS = 3;
/** Unpacking is processor time; one more than one, so that decompression goes on while files are written. */
const PARALLEL_UNPACKS = 2;

/**
 * Closes the source. `name`: what an image without a repository calls itself, which anybody may write into a file: the
 * store knows it as `local/NAME`, so that it is never found by the name of an image that was verified.
 */
export async function fetchOci(
  source: OciSource,
  context: FetchContext,
  { name }: { readonly name?: string } = {},
): Promise<ImageKey> {
  try {
    return await fetchFrom(
      source,
      context,
      source.repository ?? `${LOCAL_NAME}/${name ?? "image"}`,
    );
  } catch (error) {
    throw explainWrite(error, context.store.tmpDir);
  } finally {
    await source.close();
  }
}

async function fetchFrom(
  source: OciSource,
  context: FetchContext,
  name: string,
): Promise<ImageKey> {
  const { store } = context;
  requirePolicy(source, context);
  const wanted = context.platform === undefined ? undefined : parsePlatform(context.platform);
  const resolved = await source.resolve();
  checkDigest(resolved, source);
  const chosen = await platformManifest(source, resolved, wanted ?? hostPlatform(process.arch));
  const manifest = parseManifest(chosen.bytes, chosen.mediaType);
  checkImage(manifest, source, context.maxImageSize ?? DEFAULT_LIMIT);
  // Before anything that the manifest names is downloaded.
  const decided = await decideTrust({ source, resolved, manifest: chosen }, context);
  const paths = ensureOciLayout(store.paths);
  using _busy = await waitForLock(paths.locks, BUSY, "shared");
  await bringBlob(source, manifest.config, context, () => undefined);
  for (const [digest, bytes] of decided.kept) writeBlob(store.paths, bytes, digest);
  const config = parseConfig(readBlob(store.paths, manifest.config.digest, MAX_DOCUMENT_BYTES));
  checkConfig(config, manifest, { source, wanted: wanted ?? hostPlatform(process.arch) });
  const layers = manifest.layers.map(({ digest, mediaType, size }, i): StoredLayer => {
    const diffID = config.rootfs.diffIDs[i];
    if (diffID === undefined) throw new Error("a layer without its diffID");
    return { digest, mediaType, size, diffID };
  });
  await bringLayers(source, layers, context);
  return await store.importOci(acceptManifest(chosen.bytes, decided.verification), {
    manifest: imageManifestOf(config, {
      name,
      tag: source.tag,
      digest: chosen.digest,
      manifest,
      reference: source.reference,
    }),
    oci: {
      reference: source.reference,
      digest: chosen.digest,
      mediaType: manifest.mediaType,
      platform: formatPlatform(config.platform),
      config: manifest.config.digest,
      layers,
    },
    latest: source.tag === undefined || source.tag === "latest",
  });
}

/** A source may say anything: what counts is what the bytes hash to. */
function checkDigest({ bytes, digest }: SourceManifest, source: OciSource): void {
  const actual = digestOfBytes(bytes, algorithmOf(digest));
  if (actual === digest) return;
  throw new FetchError(
    "DIGEST_MISMATCH",
    `manifest of ${quote(source.reference)} has digest ${actual}, expected ${digest}`,
    { details: { actual, expected: digest } },
  );
}

async function platformManifest(
  source: OciSource,
  resolved: SourceManifest,
  wanted: Platform,
): Promise<SourceManifest> {
  let found = resolved;
  for (let depth = 0; isIndex(found); depth++) {
    if (depth === MAX_NESTING) {
      throw new FetchError(
        "REFERENCE_INVALID",
        `${quote(source.reference)} is an index of indexes of indexes`,
      );
    }
    const entry = choosePlatform(parseIndex(found.bytes, found.mediaType), wanted);
    const next = await source.manifest(entry.digest);
    if (next === undefined) {
      throw new FetchError(
        "IMAGE_NOT_FOUND",
        `${quote(source.reference)} has no manifest ${entry.digest}, which its index names`,
      );
    }
    if (next.digest !== entry.digest || next.bytes.length !== entry.size) {
      throw new FetchError(
        "DIGEST_MISMATCH",
        `${quote(source.reference)} gave another manifest than ${entry.digest}`,
      );
    }
    checkDigest(next, source);
    found = next.mediaType === "" ? { ...next, mediaType: entry.mediaType } : next;
  }
  return found;
}

/** Where nothing else says it, the document does. */
function isIndex({ bytes, mediaType }: SourceManifest): boolean {
  const told = isIndexType(mediaType);
  if (told !== undefined || mediaType !== "") return told === true;
  return /"manifests"\s*:/.test(Buffer.from(bytes).toString("utf8"));
}

const CONFIG_TYPES: readonly string[] = [MEDIA_TYPES.config, MEDIA_TYPES.dockerConfig];

function checkImage(manifest: OciManifest, source: OciSource, limit: number): void {
  const refuse = (why: string): never => {
    throw new FetchError("IMAGE_UNSUPPORTED", `cannot use ${quote(source.reference)}: ${why}`);
  };
  if (!CONFIG_TYPES.includes(manifest.config.mediaType)) {
    refuse(`it is an artifact of type ${quote(manifest.config.mediaType)}, not an image`);
  }
  if (manifest.layers.length === 0) refuse("it has no layers");
  const odd = manifest.layers.find(({ mediaType }) => !isLayerType(mediaType));
  if (odd !== undefined) refuse(`layers of type ${quote(odd.mediaType)} are not supported`);
  const total = manifest.layers.reduce((sum, { size }) => sum + size, manifest.config.size);
  if (total > limit) {
    throw new FetchError(
      "TOO_LARGE",
      `cannot use ${quote(source.reference)}: it is larger than ${limit} bytes`,
    );
  }
}

function checkConfig(
  config: OciConfig,
  manifest: OciManifest,
  { source, wanted }: { readonly source: OciSource; readonly wanted: Platform },
): void {
  const count = config.rootfs.diffIDs.length;
  if (count !== manifest.layers.length) {
    throw new FetchError(
      "IMAGE_UNSUPPORTED",
      `cannot use ${quote(source.reference)}: its config speaks of ${count} layers, its manifest of ${manifest.layers.length}`,
    );
  }
  if (matchesPlatform(config.platform, wanted)) return;
  throw new FetchError(
    "IMAGE_UNSUPPORTED",
    `cannot use ${quote(source.reference)}: it is for platform ${formatPlatform(config.platform)}, not ${formatPlatform(wanted)}`,
    { remedy: `--platform=${formatPlatform(config.platform)} to fetch it all the same` },
  );
}

/** All layers downloaded, and unpacked as they come where this process may do that. */
async function bringLayers(
  source: OciSource,
  layers: readonly StoredLayer[],
  context: FetchContext,
): Promise<void> {
  const download = limiter(PARALLEL_DOWNLOADS);
  const missing = missingBytes(layers, context);
  checkSpace(context.store.tmpDir, sum(missing));
  const bar = downloadBar(source, missing, context.report);
  const arrivals = layers.map((layer) =>
    download(() => bringBlob(source, layer, context, bar.came)),
  );
  const allArrived = Promise.allSettled(arrivals).then(bar.finish);
  const tasks: Promise<unknown>[] = [...arrivals];
  if (process.geteuid?.() === 0) {
    const unpack = layerUnpacker(
      context.store.paths,
      { layers },
      { check: false, arrived: async (index) => await arrivals[index] },
    );
    const slot = limiter(PARALLEL_UNPACKS);
    tasks.push(...layers.map((_, i) => slot(() => unpack(i))));
  }
  // All of them end before the source is closed; the first failure is the one to tell.
  const results = await Promise.allSettled(tasks);
  await allArrived;
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** The blobs that the store does not have. */
function missingBytes(
  layers: readonly StoredLayer[],
  { store }: FetchContext,
): ReadonlyMap<Digest, number> {
  const missing = layers.filter(({ digest, size }) => !hasBlob(store.paths, digest, size));
  return new Map(missing.map(({ digest, size }) => [digest, size]));
}

/** One bar for all that comes over the network, several layers at a time; none for files of this machine. */
function downloadBar(source: OciSource, missing: ReadonlyMap<Digest, number>, report: Reporter) {
  const isBar = source.repository !== undefined && missing.size > 0;
  const label = missing.size === 1 ? "layer" : `${missing.size} layers`;
  const progress = (isBar ? report : silentReporter).progress(label, sum(missing));
  let done = 0;
  return {
    came(bytes: number): void {
      done += bytes;
      progress.update(done);
    },
    finish: () => progress.finish(),
  };
}

const sum = (sizes: ReadonlyMap<Digest, number>): number =>
  [...sizes.values()].reduce((total, size) => total + size, 0);

/** Runs at most so many at a time, in order; after a failure none is begun. */
function limiter(most: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;
  let failure: unknown;
  return async (work) => {
    if (running >= most) await new Promise<void>((resolve) => waiting.push(resolve));
    running++;
    try {
      if (failure !== undefined) throw failure;
      return await work();
    } catch (error) {
      failure ??= error;
      throw error;
    } finally {
      running--;
      waiting.shift()?.();
    }
  };
}

const LARGE_CHUNK = 256 * 1024;

async function writeBeside(fd: number, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    at += await new Promise<number>((resolve, reject) => {
      write(fd, chunk, at, chunk.length - at, null, (error, n) => {
        if (error === null) resolve(n);
        else reject(error);
      });
    });
  }
}

type Blob = Pick<Descriptor, "digest" | "size" | "mediaType">;

/** Downloads a blob unless it is there; another process that is at it is waited for. `came` hears of bytes as they come. */
async function bringBlob(
  source: OciSource,
  blob: Blob,
  { store, report }: FetchContext,
  came: (bytes: number) => void,
): Promise<void> {
  if (hasBlob(store.paths, blob.digest, blob.size)) return;
  const { locks } = ensureOciLayout(store.paths);
  using _lock = await waitForLock(locks, lockName(blob.digest), "exclusive");
  if (hasBlob(store.paths, blob.digest, blob.size)) return;
  report.debug("image", `fetching ${blob.digest} of ${source.reference}`);
  using file = createTemporary(store.tmpDir);
  const algorithm = algorithmOf(blob.digest);
  const hash = createHash(algorithm);
  let size = 0;
  for await (const chunk of source.blob(blob)) {
    size += chunk.length;
    if (size > blob.size) break;
    // The kernel takes a large chunk on another thread.
    const written = chunk.length < LARGE_CHUNK ? undefined : writeBeside(file.fd, chunk);
    hash.update(chunk);
    if (written !== undefined) await written;
    else for (let at = 0; at < chunk.length; ) at += writeSync(file.fd, chunk, at);
    came(chunk.length);
  }
  const actual = `${algorithm}:${hash.digest("hex")}`;
  if (size !== blob.size || actual !== blob.digest) {
    throw new FetchError(
      "DIGEST_MISMATCH",
      `blob ${blob.digest} of ${quote(source.reference)} is not what its manifest says: ${
        size === blob.size
          ? `its digest is ${actual}`
          : `it has another size than ${blob.size} bytes`
      }`,
      { details: { digest: blob.digest, actual } },
    );
  }
  placeBlob(store.paths, file, blob.digest);
}
