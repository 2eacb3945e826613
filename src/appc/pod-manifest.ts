// SPDX-License-Identifier: Apache-2.0
// The pod manifest. (appc.md section 4)

import { quote } from "../lib/text.ts";
import {
  boolean,
  type Codec,
  list,
  object,
  omitEmpty,
  optional,
  refine,
  required,
  string,
  stringMap,
  text,
  unsigned,
} from "./codec.ts";
import { ManifestError } from "./errors.ts";
import { parseImageID } from "./image-id.ts";
import { goJson, parseJson } from "./json.ts";
import { parseIP } from "./port.ts";
import {
  acIdentifier,
  acKind,
  acName,
  acVersion,
  annotations,
  app,
  isolator,
  labels,
  port,
  volume,
} from "./schema.ts";
import type {
  ExposedPort,
  ImageID,
  ImageReference,
  Mount,
  PodManifest,
  RuntimeApp,
} from "./types.ts";
import { AC_VERSION } from "./version.ts";

/** A template may lack it when read; what is written must have it. */
const podImageID: Codec<ImageID | undefined> = {
  decode: (value) => (value === undefined ? undefined : text(parseImageID).decode(value)),
  encode(value) {
    if (value === undefined) throw invalid("unexpected empty hash type");
    return value;
  },
};

const mount = object<Mount>({
  volume: required(acName, "volume must be set"),
  path: string,
  appVolume: optional(volume),
});

const runtimeApp = object<RuntimeApp>({
  name: acName,
  image: object<ImageReference>({
    name: optional(acIdentifier),
    id: podImageID,
    labels: omitEmpty(labels),
  }),
  app: optional(app),
  readOnlyRootFS: omitEmpty(boolean),
  mounts: omitEmpty(list(mount)),
  annotations: omitEmpty(annotations),
});

const hostIP: Codec<string | undefined> = {
  decode(value) {
    const address = string.decode(value);
    return address === "" ? undefined : parseIP(address);
  },
  encode: (value) => value,
};

const exposedPort = object<ExposedPort>({
  name: acName,
  hostPort: unsigned,
  hostIP,
  podPort: optional(port),
});

const podManifest = object<PodManifest>({
  // The reference reads a pod manifest without it, and people write such files for --pod-manifest.
  acVersion: {
    decode: (value) => (value === undefined ? AC_VERSION : acVersion.decode(value)),
    encode: (value) => value,
  },
  acKind: acKind("PodManifest"),
  apps: refine(list(runtimeApp), unique("duplicate apps of name")),
  volumes: refine(list(volume), unique("duplicate volume name")),
  isolators: list(isolator),
  annotations,
  ports: list(exposedPort),
  userAnnotations: omitEmpty(stringMap),
  userLabels: omitEmpty(stringMap),
});

/** Reads and checks a manifest. A ManifestError says what is wrong, and in `details.path` where. */
export function parsePodManifest(json: string | Uint8Array): PodManifest {
  return podManifest.decode(parseJson(json));
}

/** Checks and writes a manifest: compact, keys in the specification's order, Go's escapes. */
export function serializePodManifest(manifest: PodManifest): string {
  return goJson(podManifest.encode(podManifest.decode(manifest)));
}

function unique<T extends { readonly name: string }>(sentence: string) {
  return (items: readonly T[]): readonly T[] => {
    const seen = new Set<string>();
    for (const { name } of items) {
      if (seen.has(name)) throw invalid(`${sentence} ${quote(name)}`);
      seen.add(name);
    }
    return items;
  };
}

function invalid(message: string): ManifestError {
  return new ManifestError("MANIFEST_INVALID", message);
}
