// SPDX-License-Identifier: Apache-2.0
// Images in files: what `docker save` wrote and writes (`repositories`, `manifest.json`), and OCI layouts as a tar
// archive (`refs/TAG` of the first drafts, `index.json`). The archive is read where it lies; tools.md §3.4.
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { basename, posix } from "node:path";
import { isErrno } from "../../lib/errors.ts";
import type { Reporter } from "../../lib/reporter.ts";
import { quote } from "../../lib/text.ts";
import {
  choosePlatform,
  type Digest,
  hostPlatform,
  isIndexType,
  type OciConfig,
  type OciManifest,
  parseConfig,
  parseDigest,
  parseIndex,
  parseManifest,
} from "../../oci/index.ts";
import type { TarEntry } from "../../tar/entry.ts";
import { readTar } from "../../tar/read.ts";
import { decompressed, kindOf, temporaryFile } from "./convert.ts";
import { ConversionError } from "./errors.ts";
import { type DockerImage, type ImageName, parseImageName, type SourceLayer } from "./image.ts";
import { type V1Layer, v1Manifest } from "./manifests.ts";
import { imageOfManifest } from "./schema2.ts";

const MAX_JSON = 4 * 1024 * 1024;
/** A chain of schema 1, and the layers of anything else. */
const MAX_LAYERS = 1024;

/** An image of a file, found but not looked at. */
interface Candidate {
  /** Undefined: the file does not name it. */
  readonly image: string | undefined;
  readonly tag: string;
  load(name: ImageName): DockerImage;
}

/** Opens `path` and finds the image `wanted` (`NAME[:TAG]`), or the only one when that is empty. */
export async function openSavedImage(
  path: string,
  wanted: string,
  report: Reporter,
): Promise<{ readonly image: DockerImage; close(): void }> {
  const fd = await openFile(path);
  try {
    const archive = new SavedArchive(fd, report);
    const name = wanted === "" ? undefined : parseImageName(wanted);
    const stem = basename(path).split(".", 1)[0] ?? "";
    const chosen = choose(candidates(archive), name, stem);
    const image = chosen.candidate.load(chosen.name);
    return { image, close: () => closeSync(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

async function openFile(path: string): Promise<number> {
  try {
    const fd = openSync(path, "r");
    const kind = kindOf(fd);
    return kind === "unknown" || kind === "text" ? fd : await decompressed(fd, kind);
  } catch (cause) {
    throw new ConversionError("CONVERSION_INPUT", `error opening file ${quote(path)}`, {
      cause,
      remedy: isErrno(cause, "ENOENT")
        ? "a file of docker save or an OCI layout in a tar archive, or docker://NAME"
        : undefined,
    });
  }
}

function choose(
  found: readonly Candidate[],
  wanted: ImageName | undefined,
  stem: string,
): { readonly candidate: Candidate; readonly name: ImageName } {
  if (found.length === 0) throw selection("no images found");
  const names = [...new Set(found.map(({ image }) => image))];
  const [image] = names;
  if (wanted === undefined && names.length > 1) {
    const list = names.map((name) => name ?? stem).join("\n");
    throw selection(`several images found, use option --image with one of:\n\n${list}`);
  }
  const name = wanted?.image ?? image;
  const of = found.filter((one) => one.image === undefined || one.image === name);
  if (of.length === 0) throw selection(`app ${quote(name ?? "")} not found`);
  const tag = wanted === undefined || wanted.tag === "" ? "latest" : wanted.tag;
  const candidate = of.find((one) => one.tag === tag) ?? (of.length === 1 ? of[0] : undefined);
  if (candidate === undefined) throw selection(`tag ${quote(tag)} not found`);
  return {
    candidate,
    name: {
      original: wanted?.original ?? "",
      index: wanted?.index ?? "",
      image: name ?? imageOfStem(stem),
      tag: candidate.tag,
    },
  };
}

/** The file's own name, as far as it can be an image's. */
function imageOfStem(stem: string): string {
  const clean = stem
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  return clean === "" ? "image" : clean;
}

function selection(sentence: string): ConversionError {
  return new ConversionError("CONVERSION_SELECTION", sentence);
}

/** The newest form that the file has, but schema 1 where the file has its layers: the reference reads those. */
function candidates(archive: SavedArchive): readonly Candidate[] {
  const repositories = archive.json("repositories");
  const legacy = repositories === undefined ? [] : fromRepositories(archive, repositories);
  if (legacy.length > 0) return legacy;
  const manifest = archive.json("manifest.json");
  if (manifest !== undefined) return fromManifestJson(archive, manifest);
  const refs = archive.names("refs/").map((tag) => fromRef(archive, tag));
  if (refs.length > 0) return refs;
  return archive.has("index.json") ? fromIndex(archive) : [];
}

// docker save, schema 1

function fromRepositories(archive: SavedArchive, json: unknown): Candidate[] {
  const found: Candidate[] = [];
  for (const [key, tags] of Object.entries(record(json, "repositories"))) {
    const { image } = parseImageName(key);
    for (const [tag, id] of Object.entries(record(tags, "repositories"))) {
      if (!/^\w[\w.-]{0,127}$/.test(tag)) throw invalid(`repositories has the tag ${quote(tag)}`);
      // Docker since version 25 keeps no layers by these names.
      if (typeof id !== "string" || !archive.has(`${checkLayerID(id)}/json`)) continue;
      found.push({ image, tag, load: (name) => v1Image(archive, id, name) });
    }
  }
  return found;
}

function checkLayerID(id: string): string {
  if (!/^(?:\w+:)?[A-Fa-f0-9]+$/.test(id) || id.length > 200) {
    throw invalid(`invalid layer ID ${quote(id)}`);
  }
  return id;
}

function v1Image(archive: SavedArchive, id: string, name: ImageName): DockerImage {
  const chain = v1Chain(archive, id).reverse();
  const of = (number: number): V1Layer => {
    const layer = chain[number];
    if (layer === undefined) throw new Error("a layer that is not there");
    return layer;
  };
  return {
    name,
    layers: chain.map((layer) => archive.layer(`${layer.id}/layer.tar`, layer.id, undefined)),
    manifest: (number) =>
      v1Manifest(name, of(number), {
        manhash: id,
        parent: number === 0 ? undefined : of(number - 1),
      }),
    fileName: (number) => {
      const { os, architecture } = of(number).config.platform;
      const parts = [name.image.replaceAll("/", "-"), name.tag];
      if (isWord(os)) parts.push(os, ...(isWord(architecture) ? [architecture] : []));
      parts.push(String(chain.length - 1 - number));
      return `${parts.filter((part) => part !== "").join("-")}.aci`;
    },
  };
}

const isWord = (text: string): boolean => /^[A-Za-z0-9_]{1,32}$/.test(text);

/** Top first. */
function v1Chain(archive: SavedArchive, top: string): V1Layer[] {
  const chain: V1Layer[] = [];
  const seen = new Set<string>();
  for (let id = top; id !== ""; id = chain.at(-1)?.parent ?? "") {
    if (seen.has(id)) throw invalid(`dependency loop detected at image ${quote(id)}`);
    if (chain.length === MAX_LAYERS) throw invalid(`the image has more than ${MAX_LAYERS} layers`);
    seen.add(id);
    chain.push(v1Layer(archive, checkLayerID(id)));
  }
  return chain;
}

function v1Layer(archive: SavedArchive, id: string): V1Layer {
  const path = `${id}/json`;
  const json = record(archive.requiredJson(path), path);
  const text = (key: string) => (typeof json[key] === "string" ? json[key] : "");
  const config = json["config"] == null ? undefined : record(json["config"], path);
  return {
    id,
    parent: text("parent"),
    comment: text("comment"),
    config: v1Config(json, config),
    runs: config !== undefined,
  };
}

/** The fields that schema 1 and 2 share have the same names and meanings. */
function v1Config(json: Json, config: Json | undefined): OciConfig {
  const ports = config?.["PortSpecs"];
  const exposed =
    config?.["ExposedPorts"] ??
    (Array.isArray(ports) ? Object.fromEntries(ports.map((port) => [String(port), {}])) : {});
  const whole = {
    ...json,
    rootfs: { type: "layers" },
    history: [],
    config: config === undefined ? null : { ...config, ExposedPorts: exposed },
  };
  return parseConfig(Buffer.from(JSON.stringify(whole)));
}

// docker save, schema 2

function fromManifestJson(archive: SavedArchive, json: unknown): Candidate[] {
  if (!Array.isArray(json)) throw invalid("manifest.json is not a list");
  return json.flatMap((one: unknown) => {
    const entry = record(one, "manifest.json");
    const tags = Array.isArray(entry["RepoTags"]) ? entry["RepoTags"] : [];
    const load = (name: ImageName) => savedImage(archive, entry, name);
    if (tags.length === 0) return [{ image: undefined, tag: "latest", load }];
    return tags.map((text: unknown): Candidate => {
      const { image, tag } = parseImageName(String(text));
      return { image, tag, load };
    });
  });
}

/** The config has the digests of the uncompressed layers, and its own is the image's ID. */
function savedImage(archive: SavedArchive, entry: Json, name: ImageName): DockerImage {
  const paths: readonly unknown[] = Array.isArray(entry["Layers"]) ? entry["Layers"] : [];
  const bytes = archive.bytes(String(entry["Config"]));
  const config = parseConfig(bytes);
  const { diffIDs } = config.rootfs;
  if (paths.length !== diffIDs.length) {
    throw invalid(`manifest.json names ${paths.length} layers, the config ${diffIDs.length}`);
  }
  const imageID = digestOf(bytes);
  return imageOfManifest({
    name,
    config: bytes,
    imageID,
    manhash: imageID,
    layers: diffIDs.map((digest, i) => ({
      digest,
      source: archive.layer(String(paths[i]), digest, digest),
    })),
  });
}

// OCI

function fromRef(archive: SavedArchive, tag: string): Candidate {
  return {
    image: undefined,
    tag,
    load: (name) => {
      const { digest } = record(archive.requiredJson(`refs/${tag}`), `refs/${tag}`);
      return ociImage(archive, parseDigest(String(digest)), name);
    },
  };
}

function fromIndex(archive: SavedArchive): Candidate[] {
  const index = parseIndex(archive.bytes("index.json"), "");
  return index.manifests
    .filter(({ mediaType }) => isIndexType(mediaType) !== undefined)
    .map(({ digest, annotations = {} }) => {
      const ref =
        annotations["io.containerd.image.name"] ??
        annotations["org.opencontainers.image.ref.name"] ??
        "latest";
      const isTag = /^\w[\w.-]{0,127}$/.test(ref);
      const { image, tag } = isTag ? { image: undefined, tag: ref } : parseImageName(ref);
      return { image, tag, load: (name) => ociImage(archive, digest, name) };
    });
}

function ociImage(archive: SavedArchive, digest: Digest, name: ImageName): DockerImage {
  const { manifest, manhash } = resolveManifest(archive, digest);
  const layers = manifest.layers.map((layer) => ({
    digest: layer.digest,
    source: archive.layer(blobPath(layer.digest), layer.digest, layer.digest),
  }));
  const { digest: imageID } = manifest.config;
  return imageOfManifest({ name, config: archive.blob(imageID), imageID, manhash, layers });
}

function resolveManifest(
  archive: SavedArchive,
  digest: Digest,
): { readonly manifest: OciManifest; readonly manhash: Digest } {
  const bytes = archive.blob(digest);
  const json = record(parseJson(bytes, digest), digest);
  if (json["manifests"] === undefined) {
    return { manifest: parseManifest(bytes, ""), manhash: digest };
  }
  const chosen = choosePlatform(parseIndex(bytes, ""), hostPlatform(process.arch)).digest;
  return { manifest: parseManifest(archive.blob(chosen), ""), manhash: chosen };
}

const blobPath = (digest: Digest): string => `blobs/${digest.replace(":", "/")}`;

// The archive

type Json = Readonly<Record<string, unknown>>;

/** A tar archive that is looked into by name. */
class SavedArchive {
  readonly #fd: number;
  readonly #report: Reporter;
  readonly #entries = new Map<string, TarEntry>();

  constructor(fd: number, report: Reporter) {
    this.#fd = fd;
    this.#report = report;
    try {
      for (const entry of readTar(fd)) this.#entries.set(entry.name, entry);
    } catch (cause) {
      throw new ConversionError("CONVERSION_INPUT", "error reading the image's file", {
        cause,
        remedy: "it must be a tar archive: docker save -o FILE NAME",
      });
    }
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  /** The last parts of the names of files right below `prefix`. */
  names(prefix: string): string[] {
    return [...this.#entries.values()].flatMap(({ name, kind }) =>
      kind === "file" &&
      name.startsWith(prefix) &&
      /^\w[\w.-]{0,127}$/.test(name.slice(prefix.length))
        ? [name.slice(prefix.length)]
        : [],
    );
  }

  json(name: string): unknown {
    return this.has(name) ? this.requiredJson(name) : undefined;
  }

  requiredJson(name: string): unknown {
    return parseJson(this.bytes(name), name);
  }

  bytes(name: string): Uint8Array {
    const entry = this.#required(name);
    if (entry.size > MAX_JSON)
      throw invalid(`file ${quote(name)} is larger than ${MAX_JSON} bytes`);
    const bytes = Buffer.alloc(entry.size);
    for (let at = 0; at < bytes.length; ) {
      const n = readSync(this.#fd, bytes, at, bytes.length - at, entry.dataOffset + at);
      if (n === 0) throw invalid(`file ${quote(name)} is cut`);
      at += n;
    }
    return bytes;
  }

  blob(digest: Digest): Uint8Array {
    const bytes = this.bytes(blobPath(digest));
    if (digestOf(bytes, digest) !== digest) throw invalid(`blob ${digest} has another digest`);
    return bytes;
  }

  layer(path: string, id: string, digest: Digest | undefined): SourceLayer {
    return {
      id,
      open: async () => {
        const entry = this.#required(path);
        const hex = id.slice(id.indexOf(":") + 1);
        this.#report.line("", `Extracting ${hex.slice(0, 12)}`);
        return this.#copy(entry, digest);
      },
    };
  }

  #copy({ dataOffset, size, name }: TarEntry, digest: Digest | undefined): number {
    const to = temporaryFile();
    try {
      const hash = createHash(digest?.startsWith("sha512:") === true ? "sha512" : "sha256");
      const buffer = Buffer.allocUnsafe(1 << 20);
      for (let done = 0; done < size; ) {
        const wanted = Math.min(buffer.length, size - done);
        const n = readSync(this.#fd, buffer, 0, wanted, dataOffset + done);
        if (n === 0) throw invalid(`file ${quote(name)} is cut`);
        const chunk = buffer.subarray(0, n);
        if (digest !== undefined) hash.update(chunk);
        for (let at = 0; at < n; ) at += writeSync(to, chunk, at);
        done += n;
      }
      const found = hash.digest("hex");
      if (digest !== undefined && digest.slice(digest.indexOf(":") + 1) !== found) {
        throw invalid(`layer ${digest} has another digest`);
      }
      return to;
    } catch (error) {
      closeSync(to);
      throw error;
    }
  }

  #required(name: string): TarEntry {
    const entry = this.#find(name);
    if (entry === undefined) throw invalid(`file ${quote(name)} not found`);
    return entry;
  }

  /** A regular file, also behind a link of the archive: equal layers are links to one. */
  #find(name: string): TarEntry | undefined {
    const entry = this.#entries.get(name);
    if (entry?.kind === "file") return entry;
    const target =
      entry?.kind === "hardlink"
        ? entry.linkName
        : entry?.kind === "symlink"
          ? posix.join(posix.dirname(name), entry.linkName)
          : undefined;
    const found = target === undefined ? undefined : this.#entries.get(target);
    return found?.kind === "file" ? found : undefined;
  }
}

function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw new ConversionError("CONVERSION_INPUT", `error unmarshaling ${quote(what)}`, { cause });
  }
}

function record(value: unknown, what: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw invalid(`${quote(what)} is not a JSON object`);
}

function digestOf(bytes: Uint8Array, like: string = "sha256:"): Digest {
  const algorithm = like.slice(0, like.indexOf(":"));
  return parseDigest(`${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`);
}

function invalid(sentence: string): ConversionError {
  return new ConversionError("CONVERSION_INPUT", sentence);
}
