// SPDX-License-Identifier: Apache-2.0
// `docker-archive:FILE[:NAME:TAG]`: what `docker save` writes. Since Docker 25 there is an OCI layout in it, whose
// manifest is taken; before, only a list of files, of which the manifest is made here.
import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { isErrno } from "../../lib/errors.ts";
import { quote } from "../../lib/text.ts";
import {
  type Descriptor,
  type Digest,
  MAX_DOCUMENT_BYTES,
  MEDIA_TYPES,
  OciError,
  parseConfig,
  parseManifest,
  type SourceManifest,
} from "../../oci/index.ts";
import { detectCompression, SNIFF_LENGTH } from "../../tar/compression.ts";
import { digestOfBytes } from "../digest.ts";
import { parseDockerReference } from "../docker-reference.ts";
import { FetchError } from "../errors.ts";
import { type FileRange, type ImageFiles, readWhole, streamOf } from "./files.ts";
import { blobName, blobOf, type LocalNames, type LocalOciSource, readIndex } from "./layout.ts";

interface SavedImage {
  readonly config: string;
  readonly tags: readonly string[];
  readonly layers: readonly string[];
}

export function dockerArchiveSource(files: ImageFiles, names: LocalNames): LocalOciSource {
  const { reference } = names;
  const saved = chooseSaved(readSaved(files, reference), names);
  const tagged = parseDockerReference(names.ref ?? saved.tags[0] ?? "");
  /** Blobs of a manifest that is made here, by digest. */
  const made = new Map<Digest, string>();
  const nameOf = ({ digest }: Descriptor): string => made.get(digest) ?? blobName(digest);
  return {
    reference,
    name: tagged === undefined ? names.name : `${tagged.registry}/${tagged.repository}`,
    repository: undefined,
    tag: tagged?.tag === "" ? undefined : tagged?.tag,
    resolve: async () =>
      findInLayout(files, saved, reference) ?? (await makeManifest(files, saved, made)),
    manifest: async () => undefined,
    tagged: async () => undefined,
    referrers: async () => [],
    blob: (descriptor) => blobOf(files, nameOf(descriptor), descriptor),
    close: async () => files[Symbol.dispose](),
  };
}

function readSaved(files: ImageFiles, reference: string): readonly SavedImage[] {
  const bytes = readWhole(files, "manifest.json", MAX_DOCUMENT_BYTES);
  const bad = (why: string, cause?: unknown) =>
    new FetchError(
      "FILE_UNREADABLE",
      `${quote(reference)} is not an archive of docker save: ${why}`,
      {
        cause,
      },
    );
  if (bytes === undefined) throw bad("it has no manifest.json");
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (error) {
    throw bad("its manifest.json is not valid JSON", error);
  }
  if (!Array.isArray(json) || json.length > 1000) throw bad("its manifest.json is not a list");
  return json.map((one): SavedImage => {
    const texts = (value: unknown): readonly string[] => {
      if (value === null || value === undefined) return [];
      if (
        Array.isArray(value) &&
        value.length <= 1000 &&
        value.every((v) => typeof v === "string")
      ) {
        return value;
      }
      throw bad("its manifest.json has a bad list");
    };
    const config: unknown = one?.Config;
    if (typeof config !== "string") throw bad("its manifest.json names no config");
    return { config, tags: texts(one.RepoTags), layers: texts(one.Layers) };
  });
}

function chooseSaved(all: readonly SavedImage[], { reference, ref }: LocalNames): SavedImage {
  const wanted = ref === undefined ? undefined : fullName(ref);
  const found =
    wanted === undefined
      ? all
      : all.filter(({ tags }) => tags.some((tag) => fullName(tag) === wanted));
  const [one] = found;
  if (one !== undefined && found.length === 1) return one;
  const tags = all.flatMap((image) => image.tags).map(quote);
  throw new FetchError(
    "REFERENCE_INVALID",
    `${quote(reference)} has ${found.length === 0 ? "no image" : "several images"} of that name`,
    {
      remedy:
        tags.length === 0
          ? undefined
          : `append :NAME:TAG of one of: ${tags.slice(0, 20).join(", ")}`,
    },
  );
}

function fullName(text: string): string {
  const parsed = parseDockerReference(text);
  return parsed === undefined ? text : `${parsed.registry}/${parsed.repository}:${parsed.tag}`;
}

/** The manifest in the archive's OCI layout that has the same config; undefined where there is none. */
function findInLayout(
  files: ImageFiles,
  saved: SavedImage,
  reference: string,
): SourceManifest | undefined {
  using layout = files.open("index.json");
  if (layout === undefined) return undefined;
  for (const { digest, mediaType } of readIndex(files, reference).index.manifests) {
    const bytes = readWhole(files, blobName(digest), MAX_DOCUMENT_BYTES);
    if (bytes === undefined) continue;
    try {
      const { config } = parseManifest(bytes, mediaType);
      if (blobName(config.digest) === saved.config) return { bytes, mediaType, digest };
    } catch (error) {
      // An index or something else: not what manifest.json speaks of.
      if (!(error instanceof OciError) && !isErrno(error, "ENOENT")) throw error;
    }
  }
  return undefined;
}

async function makeManifest(
  files: ImageFiles,
  saved: SavedImage,
  made: Map<Digest, string>,
): Promise<SourceManifest> {
  const config = readWhole(files, saved.config, MAX_DOCUMENT_BYTES);
  if (config === undefined) {
    throw new FetchError("FILE_UNREADABLE", `the archive does not have ${quote(saved.config)}`);
  }
  const configDigest = digestOfBytes(config);
  made.set(configDigest, saved.config);
  const layers: object[] = [];
  const diffIDs = diffIDsOf(config);
  for (const [index, name] of saved.layers.entries()) {
    using file = files.open(name);
    if (file === undefined) {
      throw new FetchError("FILE_UNREADABLE", `the archive does not have ${quote(name)}`);
    }
    const said = diffIDs.length === saved.layers.length ? diffIDs[index] : undefined;
    const digest =
      said !== undefined && isPlainTar(file)
        ? said
        : (`sha256:${await sha256Of(file, name)}` as Digest);
    made.set(digest, name);
    layers.push({
      mediaType: "application/vnd.docker.image.rootfs.diff.tar",
      size: file.size,
      digest,
    });
  }
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.dockerManifest,
      config: { mediaType: MEDIA_TYPES.dockerConfig, size: config.length, digest: configDigest },
      layers,
    }),
  );
  return { bytes, mediaType: MEDIA_TYPES.dockerManifest, digest: digestOfBytes(bytes) };
}

/** What the layers are said to be: of one that is not compressed, the digest too. Who fetches it checks that. */
function diffIDsOf(config: Uint8Array): readonly Digest[] {
  try {
    return parseConfig(config).rootfs.diffIDs;
  } catch (error) {
    // It is told where the config is used.
    if (error instanceof OciError) return [];
    throw error;
  }
}

function isPlainTar({ fd, offset, size }: FileRange): boolean {
  const head = Buffer.alloc(Math.min(SNIFF_LENGTH, size));
  return detectCompression(head.subarray(0, readSync(fd, head, 0, head.length, offset))) === "tar";
}

async function sha256Of(file: FileRange, name: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of streamOf(file, name)) hash.update(chunk);
  return hash.digest("hex");
}
