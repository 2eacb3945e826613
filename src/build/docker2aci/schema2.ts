// SPDX-License-Identifier: Apache-2.0
// An image of schema 2 or OCI: one config for all layers, and digests as names.
import { type Digest, digestName, hostPlatform, parseConfig } from "../../oci/index.ts";
import type { DockerImage, ImageName, SourceLayer } from "./image.ts";
import { v2LowerManifest, v2TopManifest } from "./manifests.ts";

export interface Schema2 {
  readonly name: ImageName;
  /** The bytes of the image's config. */
  readonly config: Uint8Array;
  readonly imageID: Digest;
  readonly manhash: Digest;
  /** Lowest first. */
  readonly layers: readonly { readonly digest: Digest; readonly source: SourceLayer }[];
}

export function imageOfManifest({ name, config, imageID, manhash, layers }: Schema2): DockerImage {
  const parsed = parseConfig(config);
  const runs = hasContainerConfig(config);
  const { os, architecture } = hostPlatform(process.arch);
  const digestAt = (number: number): Digest => {
    const layer = layers[number];
    if (layer === undefined) throw new Error("a layer that is not there");
    return layer.digest;
  };
  return {
    name,
    layers: layers.map(({ source }) => source),
    manifest: (number, lower) => {
      const digest = digestAt(number);
      return number < layers.length - 1
        ? v2LowerManifest(name, digest, architecture)
        : v2TopManifest(name, { config: parsed, runs, imageID, manhash }, { digest, lower });
    },
    fileName: (number) => {
      const place = name.index === "" ? name.image : `${name.index}/${name.image}`;
      const tag = name.tag === "" ? [] : [name.tag];
      return `${[place, digestName(digestAt(number)), ...tag, os, architecture].join("-")}.aci`;
    },
  };
}

/** Without one the image says nothing about running it: the ACI has no app section. `config` was parsed. */
function hasContainerConfig(config: Uint8Array): boolean {
  const json: { readonly config?: unknown } = JSON.parse(Buffer.from(config).toString("utf8"));
  return json.config != null;
}
