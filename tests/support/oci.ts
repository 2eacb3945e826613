// SPDX-License-Identifier: Apache-2.0
// OCI images made from a description, as an image layout directory.
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type TarItem, tarBytes } from "./tar.ts";

export interface OciLayer {
  readonly files: readonly TarItem[];
  /** gzip when left out. */
  readonly compression?: "none" | "gzip" | "zstd";
}

export interface OciDescription {
  readonly layers: readonly OciLayer[];
  /** Fields of the config's `config`: Entrypoint, Cmd, Env, … */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly architecture?: string;
}

export interface OciFacts {
  /** `sha256:…` of the manifest. */
  readonly digest: string;
  readonly layers: readonly { readonly digest: string; readonly size: number }[];
}

export const sha256 = (bytes: Uint8Array | string): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** Writes an image layout with one image, which `oci:DIRECTORY:REF` names. */
export function writeLayout(directory: string, ref: string, image: OciDescription): OciFacts {
  mkdirSync(join(directory, "blobs/sha256"), { recursive: true });
  const put = (mediaType: string, bytes: Uint8Array | string) => {
    const digest = sha256(bytes);
    writeFileSync(join(directory, "blobs", digest.replace(":", "/")), bytes);
    return { mediaType, digest, size: Buffer.byteLength(bytes) };
  };
  const tars = image.layers.map(({ files }) => tarBytes(files));
  const layers = image.layers.map(({ compression = "gzip" }, i) => {
    const tar = tars[i] ?? Buffer.alloc(0);
    const type = "application/vnd.oci.image.layer.v1.tar";
    if (compression === "none") return put(type, tar);
    return put(
      `${type}+${compression}`,
      compression === "gzip" ? gzipSync(tar) : zstdCompressSync(tar),
    );
  });
  const config = put(
    "application/vnd.oci.image.config.v1+json",
    JSON.stringify({
      os: "linux",
      architecture: image.architecture ?? (process.arch === "arm64" ? "arm64" : "amd64"),
      config: image.config ?? {},
      rootfs: { type: "layers", diff_ids: tars.map(sha256) },
    }),
  );
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = put(mediaType, JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const annotations = { "org.opencontainers.image.ref.name": ref };
  writeFileSync(
    join(directory, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  return { digest: manifest.digest, layers };
}
