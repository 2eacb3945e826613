// SPDX-License-Identifier: Apache-2.0
// What image and pod manifests have in common, each object described once: fields in the order in which
// they are written, and their rules. (appc.md sections 1, 3.1, 3.2, 4.4)

import { quote, stripControl } from "../lib/text.ts";
import { checkAnnotations } from "./annotations.ts";
import {
  boolean,
  type Codec,
  integer,
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
import { checkEnvironment } from "./environment.ts";
import { ManifestError } from "./errors.ts";
import { checkAppIsolators, parseIsolator } from "./isolators.ts";
import { checkLabels } from "./labels.ts";
import { parseACIdentifier, parseACName } from "./names.ts";
import { checkPort } from "./port.ts";
import type {
  Annotation,
  Annotations,
  App,
  EnvironmentVariable,
  EventHandler,
  Isolator,
  Label,
  Labels,
  MountPoint,
  Port,
  Volume,
} from "./types.ts";
import { parseACVersion } from "./version.ts";
import { checkVolume, type RawVolume } from "./volume.ts";

/** Deep enough for any isolator; a bound on what is walked recursively. */
const MAX_DEPTH = 32;

export const acIdentifier = text(parseACIdentifier);
export const acName = text(parseACName);
export const acVersion = text(parseACVersion);

/** The acKind field: a document of the other kind is refused before its fields are looked at. */
export function acKind<Kind extends "ImageManifest" | "PodManifest">(kind: Kind): Codec<Kind> {
  return {
    decode(value) {
      const found = value === undefined ? undefined : string.decode(value);
      if (found === kind) return kind;
      if (found === "") throw invalid("ACKind must be set");
      if (found !== undefined && found !== "ImageManifest" && found !== "PodManifest") {
        throw invalid(`bad ACKind: ${stripControl(found).slice(0, 64)}`);
      }
      throw invalid(`missing or bad ACKind (must be "${kind}")`);
    },
    encode: (value) => value,
  };
}

export const labels: Codec<Labels> = refine(
  list(object<Label>({ name: acIdentifier, value: string })),
  checkLabels,
);

export const annotations: Codec<Annotations> = refine(
  list(object<Annotation>({ name: acIdentifier, value: string })),
  checkAnnotations,
);

const json: Codec<unknown> = {
  decode(value) {
    if (depth(value, MAX_DEPTH) > MAX_DEPTH) {
      throw invalid(`value is nested more than ${MAX_DEPTH} levels deep`);
    }
    return value ?? null;
  },
  encode: (value) => value,
};

/** The depth of a JSON value, or some number above `limit`. */
function depth(value: unknown, limit: number): number {
  if (typeof value !== "object" || value === null || limit < 0) return 0;
  let deepest = 0;
  for (const inner of Object.values(value)) deepest = Math.max(deepest, depth(inner, limit - 1));
  return deepest + 1;
}

/** Valid by itself: an unknown name passes. */
export const isolator: Codec<Isolator> = refine(
  object<Isolator>({ name: acIdentifier, value: json }),
  (value) => {
    parseIsolator(value);
    return value;
  },
);

const eventHandler: Codec<EventHandler> = object<EventHandler>({
  name: text((name) => {
    if (name === "pre-start" || name === "post-stop") return name;
    if (name === "") throw invalid(`eventHandler "name" cannot be empty`);
    throw invalid(`bad eventHandler "name": ${quote(name)}`);
  }),
  exec: list(string),
});

const environmentVariable = object<EnvironmentVariable>({ name: string, value: string });

const mountPoint = object<MountPoint>({
  name: acName,
  path: string,
  readOnly: omitEmpty(boolean),
});

export const port: Codec<Port> = refine(
  object<Port>({
    name: acName,
    protocol: string,
    port: unsigned,
    count: unsigned,
    socketActivated: boolean,
  }),
  checkPort,
);

export const app: Codec<App> = refine(
  object<App>({
    exec: list(string),
    eventHandlers: omitEmpty(refine(list(eventHandler), oneOfEach)),
    user: string,
    group: string,
    supplementaryGIDs: omitEmpty(list(integer)),
    workingDirectory: omitEmpty(string),
    environment: omitEmpty(refine(list(environmentVariable), checkEnvironment)),
    mountPoints: omitEmpty(list(mountPoint)),
    ports: omitEmpty(list(port)),
    isolators: omitEmpty(refine(list(isolator), checkAppIsolators)),
    userAnnotations: omitEmpty(stringMap),
    userLabels: omitEmpty(stringMap),
  }),
  checkApp,
);

function checkApp(value: App): App {
  if (value.user === "") throw invalid("user is required");
  if (value.group === "") throw invalid("group is required");
  if (value.workingDirectory !== "" && !value.workingDirectory.startsWith("/")) {
    throw invalid("workingDirectory must be an absolute path");
  }
  return value;
}

function oneOfEach(handlers: readonly EventHandler[]): readonly EventHandler[] {
  const seen = new Set<string>();
  for (const { name } of handlers) {
    if (seen.has(name)) throw invalid(`Only one eventHandler of name ${quote(name)} allowed`);
    seen.add(name);
  }
  return handlers;
}

const rawVolume = object<RawVolume>({
  name: required(acName, "name must be set"),
  kind: string,
  source: omitEmpty(string),
  readOnly: optional(boolean),
  recursive: optional(boolean),
  mode: optional(string),
  uid: optional(integer),
  gid: optional(integer),
});

export const volume: Codec<Volume> = {
  decode: (value) => checkVolume(rawVolume.decode(value)),
  encode: (value) => rawVolume.encode({ source: "", ...value }),
};

function invalid(message: string): ManifestError {
  return new ManifestError("MANIFEST_INVALID", message);
}
