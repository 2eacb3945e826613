// SPDX-License-Identifier: Apache-2.0
// OCI image layouts made by hand, honest or hostile; shares no code with src.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type TarItem, tarBytes } from "./tar.ts";

export interface OciLayerDescription {
  readonly items: readonly TarItem[];
  readonly compression?: "gzip" | "zstd" | "none";
  /** Says this in the config in place of the right diffID. */
  readonly diffID?: string;
  /** Bytes in the blob's file in place of those that the manifest names. */
  readonly lie?: (blob: Buffer) => Buffer;
}

export interface OciDescription {
  readonly layers: readonly OciLayerDescription[];
  readonly config?: object;
  readonly architecture?: string;
  readonly variant?: string;
}

export interface MadeImage {
  readonly digest: string;
  readonly descriptor: object;
}

export const sha256 = (bytes: Uint8Array): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** The machine's own, in Go's words. */
export const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

/** A layer with a shell in it. */
export const BUSYBOX: OciLayerDescription = {
  items: [
    { name: "./", type: "dir" },
    { name: "bin/", type: "dir" },
    { name: "bin/busybox", content: readFileSync("/bin/busybox"), mode: 0o755 },
    ...["sh", "ls", "cat", "stat", "id", "echo", "readlink", "find", "wc", "mkdir"].map(
      (name): TarItem => ({ name: `bin/${name}`, type: "symlink", link: "busybox" }),
    ),
  ],
};

/** Puts blobs into a layout and says what the manifest is. */
export function addImage(layout: string, image: OciDescription): MadeImage {
  mkdirSync(`${layout}/blobs/sha256`, { recursive: true });
  const put = (bytes: Buffer, mediaType: string, content = bytes) => {
    const digest = sha256(bytes);
    writeFileSync(`${layout}/blobs/sha256/${digest.slice("sha256:".length)}`, content);
    return { mediaType, digest, size: bytes.length };
  };
  const diffIDs: string[] = [];
  const layers = image.layers.map(({ items, compression = "gzip", diffID, lie }) => {
    const tar = tarBytes(items);
    diffIDs.push(diffID ?? sha256(tar));
    const blob =
      compression === "gzip" ? gzipSync(tar) : compression === "zstd" ? zstdCompressSync(tar) : tar;
    const suffix = compression === "none" ? "" : `+${compression}`;
    return put(blob, `application/vnd.oci.image.layer.v1.tar${suffix}`, lie?.(blob));
  });
  const config = put(
    Buffer.from(
      JSON.stringify({
        os: "linux",
        architecture: image.architecture ?? ARCHITECTURE,
        variant: image.variant,
        config: { Entrypoint: ["/bin/sh"], Env: ["PATH=/bin"], ...image.config },
        rootfs: { type: "layers", diff_ids: diffIDs },
      }),
    ),
    "application/vnd.oci.image.config.v1+json",
  );
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = put(
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers })),
    mediaType,
  );
  const platform = {
    os: "linux",
    architecture: image.architecture ?? ARCHITECTURE,
    variant: image.variant,
  };
  return { digest: manifest.digest, descriptor: { ...manifest, platform } };
}

/** Writes index.json, with a name for each image. */
export function writeIndex(layout: string, images: Readonly<Record<string, MadeImage>>): void {
  mkdirSync(layout, { recursive: true });
  writeFileSync(`${layout}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
  const manifests = Object.entries(images).map(([name, { descriptor }]) => ({
    ...descriptor,
    annotations: { "org.opencontainers.image.ref.name": name },
  }));
  writeFileSync(`${layout}/index.json`, JSON.stringify({ schemaVersion: 2, manifests }));
}

/** A layout with one image, named `latest`. */
export function writeImage(layout: string, image: OciDescription): MadeImage {
  const made = addImage(layout, image);
  writeIndex(layout, { latest: made });
  return made;
}
