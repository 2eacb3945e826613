// SPDX-License-Identifier: Apache-2.0
// What rkt says over the unix socket: pods and their images come and go (rkt-runtime §13).
import {
  ManifestError,
  parseACName,
  parseImageManifest,
  parsePodManifest,
  parseUUID,
  serializeImageManifest,
  serializePodManifest,
} from "../../appc/index.ts";
import { type HttpResponse, textResponse } from "./http-server.ts";
import type { Registry } from "./registry.ts";
import type { HttpRequest } from "./request.ts";

/** 128 bits at least; what a pod finds in its URL. */
const TOKEN = /^[0-9A-Za-z_-]{32,128}$/;

/** A pod learns from it where the service is. */
const PORT_HEADER = "Metadata-Port";

const OK = textResponse(200, "");

export function answerRegistration(
  registry: Registry,
  request: HttpRequest,
  port: number,
): HttpResponse {
  const url = URL.parse(request.target, "http://localhost");
  const [empty, pods, uuid, app, ...rest] = url?.pathname.split("/") ?? [];
  if (url === null || empty !== "" || pods !== "pods" || uuid === undefined || rest.length > 0) {
    return textResponse(404, "404 page not found");
  }
  const allowed = app === undefined ? ["PUT", "DELETE"] : ["PUT"];
  if (!allowed.includes(request.method)) {
    return textResponse(405, "method not allowed", { Allow: allowed.join(", ") });
  }
  try {
    const id = checked("UUID is missing or malformed", () => parseUUID(uuid));
    if (request.method === "DELETE") {
      return registry.remove(id) ? OK : textResponse(404, "pod not found");
    }
    if (app !== undefined) return addImage(registry, id, app, request.body);
    const token = url.searchParams.getAll("token");
    return addPod(registry, { uuid: id, token, body: request.body, port });
  } catch (error) {
    if (error instanceof ManifestError) return textResponse(400, error.message);
    throw error;
  }
}

function addPod(
  registry: Registry,
  pod: {
    readonly uuid: string;
    readonly token: readonly string[];
    readonly body: Uint8Array;
    readonly port: number;
  },
): HttpResponse {
  const [token = "", ...others] = pod.token;
  if (others.length > 0 || !TOKEN.test(token)) return textResponse(400, "token missing");
  const manifest = checked("JSON-decoding failed", () => parsePodManifest(pod.body));
  const manifestText = serializePodManifest(manifest);
  return registry.add(token, { uuid: pod.uuid, manifest, manifestText })
    ? textResponse(200, "", { [PORT_HEADER]: String(pod.port) })
    : textResponse(400, "another pod has this token");
}

function addImage(registry: Registry, uuid: string, app: string, body: Uint8Array): HttpResponse {
  const name = checked("app is missing or malformed", () => parseACName(app));
  const manifest = checked("JSON-decoding failed", () => parseImageManifest(body));
  const image = { manifest, text: serializeImageManifest(manifest) };
  return registry.addImage(uuid, name, image)
    ? OK
    : textResponse(404, "Pod with given UUID not found");
}

function checked<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    throw new ManifestError(error.code, `${what}: ${error.message}`);
  }
}
