// SPDX-License-Identifier: Apache-2.0
// `oci:DIR[:REF]` and `oci-archive:FILE[:REF]`: an OCI image layout (image-layout.md of the OCI image specification).

import { quote } from "../../lib/text.ts";
import {
  type Descriptor,
  type Digest,
  MAX_DOCUMENT_BYTES,
  type OciIndex,
  type OciSource,
  parseIndex,
  type SourceManifest,
} from "../../oci/index.ts";
import { FetchError } from "../errors.ts";
import { type ImageFiles, readWhole, streamOf } from "./files.ts";

const REF_NAME = "org.opencontainers.image.ref.name";
const TAG = /^\w[\w.-]{0,127}$/;

/** A source that is not a registry: its image has a name only by what it is called here. */
export interface LocalOciSource extends OciSource {
  readonly name: string;
}

export interface LocalNames {
  readonly reference: string;
  readonly name: string;
  /** Which of several images; undefined when there must be one only. */
  readonly ref: string | undefined;
}

export function layoutSource(files: ImageFiles, names: LocalNames): LocalOciSource {
  const { reference, ref } = names;
  let tag = ref;
  return {
    reference,
    name: names.name,
    repository: undefined,
    /** Known when it is resolved: of an image that nobody had to choose, the name that it has. */
    get tag() {
      return tag;
    },
    async resolve() {
      const { index, bytes } = readIndex(files, reference);
      const chosen = choose(index, names);
      if (chosen === undefined) {
        const { digestOfBytes } = await import("../digest.ts");
        return { bytes, mediaType: index.mediaType, digest: digestOfBytes(bytes) };
      }
      const named = chosen.annotations?.[REF_NAME];
      if (named !== undefined && TAG.test(named)) tag ??= named;
      const found = readManifest(files, chosen.digest);
      if (found !== undefined) return { ...found, mediaType: chosen.mediaType };
      throw new FetchError(
        "FILE_UNREADABLE",
        `${quote(reference)} does not have its manifest ${chosen.digest}`,
      );
    },
    manifest: async (digest) => readManifest(files, digest),
    async tagged(tag) {
      const { index } = readIndex(files, reference);
      const one = index.manifests.find(({ annotations }) => annotations?.[REF_NAME] === tag);
      return one === undefined ? undefined : readManifest(files, one.digest);
    },
    referrers: async (digest) => findReferrers(files, readIndex(files, reference).index, digest),
    blob: (descriptor) => blobOf(files, blobName(descriptor.digest), descriptor),
    close: async () => files[Symbol.dispose](),
  };
}

export const blobName = (digest: Digest): string => `blobs/${digest.replace(":", "/")}`;

export async function* blobOf(
  files: ImageFiles,
  name: string,
  descriptor: Descriptor,
): AsyncGenerator<Uint8Array> {
  using file = files.open(name);
  if (file === undefined) {
    throw new FetchError(
      "FILE_UNREADABLE",
      `the image does not have its blob ${descriptor.digest}`,
    );
  }
  // One byte more shows that it is another blob than was described.
  yield* streamOf({ ...file, size: Math.min(file.size, descriptor.size + 1) }, name);
}

function readManifest(files: ImageFiles, digest: Digest): SourceManifest | undefined {
  const bytes = readWhole(files, blobName(digest), MAX_DOCUMENT_BYTES);
  // What it is, it says itself or its descriptor does.
  return bytes === undefined ? undefined : { bytes, mediaType: "", digest };
}

export function readIndex(
  files: ImageFiles,
  reference: string,
): { readonly index: OciIndex; readonly bytes: Uint8Array } {
  const bytes = readWhole(files, "index.json", MAX_DOCUMENT_BYTES);
  if (bytes === undefined) {
    throw new FetchError(
      "FILE_UNREADABLE",
      `${quote(reference)} is not an OCI image layout: it has no index.json`,
    );
  }
  return { bytes, index: parseIndex(bytes, "") };
}

/** Undefined: the index itself, when it lists nothing but one image for several platforms. */
function choose(index: OciIndex, { reference, ref }: LocalNames): Descriptor | undefined {
  const { manifests } = index;
  const named = manifests.filter(({ annotations }) => annotations?.[REF_NAME] !== undefined);
  if (ref !== undefined) {
    const found = named.filter(({ annotations }) => annotations?.[REF_NAME] === ref);
    if (found.length === 1) return found[0];
    throw several(reference, named, found.length === 0 ? "has no image" : "has several images");
  }
  if (manifests.length === 1) return manifests[0];
  if (manifests.length > 0 && named.length === 0) return undefined;
  throw several(reference, named, manifests.length === 0 ? "has no images" : "has several images");
}

function several(reference: string, named: readonly Descriptor[], what: string): FetchError {
  const refs = named.map(({ annotations }) => quote(annotations?.[REF_NAME] ?? ""));
  return new FetchError("REFERENCE_INVALID", `${quote(reference)} ${what} of that name`, {
    remedy:
      refs.length === 0 ? undefined : `append :REF with one of: ${refs.slice(0, 20).join(", ")}`,
  });
}

/** Manifests of the layout whose subject is this one. */
function findReferrers(files: ImageFiles, index: OciIndex, digest: Digest): readonly Descriptor[] {
  const found: Descriptor[] = [];
  for (const one of index.manifests) {
    const bytes = readWhole(files, blobName(one.digest), MAX_DOCUMENT_BYTES);
    if (bytes === undefined || one.digest === digest) continue;
    const text = Buffer.from(bytes).toString("utf8");
    // A quick look: whoever asked parses and checks it.
    if (text.includes('"subject"') && text.includes(digest)) found.push(one);
  }
  return found;
}
