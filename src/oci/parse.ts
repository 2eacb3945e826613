// SPDX-License-Identifier: Apache-2.0
// Manifests, indexes and configs out of bytes from anywhere: bounded in size, depth and count, typed once, and
// refused where two readers could understand them differently.
import { quote } from "../lib/text.ts";
import { OciError } from "./errors.ts";
import type {
  Descriptor,
  Digest,
  OciConfig,
  OciExecution,
  OciHealthcheck,
  OciHistory,
  OciIndex,
  OciManifest,
  Platform,
} from "./types.ts";

export const MEDIA_TYPES = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  config: "application/vnd.oci.image.config.v1+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
} as const;

/** A manifest, an index, a config. */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
export const MAX_LAYERS = 128;
const MAX_DEPTH = 100;
const MAX_ENTRIES = 1000;
const MAX_DESCRIPTOR_DATA = 1024 * 1024;

export function parseDigest(text: string): Digest {
  if (/^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(text)) return text as Digest;
  throw new OciError(
    "OCI_DIGEST_INVALID",
    `${quote(text)} is not a digest: sha256: or sha512: and lower-case hexadecimal digits`,
  );
}

/** Whether a document of this media type is an index; undefined when it is neither index nor manifest. */
export function isIndexType(mediaType: string): boolean | undefined {
  switch (essence(mediaType)) {
    case MEDIA_TYPES.index:
    case MEDIA_TYPES.dockerList:
      return true;
    case MEDIA_TYPES.manifest:
    case MEDIA_TYPES.dockerManifest:
      return false;
    default:
      return undefined;
  }
}

/** Whether layers of this media type are file systems that rkt can unpack; the compression is told by the bytes. */
export function isLayerType(mediaType: string): boolean {
  return /^application\/vnd\.(?:oci\.image\.layer(?:\.nondistributable)?\.v1\.tar(?:\+(?:gzip|zstd))?|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.(?:gzip|zstd))?)$/.test(
    essence(mediaType),
  );
}

/** An image or artifact manifest. `mediaType`: what its source or descriptor calls it, "" when they do not say. */
export function parseManifest(bytes: Uint8Array, mediaType: string): OciManifest {
  const what = "image manifest";
  const json = parseDocument(bytes, what);
  refuseSchema1(json, mediaType);
  const actual = documentType(json, { what, mediaType, manifests: false });
  return {
    mediaType: actual,
    config: descriptor(json["config"], `config of the ${what}`),
    layers: list(json["layers"], `layers of the ${what}`, MAX_LAYERS).map((layer, i) =>
      descriptor(layer, `layer ${i + 1} of the ${what}`),
    ),
    annotations: strings(json["annotations"], `annotations of the ${what}`),
    ...subjectOf(json, what),
  };
}

export function parseIndex(bytes: Uint8Array, mediaType: string): OciIndex {
  const what = "image index";
  const json = parseDocument(bytes, what);
  refuseSchema1(json, mediaType);
  return {
    mediaType: documentType(json, { what, mediaType, manifests: true }),
    manifests: list(json["manifests"], `manifests of the ${what}`).map((one, i) =>
      descriptor(one, `manifest ${i + 1} of the ${what}`),
    ),
    annotations: strings(json["annotations"], `annotations of the ${what}`),
  };
}

export function parseConfig(bytes: Uint8Array): OciConfig {
  const what = "image config";
  const json = parseDocument(bytes, what);
  const rootfs = object(json["rootfs"], `rootfs of the ${what}`);
  if (rootfs["type"] !== "layers") throw invalid(`the ${what} has a rootfs that is not of layers`);
  return {
    created: optionalText(json["created"], `created of the ${what}`),
    author: optionalText(json["author"], `author of the ${what}`),
    platform: platformOf(json, what),
    rootfs: {
      diffIDs: list(rootfs["diff_ids"], `diff_ids of the ${what}`, MAX_LAYERS).map((one) =>
        parseDigest(requiredText(one, `diff_ids of the ${what}`)),
      ),
    },
    history: list(json["history"], `history of the ${what}`).map((one) =>
      historyOf(object(one, `history of the ${what}`)),
    ),
    config: executionOf(
      json["config"] == null ? {} : object(json["config"], `config of the ${what}`),
    ),
  };
}

/** `OS/ARCH[/VARIANT]`, in Go's words. */
export function parsePlatform(text: string): Platform {
  const match = /^([a-z0-9]{1,32})\/([a-z0-9_]{1,32})(?:\/([a-z0-9.]{1,32}))?$/.exec(text);
  const [, os, architecture, variant] = match ?? [];
  if (os === undefined || architecture === undefined) {
    throw new OciError(
      "OCI_PLATFORM_INVALID",
      `${quote(text)} is not a platform: OS/ARCH or OS/ARCH/VARIANT, like linux/arm64`,
    );
  }
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return `${os}/${architecture}${variant === undefined ? "" : `/${variant}`}`;
}

/** Go's name of the architecture that node calls `arch`; others as they are. */
export function hostPlatform(arch: string): Platform {
  const names: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };
  return { os: "linux", architecture: names[arch] ?? arch };
}

/**
 * The entry of an index for a platform: the same system and architecture, the best variant that such a machine
 * runs. An index of one entry that names no platform is that entry. Throws OCI_PLATFORM_MISSING.
 */
export function choosePlatform(index: OciIndex, wanted: Platform): Descriptor {
  const images = index.manifests.filter(({ mediaType }) => isIndexType(mediaType) !== undefined);
  let best: { readonly one: Descriptor; readonly rank: number } | undefined;
  for (const one of images) {
    const rank = one.platform === undefined ? -1 : rankOf(one.platform, wanted);
    if (rank >= 0 && (best === undefined || rank > best.rank)) best = { one, rank };
  }
  const [only] = images;
  if (best === undefined && images.length === 1 && only?.platform === undefined && only)
    return only;
  if (best !== undefined) return best.one;
  const there = images.flatMap(({ platform }) =>
    platform === undefined || platform.os === "unknown" ? [] : [formatPlatform(platform)],
  );
  throw new OciError(
    "OCI_PLATFORM_MISSING",
    `there is no image for platform ${formatPlatform(wanted)}`,
    {
      remedy:
        there.length === 0
          ? undefined
          : `--platform with one of: ${[...new Set(there)].slice(0, 20).join(", ")}`,
      details: { platform: formatPlatform(wanted), available: there },
    },
  );
}

/** Whether an image of `found` runs where `wanted` is asked for. */
export function matchesPlatform(found: Platform, wanted: Platform): boolean {
  return rankOf(found, wanted) >= 0;
}

/** -1: not for it; more is better. ARM runs the code of lower versions of the architecture. */
function rankOf(found: Platform, wanted: Platform): number {
  if (found.os !== wanted.os || found.architecture !== wanted.architecture) return -1;
  const is = levelOf(found);
  const most = levelOf(wanted);
  if (is !== undefined && most !== undefined) {
    // An exact request is not answered by less: the user named it.
    if (wanted.variant !== undefined && wanted.architecture !== "arm") return is === most ? is : -1;
    return is <= most ? is : -1;
  }
  return found.variant === wanted.variant ? 1 : wanted.variant === undefined ? 0 : -1;
}

function levelOf({ architecture, variant }: Platform): number | undefined {
  const initial: Readonly<Record<string, string>> = { arm: "v7", arm64: "v8", amd64: "v1" };
  const digits = /^v([0-9]{1,3})$/.exec(variant ?? initial[architecture] ?? "")?.[1];
  return digits === undefined ? undefined : Number(digits);
}

// Inside

type Json = Readonly<Record<string, unknown>>;

const essence = (mediaType: string): string =>
  (mediaType.split(";", 1)[0] ?? "").trim().toLowerCase();

function invalid(sentence: string, cause?: unknown): OciError {
  return new OciError("OCI_DOCUMENT_INVALID", sentence, { cause });
}

function parseDocument(bytes: Uint8Array, what: string): Json {
  if (bytes.length > MAX_DOCUMENT_BYTES) {
    throw new OciError(
      "OCI_DOCUMENT_TOO_LARGE",
      `the ${what} is larger than ${MAX_DOCUMENT_BYTES} bytes`,
    );
  }
  checkDepth(bytes, what);
  try {
    return object(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)), what);
  } catch (error) {
    if (error instanceof OciError) throw error;
    throw invalid(`the ${what} is not valid JSON`, error);
  }
}

/** Before anything that recurses sees it. */
function checkDepth(bytes: Uint8Array, what: string): void {
  let depth = 0;
  for (let i = 0; i < bytes.length; i++) {
    switch (bytes[i]) {
      case 0x22:
        for (i++; i < bytes.length && bytes[i] !== 0x22; i++) if (bytes[i] === 0x5c) i++;
        break;
      case 0x5b:
      case 0x7b:
        if (++depth > MAX_DEPTH)
          throw invalid(`the ${what} is nested deeper than ${MAX_DEPTH} levels`);
        break;
      case 0x5d:
      case 0x7d:
        depth--;
        break;
    }
  }
}

function refuseSchema1(json: Json, mediaType: string): void {
  const named = essence(mediaType).startsWith("application/vnd.docker.distribution.manifest.v1");
  if (!named && json["schemaVersion"] !== 1) return;
  throw new OciError(
    "OCI_SCHEMA_UNSUPPORTED",
    "the image has a manifest of Docker's schema 1, which nobody can verify by its digest and which is not supported",
    { remedy: "push the image again with a current tool, which writes schema 2 or OCI" },
  );
}

/**
 * The media type of a document, from what its source says and what it says itself. A document that could be both
 * a manifest and an index, or that is not what it was said to be, is refused.
 */
function documentType(
  json: Json,
  expected: { readonly what: string; readonly mediaType: string; readonly manifests: boolean },
): string {
  const { what, manifests } = expected;
  if (json["schemaVersion"] !== 2) throw invalid(`the ${what} does not have schemaVersion 2`);
  const own = optionalText(json["mediaType"], `mediaType of the ${what}`);
  const outer = essence(expected.mediaType);
  if (own !== undefined && outer !== "" && own !== outer) {
    throw invalid(`the ${what} calls itself ${quote(own)} and came as ${quote(outer)}`);
  }
  const actual = own ?? outer;
  const isIndex = actual === "" ? manifests : isIndexType(actual);
  if (isIndex !== manifests) throw invalid(`${quote(actual)} is not the media type of an ${what}`);
  const other = manifests ? ["layers", "config"] : ["manifests"];
  const mixed = other.find((name) => json[name] !== undefined);
  if (mixed !== undefined || json["fsLayers"] !== undefined) {
    throw invalid(`the ${what} also has ${quote(mixed ?? "fsLayers")}: it could be two things`);
  }
  return actual === "" ? (manifests ? MEDIA_TYPES.index : MEDIA_TYPES.manifest) : actual;
}

function subjectOf(json: Json, what: string): Pick<OciManifest, "subject" | "artifactType"> {
  const artifactType = optionalText(json["artifactType"], `artifactType of the ${what}`);
  return {
    ...(json["subject"] == null
      ? {}
      : { subject: descriptor(json["subject"], `subject of the ${what}`) }),
    ...(artifactType === undefined ? {} : { artifactType }),
  };
}

function descriptor(value: unknown, what: string): Descriptor {
  const json = object(value, what);
  const size = json["size"];
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`${what} has no valid size`);
  }
  const platform = json["platform"];
  const artifactType = optionalText(json["artifactType"], `artifactType of ${what}`);
  const annotations = json["annotations"];
  return {
    mediaType: requiredText(json["mediaType"], `mediaType of ${what}`),
    digest: parseDigest(requiredText(json["digest"], `digest of ${what}`)),
    size,
    ...(platform == null ? {} : { platform: platformOf(object(platform, what), what) }),
    ...(annotations == null ? {} : { annotations: strings(annotations, `annotations of ${what}`) }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(json["data"] == null ? {} : { data: embedded(json["data"], size, what) }),
  };
}

function embedded(value: unknown, size: number, what: string): Uint8Array {
  const text = requiredText(value, `data of ${what}`);
  if (size > MAX_DESCRIPTOR_DATA || text.length > MAX_DESCRIPTOR_DATA * 2) {
    throw invalid(`${what} has more than ${MAX_DESCRIPTOR_DATA} bytes of embedded data`);
  }
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch (error) {
    throw invalid(`${what} has embedded data that is not base64`, error);
  }
  if (bytes.length !== size) throw invalid(`${what} has embedded data of another size`);
  return bytes;
}

function platformOf(json: Json, what: string): Platform {
  const variant = optionalText(json["variant"], `variant of ${what}`);
  const osVersion = optionalText(json["os.version"], `os.version of ${what}`);
  return {
    os: optionalText(json["os"], `os of ${what}`) ?? "",
    architecture: optionalText(json["architecture"], `architecture of ${what}`) ?? "",
    ...(variant === undefined ? {} : { variant }),
    ...(osVersion === undefined ? {} : { osVersion }),
  };
}

function historyOf(json: Json): OciHistory {
  const field = (name: string) => optionalText(json[name], `history of the image config`);
  return {
    created: field("created"),
    createdBy: field("created_by"),
    author: field("author"),
    comment: field("comment"),
    emptyLayer: json["empty_layer"] === true,
  };
}

function executionOf(json: Json): OciExecution {
  const words = (name: string): readonly string[] | undefined =>
    json[name] == null
      ? undefined
      : list(json[name], `${name} of the image config`).map((word) =>
          plainText(word, `${name} of the image config`),
        );
  const text = (name: string) => optionalText(json[name], `${name} of the image config`) ?? "";
  const keys = (name: string): readonly string[] =>
    json[name] == null ? [] : Object.keys(bounded(json[name], `${name} of the image config`));
  return {
    user: text("User"),
    exposedPorts: keys("ExposedPorts"),
    env: words("Env") ?? [],
    entrypoint: words("Entrypoint"),
    cmd: words("Cmd"),
    volumes: keys("Volumes"),
    workingDir: text("WorkingDir"),
    labels: strings(json["Labels"], "Labels of the image config"),
    stopSignal: text("StopSignal"),
    healthcheck: healthcheckOf(json["Healthcheck"]),
    shell: words("Shell"),
  };
}

function healthcheckOf(value: unknown): OciHealthcheck | undefined {
  if (value == null) return undefined;
  const what = "Healthcheck of the image config";
  const json = object(value, what);
  const number = (name: string): number => {
    const found = json[name] ?? 0;
    if (typeof found === "number" && Number.isSafeInteger(found) && found >= 0) return found;
    throw invalid(`the ${what} has no valid ${name}`);
  };
  return {
    test: list(json["Test"], what).map((word) => plainText(word, what)),
    interval: number("Interval"),
    timeout: number("Timeout"),
    startPeriod: number("StartPeriod"),
    startInterval: number("StartInterval"),
    retries: number("Retries"),
  };
}

function object(value: unknown, what: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw invalid(`${what} is not a JSON object`);
}

function bounded(value: unknown, what: string): Json {
  const json = object(value, what);
  if (Object.keys(json).length > MAX_ENTRIES) throw tooMany(what, MAX_ENTRIES);
  return json;
}

/** Null and a missing list are empty: Go's encoder writes null for an empty one. */
function list(value: unknown, what: string, most = MAX_ENTRIES): readonly unknown[] {
  if (value == null) return [];
  if (!Array.isArray(value)) throw invalid(`${what} is not a JSON list`);
  if (value.length > most) throw tooMany(what, most);
  return value;
}

function tooMany(what: string, most: number): OciError {
  return new OciError("OCI_DOCUMENT_TOO_LARGE", `${what} has more than ${most} entries`);
}

function strings(value: unknown, what: string): Readonly<Record<string, string>> {
  if (value == null) return {};
  return Object.fromEntries(
    Object.entries(bounded(value, what)).map(([name, text]) => [name, plainText(text, what)]),
  );
}

function plainText(value: unknown, what: string): string {
  if (typeof value === "string") return value;
  throw invalid(`${what} has something that is not a string`);
}

function requiredText(value: unknown, what: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw invalid(`${what} is missing or not a string`);
}

/** Undefined also for "" and null: both mean that nothing is said. */
function optionalText(value: unknown, what: string): string | undefined {
  if (value == null || value === "") return undefined;
  if (typeof value === "string") return value;
  throw invalid(`${what} is not a string`);
}
