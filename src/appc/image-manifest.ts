// SPDX-License-Identifier: Apache-2.0
// The image manifest. (appc.md section 3)

import { list, object, omitEmpty, optional, required, string, text, unsigned } from "./codec.ts";
import { parseImageID } from "./image-id.ts";
import { goJson, parseJson } from "./json.ts";
import { acIdentifier, acKind, acVersion, annotations, app, labels } from "./schema.ts";
import type { Dependency, ImageManifest } from "./types.ts";

const dependency = object<Dependency>({
  imageName: required(acIdentifier, "imageName cannot be empty"),
  imageID: optional(text(parseImageID)),
  labels: omitEmpty(labels),
  size: omitEmpty(unsigned),
});

const imageManifest = object<ImageManifest>({
  acKind: acKind("ImageManifest"),
  acVersion: required(acVersion, "acVersion must be set"),
  name: required(acIdentifier, "name must be set"),
  labels: omitEmpty(labels),
  app: optional(app),
  annotations: omitEmpty(annotations),
  dependencies: omitEmpty(list(dependency)),
  pathWhitelist: omitEmpty(list(string)),
});

/** Reads and checks a manifest. A ManifestError says what is wrong, and in `details.path` where. */
export function parseImageManifest(json: string | Uint8Array): ImageManifest {
  return imageManifest.decode(parseJson(json));
}

/** Checks and writes a manifest: compact, keys in the specification's order, Go's escapes. */
export function serializeImageManifest(manifest: ImageManifest): string {
  return goJson(imageManifest.encode(imageManifest.decode(manifest)));
}
