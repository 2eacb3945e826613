// SPDX-License-Identifier: Apache-2.0
// A Docker image on its way to be ACIs, wherever it comes from.
import type { ImageManifest } from "../../appc/index.ts";
import { type DockerReference, parseDockerReference } from "../../fetch/docker-reference.ts";
import { quote } from "../../lib/text.ts";
import { ConversionError } from "./errors.ts";

/** What an image is called. `index` is empty for one of a file that nobody named. */
export interface ImageName {
  /** As the user wrote it, or empty. */
  readonly original: string;
  readonly index: string;
  readonly image: string;
  /** Empty when a digest is given. */
  readonly tag: string;
}

/** A layer as it came: a file, compressed or not, with its content at the start. */
export interface SourceLayer {
  /** For progress and errors. */
  readonly id: string;
  /** The caller closes the descriptor. Checks the digest where there is one. */
  open(): Promise<number>;
}

export interface DockerImage {
  readonly name: ImageName;
  /** Lowest first. */
  readonly layers: readonly SourceLayer[];
  /** Of the layer's ACI, without pathWhitelist. `lower`: those of the layers below it, lowest first. */
  manifest(layer: number, lower: readonly ImageManifest[]): ImageManifest;
  /** Of the layer's ACI, relative to the output directory. */
  fileName(layer: number): string;
}

/** `[REGISTRY/]NAME[:TAG|@DIGEST]`. */
export function parseImageName(text: string): ImageName & { readonly reference: DockerReference } {
  const reference = parseDockerReference(text);
  // A registry's name becomes a directory's (-nosquash).
  if (reference === undefined || reference.registry.startsWith(".")) {
    throw new ConversionError("CONVERSION_SELECTION", `invalid image name ${quote(text)}`);
  }
  const { registry, repository, tag } = reference;
  return { original: text, index: registry, image: repository, tag, reference };
}

/** `library-busybox-latest.aci`. */
export function squashedFileName({ image, tag }: ImageName): string {
  return `${image.replaceAll("/", "-")}${tag === "" ? "" : `-${tag}`}.aci`;
}
