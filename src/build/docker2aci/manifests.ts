// SPDX-License-Identifier: Apache-2.0
// The manifests of a Docker image's layers (tools.md §3.5): of schema 1, where each layer has a config of its own, and
// of schema 2 and OCI, where the top layer stands for the image.
import {
  AC_VERSION,
  type Annotation,
  type Dependency,
  hostLabels,
  type ImageManifest,
  type Labels,
  parseACIdentifier,
  setLabel,
} from "../../appc/index.ts";
import {
  appOf,
  type Digest,
  digestName,
  dockerAnnotations,
  dockerIdentifier,
  executionAnnotations,
  imageLabels,
  type OciConfig,
  originAnnotations,
} from "../../oci/index.ts";
import { ConversionError } from "./errors.ts";
import type { ImageName } from "./image.ts";

/** One layer of schema 1: what its `json` says. */
export interface V1Layer {
  readonly id: string;
  /** Empty for the lowest. */
  readonly parent: string;
  readonly comment: string;
  readonly config: OciConfig;
  /** There was a container config at all. */
  readonly runs: boolean;
}

function manifest(fields: Partial<ImageManifest> & Pick<ImageManifest, "name">): ImageManifest {
  return {
    acKind: "ImageManifest",
    acVersion: AC_VERSION,
    labels: [],
    annotations: [],
    dependencies: [],
    pathWhitelist: [],
    ...fields,
  };
}

function identifier({ index, image }: ImageName, suffix: string): ImageManifest["name"] {
  const name = dockerIdentifier(`${index}/${image}${suffix === "" ? "" : `-${suffix}`}`);
  if (name !== undefined) return name;
  throw new ConversionError("CONVERSION_SELECTION", `image name "${image}" has no letter or digit`);
}

/** Made of all layers: nothing of the layer that it was the manifest of is left in its name. */
export function squashedManifest(name: ImageName, top: ImageManifest): ImageManifest {
  return {
    ...top,
    name: identifier(name, ""),
    labels: top.labels.filter((label) => label.name !== "layer"),
    dependencies: [],
    pathWhitelist: [],
  };
}

/** `manhash` is the image's ID: a file of schema 1 has no manifest. */
export function v1Manifest(
  name: ImageName,
  layer: V1Layer,
  { manhash, parent }: { readonly manhash: string; readonly parent: V1Layer | undefined },
): ImageManifest {
  const { config, id, comment } = layer;
  const [author, created] = ["author", "created"].map((key) =>
    originAnnotations(config).find((annotation) => annotation.name === key),
  );
  const annotations: Annotation[] = [];
  if (author !== undefined) {
    annotations.push({ name: parseACIdentifier("authors"), value: author.value });
  }
  if (created !== undefined) {
    annotations.push({ name: created.name, value: created.value.replace(/[.,][0-9]+/, "") });
  }
  if (comment !== "") {
    annotations.push({ name: parseACIdentifier("docker-comment"), value: comment });
  }
  const origin = originOf(name, { imageID: id, parent: layer.parent, manhash });
  const tag = layer.parent === "" || name.tag === "" ? undefined : name.tag;
  return manifest({
    name: identifier(name, id),
    labels: v1Labels(name, layer),
    annotations: [
      ...annotations,
      ...origin,
      ...executionAnnotations(config.config),
      ...dockerAnnotations([["tag", tag]]),
    ],
    app: layer.runs ? { ...appOf(config.config), userLabels: config.config.labels } : undefined,
    dependencies:
      parent === undefined
        ? []
        : [dependency(v1Manifest(name, parent, { manhash, parent: undefined }))],
  });
}

function v1Labels({ tag }: ImageName, { config, id }: V1Layer): Labels {
  return byName(setLabel(imageLabels(config.platform, tag), parseACIdentifier("layer"), id));
}

export interface V2Image {
  readonly config: OciConfig;
  /** There was a container config at all. */
  readonly runs: boolean;
  readonly imageID: Digest;
  /** Of the manifest, or the image's ID where a file has none. */
  readonly manhash: Digest;
}

export function v2LowerManifest(name: ImageName, digest: Digest, arch: string): ImageManifest {
  return manifest({
    name: identifier(name, digestName(digest)),
    labels: byName(hostLabels({ platform: "linux", arch })),
  });
}

export function v2TopManifest(
  name: ImageName,
  image: V2Image,
  { digest, lower }: { readonly digest: Digest; readonly lower: readonly ImageManifest[] },
): ImageManifest {
  const { config, imageID, manhash, runs } = image;
  return manifest({
    name: identifier(name, digestName(digest)),
    labels: byName(imageLabels(config.platform, name.tag)),
    annotations: [
      ...originAnnotations(config),
      ...originOf(name, { imageID, parent: "", manhash }),
      ...executionAnnotations(config.config),
    ],
    app: runs ? appOf(config.config) : undefined,
    dependencies: lower.map(dependency),
  });
}

function originOf(
  { original, index, image }: ImageName,
  ids: { readonly imageID: string; readonly parent: string; readonly manhash: string },
): Annotation[] {
  const some = (text: string) => (text === "" ? undefined : text);
  return dockerAnnotations([
    ["originalName", some(original)],
    ["registryURL", some(index)],
    ["repository", image],
    ["imageID", ids.imageID],
    ["parentImageID", some(ids.parent)],
    ["manifestHash", some(ids.manhash)],
  ]);
}

const dependency = ({ name, labels }: ImageManifest): Dependency => ({
  imageName: name,
  labels,
  size: 0,
});

const byName = (labels: Labels): Labels => labels.toSorted((a, b) => (a.name < b.name ? -1 : 1));
