// SPDX-License-Identifier: Apache-2.0
// An image of a registry: its manifest for this machine, and its layers as temporary files, each with the digest and the
// length that the manifest says.
import { createHash } from "node:crypto";
import { closeSync, writeSync } from "node:fs";
import type { Reporter } from "../../lib/reporter.ts";
import {
  choosePlatform,
  type Descriptor,
  hostPlatform,
  isIndexType,
  isLayerType,
  MAX_DOCUMENT_BYTES,
  type OciSource,
  parseIndex,
  parseManifest,
  type SourceManifest,
} from "../../oci/index.ts";
import { temporaryFile } from "./convert.ts";
import { ConversionError } from "./errors.ts";
import type { DockerImage, ImageName } from "./image.ts";
import { imageOfManifest } from "./schema2.ts";

export async function openRemoteImage(
  source: OciSource,
  name: ImageName,
  report: Reporter,
): Promise<DockerImage> {
  const found = await manifestForHost(source);
  const manifest = parseManifest(found.bytes, found.mediaType);
  const foreign = manifest.layers.find(({ mediaType }) => !isLayerType(mediaType));
  if (foreign !== undefined) {
    throw invalid(`a layer of type "${foreign.mediaType}" is no file system`);
  }
  const chunks: Uint8Array[] = [];
  if (manifest.config.size > MAX_DOCUMENT_BYTES) throw invalid("the image's config is too large");
  await copyBlob(source, manifest.config, (chunk) => chunks.push(Uint8Array.from(chunk)));
  return imageOfManifest({
    name,
    config: Buffer.concat(chunks),
    imageID: manifest.config.digest,
    manhash: found.digest,
    layers: manifest.layers.map((layer) => ({
      digest: layer.digest,
      source: {
        id: layer.digest,
        open: async () => {
          report.line("", `Downloading ${layer.digest.slice(0, "sha256:".length + 11)}`);
          return await download(source, layer);
        },
      },
    })),
  });
}

async function manifestForHost(source: OciSource): Promise<SourceManifest> {
  let found = await source.resolve();
  // An index of indexes is allowed; a circle is not.
  for (let depth = 0; isIndexType(found.mediaType) === true; depth++) {
    if (depth === 4) throw invalid("the image's indexes are nested too deep");
    const index = parseIndex(found.bytes, found.mediaType);
    const { digest } = choosePlatform(index, hostPlatform(process.arch));
    const next = await source.manifest(digest);
    if (next === undefined) throw invalid(`manifest ${digest} not found`);
    found = next;
  }
  return found;
}

async function download(source: OciSource, layer: Descriptor): Promise<number> {
  const to = temporaryFile();
  try {
    await copyBlob(source, layer, (chunk) => {
      for (let at = 0; at < chunk.length; ) at += writeSync(to, chunk, at);
    });
    return to;
  } catch (error) {
    closeSync(to);
    throw error;
  }
}

/** The source gives no more bytes than the descriptor says. */
async function copyBlob(
  source: OciSource,
  descriptor: Descriptor,
  sink: (chunk: Uint8Array) => void,
): Promise<void> {
  const [algorithm = "", wanted] = descriptor.digest.split(":", 2);
  const hash = createHash(algorithm);
  let size = 0;
  for await (const chunk of source.blob(descriptor)) {
    size += chunk.length;
    hash.update(chunk);
    sink(chunk);
  }
  if (size !== descriptor.size || hash.digest("hex") !== wanted) {
    throw invalid(`blob ${descriptor.digest} has another digest or length`);
  }
}

function invalid(sentence: string): ConversionError {
  return new ConversionError("CONVERSION_INPUT", sentence);
}
