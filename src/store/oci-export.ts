// SPDX-License-Identifier: Apache-2.0
// An OCI image out of the store, as an archive of an OCI layout: the bytes that came, so the digests that it had.
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
import type { ImageKey } from "../appc/index.ts";
import type { Digest } from "../oci/types.ts";
import { TarWriter } from "../tar/write.ts";
import { checkDigest, hashFile } from "./blob.ts";
import { StoreError } from "./errors.ts";
import type { StorePaths } from "./layout.ts";
import { algorithmOf } from "./oci-layers.ts";
import { blobPath, ociPaths } from "./oci-layout.ts";
import type { StoredOci } from "./oci-record.ts";

const REF_NAME = "org.opencontainers.image.ref.name";

export function writeOciArchive(
  paths: StorePaths,
  from: { readonly image: StoredOci; readonly manifest: number; readonly key: ImageKey },
  to: number,
): void {
  const { image } = from;
  checkDigest(hashFile(from.manifest), from.key);
  const { size } = fstatSync(from.manifest);
  const writer = new TarWriter((chunk) => {
    for (let at = 0; at < chunk.length; ) at += writeSync(to, chunk, at);
  });
  const text = (name: string, value: object): void =>
    writer.entry({ name, kind: "file", mode: 0o644 }, Buffer.from(JSON.stringify(value)));
  text("oci-layout", { imageLayoutVersion: "1.0.0" });
  const tag = tagOf(image.reference);
  const [os = "", architecture = "", variant] = image.platform.split("/");
  text("index.json", {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        mediaType: image.mediaType,
        digest: image.digest,
        size,
        platform: { os, architecture, variant },
        ...(tag === undefined ? {} : { annotations: { [REF_NAME]: tag } }),
      },
    ],
  });
  writer.entry({ name: "blobs", kind: "directory", mode: 0o755 });
  const digests = new Set([
    image.digest,
    image.config,
    ...image.layers.map(({ digest }) => digest),
  ]);
  for (const algorithm of new Set([...digests].map(algorithmOf))) {
    writer.entry({ name: `blobs/${algorithm}`, kind: "directory", mode: 0o755 });
  }
  for (const digest of digests) writeBlobEntry(paths, writer, digest);
  writer.finish();
}

/** The name of the image in its archive: of a reference to a registry, the tag. */
function tagOf(reference: string): string | undefined {
  return /^docker:\/\/[^@]*\/[^/:@]+:([^/:@]+)(?:@|$)/.exec(reference)?.[1];
}

/** Hashed on its way: a damaged blob makes no archive. */
function writeBlobEntry(paths: StorePaths, writer: TarWriter, digest: Digest): void {
  const fd = openSync(blobPath(ociPaths(paths), digest), "r");
  try {
    const { size } = fstatSync(fd);
    if (`${algorithmOf(digest)}:${hashBlob(fd, digest)}` !== digest) {
      throw new StoreError("IMAGE_CORRUPT", `blob ${digest} in the store is damaged`, {
        remedy: "rkt image rm, then fetch the image again",
      });
    }
    const name = `blobs/${digest.replace(":", "/")}`;
    writer.entry({ name, kind: "file", mode: 0o644 }, { fd, offset: 0, length: size });
  } finally {
    closeSync(fd);
  }
}

const hashBlob = (fd: number, digest: Digest): string =>
  hashFile(fd, undefined, algorithmOf(digest));
