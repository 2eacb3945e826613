// SPDX-License-Identifier: Apache-2.0
// What a pod may ask (appc.md §7, rkt-runtime §13). The token in the path says who asks, and nothing else does: an address
// can be somebody else's.
import { createHmac, timingSafeEqual } from "node:crypto";
import {
  type Annotations,
  getAnnotation,
  ManifestError,
  mergeAnnotations,
  parseACIdentifier,
  parseUUID,
} from "../../appc/index.ts";
import { type HttpResponse, textResponse } from "./http-server.ts";
import type { RegisteredPod, Registry } from "./registry.ts";
import type { HttpRequest } from "./request.ts";

export interface PublicAnswer {
  readonly response: HttpResponse;
  /** Who asked, and for what: what may be logged. */
  readonly pod: string | undefined;
  readonly path: string;
}

const NOT_FOUND = textResponse(404, "404 page not found");

export function answerPublic(
  registry: Registry,
  key: Uint8Array,
  request: HttpRequest,
): PublicAnswer {
  const [path = ""] = request.target.split("?", 1);
  const [empty, token = "", base, version, ...rest] = path.split("/");
  const words = rest.map(decode);
  const known = `/${rest.join("/")}`;
  if (
    empty !== "" ||
    base !== "acMetadata" ||
    version !== "v1" ||
    !words.every((word) => word !== undefined)
  ) {
    return { response: NOT_FOUND, pod: undefined, path: "" };
  }
  const pod = registry.byToken(token);
  const endpoint = pod === undefined ? undefined : findEndpoint(pod, words, key);
  const response =
    pod === undefined
      ? textResponse(401, "pod not found")
      : endpoint === undefined
        ? NOT_FOUND
        : endpoint.method === request.method
          ? endpoint.answer(request)
          : textResponse(405, "method not allowed", { Allow: endpoint.method });
  return { response, pod: pod?.uuid, path: known };
}

/** Undefined for what nothing is named by: no dots, no slashes that were hidden. */
function decode(segment: string): string | undefined {
  try {
    const word = decodeURIComponent(segment);
    return word === "" || word === "." || word === ".." || word.includes("/") ? undefined : word;
  } catch {
    return undefined;
  }
}

interface Endpoint {
  readonly method: "GET" | "POST";
  answer(request: HttpRequest): HttpResponse;
}

const get = (answer: () => HttpResponse): Endpoint => ({ method: "GET", answer });
const json = (body: string): HttpResponse => ({
  status: 200,
  headers: { "Content-Type": "application/json" },
  body,
});

function findEndpoint(
  pod: RegisteredPod,
  [scope, ...words]: readonly string[],
  key: Uint8Array,
): Endpoint | undefined {
  const [first, second, third] = words;
  if (scope === "pod" && words.length === 1) {
    if (first === "annotations") return get(() => annotationList(pod.manifest.annotations));
    if (first === "manifest") return get(() => json(pod.manifestText));
    if (first === "uuid") return get(() => textResponse(200, pod.uuid));
  }
  if (scope === "pod" && first === "annotations") {
    return get(() => annotation(pod.manifest.annotations, words.slice(1)));
  }
  if (scope === "pod" && first === "hmac" && words.length === 2) {
    if (second === "sign") return { method: "POST", answer: ({ body }) => sign(pod, key, body) };
    if (second === "verify") return { method: "POST", answer: ({ body }) => verify(key, body) };
  }
  if (scope === "apps" && first !== undefined) {
    if (second === "annotations") return get(() => appAnnotations(pod, first, words.slice(2)));
    if (second === "image" && words.length === 3) {
      if (third === "manifest") return get(() => imageManifest(pod, first));
      if (third === "id") return get(() => imageId(pod, first));
    }
  }
  return undefined;
}

const APP_NOT_FOUND = textResponse(404, "app not found");

function appAnnotations(pod: RegisteredPod, app: string, name: readonly string[]): HttpResponse {
  const image = pod.images.get(app);
  const runtime = pod.manifest.apps.find((known) => known.name === app);
  if (image === undefined || runtime === undefined) return APP_NOT_FOUND;
  const merged = mergeAnnotations(image.manifest.annotations, runtime.annotations);
  return name.length === 0 ? annotationList(merged) : annotation(merged, name);
}

function imageManifest(pod: RegisteredPod, app: string): HttpResponse {
  const image = pod.images.get(app);
  return image === undefined ? APP_NOT_FOUND : json(image.text);
}

function imageId(pod: RegisteredPod, app: string): HttpResponse {
  const id = pod.manifest.apps.find(({ name }) => name === app)?.image.id;
  return id === undefined ? APP_NOT_FOUND : textResponse(200, id);
}

/** None is `null`, as in a manifest. */
function annotationList(annotations: Annotations): HttpResponse {
  return json(annotations.length === 0 ? "null" : JSON.stringify(annotations));
}

/** An AC Identifier may have slashes: it is all of the rest of the path. */
function annotation(annotations: Annotations, words: readonly string[]): HttpResponse {
  const name = words.join("/");
  try {
    parseACIdentifier(name);
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    return textResponse(400, "annotation name is not a valid AC Identifier");
  }
  const value = getAnnotation(annotations, name);
  if (value === undefined) return textResponse(404, `annotation (${name}) not found`);
  // Whatever is in it: the header names ASCII as in the reference, and an annotation is seldom anything else.
  return textResponse(200, value);
}

/** The key is the service's alone; the pod's UUID is part of what is signed, so no pod signs for another one. */
function mac(key: Uint8Array, uuid: string, content: Uint8Array): Buffer {
  const bytes = Buffer.from(uuid.replaceAll("-", ""), "hex");
  return createHmac("sha512", key).update(bytes).update(content).digest();
}

const MAX_FIELDS = 16;
const NOTHING = new Uint8Array(0);

/**
 * The bytes of each field of a form, the first of a name. Bytes and not text: whoever made text of them would sign the same for
 * all that is not UTF-8. Undefined for more fields than anybody means, and for what is not well-formed.
 */
function form(body: Uint8Array): ReadonlyMap<string, Uint8Array> | undefined {
  const fields = new Map<string, Uint8Array>();
  const pairs = Buffer.from(body)
    .toString("latin1")
    .split("&", MAX_FIELDS + 1);
  if (pairs.length > MAX_FIELDS) return undefined;
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    const name = unescaped(at < 0 ? pair : pair.slice(0, at));
    const value = at < 0 ? NOTHING : unescaped(pair.slice(at + 1));
    if (name === undefined || value === undefined) return undefined;
    const key = name.toString("latin1");
    if (!fields.has(key)) fields.set(key, value);
  }
  return fields;
}

/** A character of `text` is a byte. */
function unescaped(text: string): Buffer | undefined {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return undefined;
  const bytes = text
    .replaceAll("+", " ")
    .replace(/%(..)/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  return Buffer.from(bytes, "latin1");
}

const asText = (bytes: Uint8Array | undefined): string =>
  Buffer.from(bytes ?? NOTHING).toString("latin1");

function sign(pod: RegisteredPod, key: Uint8Array, body: Uint8Array): HttpResponse {
  const content = form(body)?.get("content") ?? NOTHING;
  if (content.length === 0) return textResponse(400, "content form value not found");
  return textResponse(200, mac(key, pod.uuid, content).toString("base64"));
}

const BASE64 = /^(?:[0-9A-Za-z+/]{4})*(?:[0-9A-Za-z+/]{2}==|[0-9A-Za-z+/]{3}=)?$/;

function verify(key: Uint8Array, body: Uint8Array): HttpResponse {
  const fields = form(body);
  const uuid = parsedUuid(asText(fields?.get("uuid")));
  if (uuid === undefined) return textResponse(400, "uuid field missing or malformed");
  const content = fields?.get("content") ?? NOTHING;
  if (content.length === 0) return textResponse(400, "content field missing");
  const text = asText(fields?.get("signature"));
  if (text === "" || !BASE64.test(text)) {
    return textResponse(400, "signature field missing or corrupt");
  }
  const wanted = mac(key, uuid, content);
  const signature = Buffer.from(text, "base64");
  const valid = signature.length === wanted.length && timingSafeEqual(signature, wanted);
  return textResponse(valid ? 200 : 403, "");
}

function parsedUuid(text: string): string | undefined {
  try {
    return parseUUID(text);
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    return undefined;
  }
}
