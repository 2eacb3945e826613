// SPDX-License-Identifier: Apache-2.0
// What an image argument means: a hash, a file, a URL, a name or a Docker reference (rkt-cli.md §2). Asks
// the file system one thing only, through a callback: whether the word names a file.
import { statSync } from "node:fs";
import { resolve } from "node:path";
import {
  type ACIdentifier,
  checkOSArch,
  type Host,
  type Labels,
  parseAppString,
  parseImageID,
  RUNTIME_OS_ARCH,
  withHostLabels,
} from "../appc/index.ts";
import { isErrno } from "../lib/errors.ts";
import { quote, redactUrl } from "../lib/text.ts";
import { type DockerReference, parseDockerReference } from "./docker-reference.ts";
import { FetchError } from "./errors.ts";

export interface HashReference {
  readonly kind: "hash";
  /** A prefix of an image ID, `sha512-…`; only the store can say whether it is long enough. */
  readonly hash: string;
}

export interface FileReference {
  readonly kind: "file";
  /** Absolute. */
  readonly path: string;
}

export interface UrlReference {
  readonly kind: "url";
  /** http or https, normalized: the key of the store's record of it. */
  readonly url: string;
}

export interface NameReference {
  readonly kind: "name";
  readonly name: ACIdentifier;
  /** As given, with the host's os and arch where they are not given. */
  readonly labels: Labels;
  /** No version was asked for: what discovery gives is the latest. */
  readonly latest: boolean;
}

export interface DockerImageReference {
  readonly kind: "docker";
  readonly reference: DockerReference;
}

/** An OCI image in a local directory or file. */
export interface LocalOciReference {
  readonly kind: "oci";
  readonly transport: LocalTransport;
  /** Absolute. */
  readonly path: string;
  /** REF or NAME:TAG, where several images are there. */
  readonly name: string | undefined;
}

const LOCAL_TRANSPORTS = ["oci", "oci-archive", "docker-archive"] as const;
export type LocalTransport = (typeof LOCAL_TRANSPORTS)[number];

/** A reference that somebody other than the store can answer. */
export type FetchableReference =
  | FileReference
  | UrlReference
  | NameReference
  | DockerImageReference
  | LocalOciReference;

export type Reference = HashReference | FetchableReference;

export interface ReferenceOptions {
  /** Whether a hash is looked for first (run, prepare, stage1); `fetch` takes one for a name. */
  readonly hash: boolean;
  readonly isFile?: (path: string) => boolean;
  readonly workingDirectory?: string;
  readonly host?: Host;
}

const MAX_LENGTH = 65536;
const EXTENSION = ".aci";

export function parseReference(
  text: string,
  options: ReferenceOptions & { readonly hash: false },
): FetchableReference;
export function parseReference(text: string, options: ReferenceOptions): Reference;
export function parseReference(text: string, options: ReferenceOptions): Reference {
  if (text.length > MAX_LENGTH || text.includes("\0")) throw invalidImage(text);
  if (options.hash && isHash(text)) return { kind: "hash", hash: text };
  switch (schemeOf(text)) {
    case undefined:
      return isPath(text, options.isFile ?? isRegularFile)
        ? fileReference(resolve(options.workingDirectory ?? process.cwd(), text))
        : nameReference(text, options);
    case "file":
      return fileUrl(text);
    case "http":
    case "https":
      return urlReference(text);
    case "docker":
      return dockerReference(text.replace(/^docker:(\/\/)?/i, ""));
    case "oci":
    case "oci-archive":
    case "docker-archive":
      return localOciReference(text, options);
    case "cimd":
      return distribution(text, options);
    default:
      // `my-app:v1.0` looks like a URL of scheme my-app.
      return nameReference(text, options);
  }
}

function isHash(text: string): boolean {
  if (!text.startsWith("sha512-")) return false;
  try {
    parseImageID(text);
    return true;
  } catch {
    // Not a hash is an answer here: then it may be a name.
    return false;
  }
}

/** The scheme of RFC 3986, lower case, of a text that has one. */
function schemeOf(text: string): string | undefined {
  return /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase();
}

function isPath(text: string, isFile: (path: string) => boolean): boolean {
  if (text.startsWith("/")) return true;
  if (text !== "" && isFile(text)) return true;
  if (text.includes(":")) return false;
  return text.includes("./") || text.endsWith(EXTENSION);
}

function isRegularFile(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
  } catch (error) {
    if (isErrno(error, "ENOTDIR", "EACCES", "ENAMETOOLONG", "ELOOP")) return false;
    throw error;
  }
}

function fileReference(path: string): FileReference {
  if (!path.endsWith(EXTENSION)) throw invalidImage(`file://${path}`);
  return { kind: "file", path };
}

function fileUrl(text: string): FileReference {
  const url = URL.parse(text);
  // A host would be another machine, or a relative path written with two slashes by mistake.
  if (url === null || url.hostname !== "") throw invalidImage(text);
  const path = decode(url.pathname);
  if (path?.startsWith("/") !== true || !path.endsWith(EXTENSION) || path.includes("\0")) {
    throw invalidImage(text);
  }
  return { kind: "file", path: resolve("/", path) };
}

function urlReference(text: string): UrlReference {
  const url = URL.parse(text);
  if (url === null || url.hostname === "" || decode(url.pathname)?.endsWith(EXTENSION) !== true) {
    throw invalidImage(text);
  }
  url.hash = "";
  return { kind: "url", url: url.href };
}

function nameReference(text: string, options: ReferenceOptions): NameReference {
  try {
    const { name, labels } = parseAppString(text);
    return named(name, labels, options);
  } catch (cause) {
    // HOST:PORT/NAME:TAG, as Docker's users write it.
    const isDocker = parseDockerReference(text) !== undefined;
    throw new FetchError("REFERENCE_INVALID", `invalid Appc distribution ${quote(text)}`, {
      cause,
      ...(isDocker ? { remedy: `docker://${text} if it is an image of a Docker registry` } : {}),
    });
  }
}

function named(name: ACIdentifier, given: Labels, options: ReferenceOptions): NameReference {
  const host = options.host ?? { platform: process.platform, arch: process.arch };
  const labels = withHostLabels(given, host);
  checkOSArch(labels, RUNTIME_OS_ARCH);
  return {
    kind: "name",
    name,
    labels,
    latest: !given.some((label) => label.name === "version"),
  };
}

function dockerReference(text: string): DockerImageReference {
  const reference = parseDockerReference(text);
  if (reference === undefined) {
    throw new FetchError("REFERENCE_INVALID", `invalid docker reference ${quote(text)}`, {
      remedy: "docker://[HOST[:PORT]/]NAME[:TAG][@sha256:HEX], the name in lower case",
    });
  }
  return { kind: "docker", reference };
}

/** `TRANSPORT:PATH[:NAME]`; a path with a colon in it cannot be written, as in other tools. */
function localOciReference(text: string, options: ReferenceOptions): LocalOciReference {
  const colon = text.indexOf(":");
  const transport = LOCAL_TRANSPORTS.find((one) => one === text.slice(0, colon).toLowerCase());
  const rest = text.slice(colon + 1);
  const second = rest.indexOf(":");
  const path = second < 0 ? rest : rest.slice(0, second);
  const name = second < 0 ? undefined : rest.slice(second + 1);
  if (transport === undefined || path === "" || name === "") {
    throw new FetchError("REFERENCE_INVALID", `invalid image string ${quote(text)}`, {
      remedy: "oci:DIRECTORY[:REF], oci-archive:FILE[:REF] or docker-archive:FILE[:NAME:TAG]",
    });
  }
  return {
    kind: "oci",
    transport,
    path: resolve(options.workingDirectory ?? process.cwd(), path),
    name,
  };
}

/** `cimd:TYPE:v=0:DATA`, the form in which rkt's own interfaces write a reference. */
function distribution(text: string, options: ReferenceOptions): Reference {
  const match = /^cimd:([^:]+):v=0:(.+)$/is.exec(text);
  const [, type = "", data = ""] = match ?? [];
  if (type === "appc") return distributionName(text, data, options);
  if (type === "docker") return dockerReference(data);
  if (type === "aci-archive") {
    const inner = decode(data);
    const scheme = inner === undefined ? undefined : schemeOf(inner);
    if (inner !== undefined && scheme === "file") return fileUrl(inner);
    if (inner !== undefined && (scheme === "http" || scheme === "https")) {
      return urlReference(inner);
    }
  }
  throw invalidImage(text);
}

function distributionName(text: string, data: string, options: ReferenceOptions): NameReference {
  const question = data.indexOf("?");
  const name = question < 0 ? data : data.slice(0, question);
  const query = new URLSearchParams(question < 0 ? "" : data.slice(question + 1));
  const labels = [...query].map(([label, value]) => `,${label}=${value}`);
  if ([...query].some(([, value]) => /[,:]/.test(value)) || /[,:]/.test(name)) {
    throw invalidImage(text);
  }
  return nameReference(name + labels.join(""), options);
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}

function invalidImage(text: string): FetchError {
  return new FetchError("REFERENCE_INVALID", `invalid image string ${quote(redactUrl(text))}`, {
    remedy: "files and URLs of images must end in .aci",
    details: { image: redactUrl(text) },
  });
}
