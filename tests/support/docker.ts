// SPDX-License-Identifier: Apache-2.0
// Docker and OCI images in files, as the programs that make them write them. Shares no code with src.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { type TarItem, tarBytes } from "./tar.ts";

export type LayerItems = readonly TarItem[];

export interface ImageDescription {
  /** Lowest first. */
  readonly layers: readonly (LayerItems | Buffer)[];
  /** The config's `config`; undefined leaves it out. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  /** Further fields of the config. */
  readonly more?: Readonly<Record<string, unknown>>;
}

const GO_ARCH = process.arch === "arm64" ? "arm64" : "amd64";

export const sha256 = (bytes: Uint8Array | string): string =>
  createHash("sha256").update(bytes).digest("hex");

const archive = (layer: LayerItems | Buffer): Buffer =>
  Buffer.isBuffer(layer) ? layer : tarBytes(layer);

/** What `docker save` wrote before version 25: `repositories`, and a directory for each layer. */
export function savedV1(
  repositories: Readonly<Record<string, Readonly<Record<string, ImageDescription>>>>,
  raw: readonly TarItem[] = [],
): Buffer {
  const items: TarItem[] = [];
  const table: Record<string, Record<string, string>> = {};
  for (const [name, tags] of Object.entries(repositories)) {
    table[name] = {};
    for (const [tag, image] of Object.entries(tags)) {
      let parent = "";
      for (const [i, layer] of image.layers.entries()) {
        const bytes = archive(layer);
        const id = sha256(`${name}:${tag}:${i}`);
        const isTop = i === image.layers.length - 1;
        const json = {
          id,
          ...(parent === "" ? {} : { parent }),
          created: "2016-06-02T21:43:31.291506236Z",
          os: "linux",
          architecture: GO_ARCH,
          ...(isTop ? { config: image.config, ...image.more } : {}),
        };
        items.push({ name: `${id}/`, type: "dir" });
        items.push({ name: `${id}/json`, content: JSON.stringify(json) });
        items.push({ name: `${id}/layer.tar`, content: bytes });
        parent = id;
      }
      table[name][tag] = parent;
    }
  }
  items.push({ name: "repositories", content: JSON.stringify(table) });
  return tarBytes([...items, ...raw]);
}

interface Blob {
  readonly digest: string;
  readonly bytes: Buffer;
}

const blobOf = (bytes: Buffer): Blob => ({ digest: `sha256:${sha256(bytes)}`, bytes });

function configOf({ layers, config, more }: ImageDescription): Blob {
  return blobOf(
    Buffer.from(
      JSON.stringify({
        created: "2024-11-12T01:27:40Z",
        os: "linux",
        architecture: GO_ARCH,
        config,
        rootfs: {
          type: "layers",
          diff_ids: layers.map((layer) => `sha256:${sha256(archive(layer))}`),
        },
        history: [],
        ...more,
      }),
    ),
  );
}

/** What `docker save` writes: `manifest.json`. */
export function savedV2(images: Readonly<Record<string, ImageDescription>>): Buffer {
  const items: TarItem[] = [];
  const manifest = Object.entries(images).map(([name, image]) => {
    const config = configOf(image);
    items.push({ name: `${config.digest.slice(7)}.json`, content: config.bytes });
    const paths = image.layers.map((layer) => {
      const bytes = archive(layer);
      const path = `${sha256(bytes)}/layer.tar`;
      items.push({ name: path, content: bytes });
      return path;
    });
    return { Config: `${config.digest.slice(7)}.json`, RepoTags: [name], Layers: paths };
  });
  return tarBytes([...items, { name: "manifest.json", content: JSON.stringify(manifest) }]);
}

export interface OciImage {
  readonly manifest: Blob;
  readonly blobs: readonly Blob[];
  readonly layers: readonly string[];
}

/** The blobs of an image with gzip layers. */
export function ociImage(image: ImageDescription): OciImage {
  const config = configOf(image);
  const layers = image.layers.map((layer) => blobOf(gzipSync(archive(layer))));
  const describe = (mediaType: string, { digest, bytes }: Blob) => ({
    mediaType,
    digest,
    size: bytes.length,
  });
  const manifest = blobOf(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: describe("application/vnd.oci.image.config.v1+json", config),
        layers: layers.map((one) => describe("application/vnd.oci.image.layer.v1.tar+gzip", one)),
      }),
    ),
  );
  return {
    manifest,
    blobs: [manifest, config, ...layers],
    layers: layers.map((one) => one.digest),
  };
}

/** An OCI layout as a tar archive; `change` may break it. */
export function ociArchive(
  images: Readonly<Record<string, ImageDescription>>,
  options: { readonly refs?: boolean; readonly change?: (items: TarItem[]) => TarItem[] } = {},
): Buffer {
  const made = Object.entries(images).map(([ref, image]) => ({ ref, ...ociImage(image) }));
  const descriptor = ({ manifest }: OciImage, annotations?: Record<string, string>) => ({
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: manifest.digest,
    size: manifest.bytes.length,
    annotations,
  });
  const blobs = new Map(made.flatMap((one) => one.blobs.map((blob) => [blob.digest, blob.bytes])));
  const items: TarItem[] = [
    { name: "oci-layout", content: '{"imageLayoutVersion":"1.0.0"}' },
    ...[...blobs].map(([digest, content]) => ({
      name: `blobs/${digest.replace(":", "/")}`,
      content,
    })),
  ];
  if (options.refs === true) {
    for (const one of made)
      items.push({ name: `refs/${one.ref}`, content: JSON.stringify(descriptor(one)) });
  } else {
    const manifests = made.map((one) =>
      descriptor(one, { "org.opencontainers.image.ref.name": one.ref }),
    );
    items.push({ name: "index.json", content: JSON.stringify({ schemaVersion: 2, manifests }) });
  }
  return tarBytes(options.change?.(items) ?? items);
}

/** Debian's static busybox with links for these names. */
export function busyboxLayer(...applets: readonly string[]): LayerItems {
  return [
    { name: "bin/", type: "dir" },
    { name: "bin/busybox", content: readFileSync("/bin/busybox"), mode: 0o755 },
    ...applets.map((name) => ({ name: `bin/${name}`, type: "symlink", link: "busybox" })),
    { name: "etc/", type: "dir" },
    { name: "etc/passwd", content: "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1001::/:/bin/sh\n" },
    { name: "etc/group", content: "root:x:0:\nuser:x:1000:\n" },
  ];
}
