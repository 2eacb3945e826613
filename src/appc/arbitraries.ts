// SPDX-License-Identifier: Apache-2.0
// Random App Container values for property tests. Only tests import this file.

import fc from "fast-check";
import {
  AC_VERSION,
  type ACIdentifier,
  type ACName,
  type Annotations,
  type App,
  type Dependency,
  type ExposedPort,
  type ImageID,
  type ImageManifest,
  type ImageReference,
  type Isolator,
  type Labels,
  type Mount,
  type MountPoint,
  type PodManifest,
  type Port,
  parseACIdentifier,
  parseACName,
  parseImageID,
  type RuntimeApp,
  resourceIsolator,
  type StringMap,
  seccompIsolator,
  VALID_OS_ARCH,
  type Volume,
} from "./index.ts";
import { checkVolume } from "./volume.ts";

function matching(pattern: RegExp): fc.Arbitrary<string> {
  return fc.stringMatching(pattern);
}

export const acIdentifier: fc.Arbitrary<ACIdentifier> = matching(
  /^[a-z0-9]+([-._~/][a-z0-9]+){0,3}$/,
).map(parseACIdentifier);

export const acName: fc.Arbitrary<ACName> = matching(/^[a-z0-9]+(-[a-z0-9]+){0,2}$/).map(
  parseACName,
);

/** Any well-formed text, characters that need an escape included. */
export const anyText = fc.string({ unit: "binary", maxLength: 20 });

/** Text that a command-line form can carry as a value. */
export const plainValue = fc
  .string({ unit: "grapheme", maxLength: 20 })
  .filter((text) => !/[,:]/.test(text));

export const imageID: fc.Arbitrary<ImageID> = fc
  .stringMatching(/^[0-9a-f]{128}$/)
  .map((digits) => parseImageID(`sha512-${digits}`));

const osArch = fc.constantFrom(
  ...[...VALID_OS_ARCH].flatMap(([os, archs]) => archs.map((arch) => [os, arch] as const)),
);

function namedValues<T extends string>(name: fc.Arbitrary<T>, value: fc.Arbitrary<string>) {
  return fc.uniqueArray(fc.record({ name, value }, { noNullPrototype: true }), {
    selector: (pair) => pair.name,
    maxLength: 4,
  });
}

export function labelsWith(value: fc.Arbitrary<string>): fc.Arbitrary<Labels> {
  const reserved = ["name", "os", "arch"];
  return fc
    .tuple(
      namedValues(
        acIdentifier.filter((name) => !reserved.includes(name)),
        value,
      ),
      fc.option(osArch),
    )
    .map(([others, platform]) =>
      platform === null
        ? others
        : [
            ...others,
            { name: parseACIdentifier("os"), value: platform[0] },
            { name: parseACIdentifier("arch"), value: platform[1] },
          ],
    );
}

export const labels = labelsWith(anyText);

const checkedAnnotations = ["created", "homepage", "documentation"];
const annotations: fc.Arbitrary<Annotations> = namedValues(
  acIdentifier.filter((name) => !checkedAnnotations.includes(name)),
  anyText,
);

// Keys that look like list indexes change their order in a JavaScript object: not of interest here.
const stringMap: fc.Arbitrary<StringMap> = fc
  .dictionary(
    anyText.filter((key) => !/^[0-9]+$/.test(key)),
    anyText,
    { maxKeys: 3, noNullPrototype: true },
  )
  .map((map) => map);

const path = anyText.map((text) => `/${text}`);

function record<T extends object>(
  model: {
    [K in keyof Required<T>]: fc.Arbitrary<T[K]>;
  },
): fc.Arbitrary<T> {
  return fc
    .record(model as { [K in keyof T]: fc.Arbitrary<T[K]> }, { noNullPrototype: true })
    .map(
      (value) =>
        Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T,
    );
}

function maybe<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(value, { nil: undefined });
}

export const port: fc.Arbitrary<Port> = fc
  .tuple(acName, fc.constantFrom("tcp", "udp"), fc.integer({ min: 1, max: 65535 }), fc.boolean())
  .chain(([name, protocol, first, socketActivated]) =>
    fc
      .integer({ min: 1, max: 65536 - first })
      .map((count) => ({ name, protocol, port: first, count, socketActivated })),
  );

export function mountPointWith(value: fc.Arbitrary<string>): fc.Arbitrary<MountPoint> {
  return record<MountPoint>({ name: acName, path: value, readOnly: fc.boolean() });
}

export function volumeWith(value: fc.Arbitrary<string>): fc.Arbitrary<Volume> {
  const flags = { name: acName, readOnly: maybe(fc.boolean()), recursive: maybe(fc.boolean()) };
  const id = fc.integer({ min: 0, max: 2 ** 31 });
  return fc
    .oneof(
      fc.record({ ...flags, source: value.map((text) => `/${text}`) }).map((volume) => ({
        kind: "host",
        ...volume,
      })),
      fc
        .record({ ...flags, mode: fc.constantFrom("0755", "0700"), uid: id, gid: id })
        .map((volume) => ({ kind: "empty", source: "", ...volume })),
    )
    .map(checkVolume);
}

const isolators: fc.Arbitrary<readonly Isolator[]> = fc.subarray([
  resourceIsolator("memory", "1G"),
  resourceIsolator("cpu", "500m"),
  seccompIsolator("retain", ["@appc.io/all"], "EPERM"),
]);

const unknownIsolator: fc.Arbitrary<Isolator> = fc
  .record({ name: acIdentifier, value: fc.jsonValue({ maxDepth: 3 }) }, { noNullPrototype: true })
  .map(({ name, value }) => ({
    name: parseACIdentifier(`x-${name}`),
    // What JSON cannot tell apart (-0 and 0) is made equal here.
    value: JSON.parse(JSON.stringify(value).replaceAll("__proto__", "proto")) as unknown,
  }));

const environment = fc.uniqueArray(
  fc.record({ name: matching(/^[A-Za-z_][A-Za-z_0-9.-]{0,8}$/), value: anyText }),
  { selector: ({ name }) => name, maxLength: 4 },
);

const texts = fc.array(anyText, { maxLength: 3 });

export const app: fc.Arbitrary<App> = record<App>({
  exec: texts,
  eventHandlers: fc
    .subarray(["pre-start", "post-stop"] as const)
    .chain((names) => texts.map((exec) => names.map((name) => ({ name, exec })))),
  user: anyText.filter((text) => text !== ""),
  group: anyText.filter((text) => text !== ""),
  supplementaryGIDs: fc.array(fc.nat(), { maxLength: 3 }),
  workingDirectory: fc.oneof(fc.constant(""), path),
  environment,
  mountPoints: fc.array(mountPointWith(anyText), { maxLength: 3 }),
  ports: fc.array(port, { maxLength: 3 }),
  isolators,
  userAnnotations: stringMap,
  userLabels: stringMap,
});

const dependency = record<Dependency>({
  imageName: acIdentifier,
  imageID: maybe(imageID),
  labels,
  size: fc.nat(),
});

export const imageManifest: fc.Arbitrary<ImageManifest> = record<ImageManifest>({
  acKind: fc.constant("ImageManifest" as const),
  acVersion: fc.constant(AC_VERSION),
  name: acIdentifier,
  labels,
  app: maybe(app),
  annotations,
  dependencies: fc.array(dependency, { maxLength: 2 }),
  pathWhitelist: fc.array(path, { maxLength: 3 }),
});

const mount = record<Mount>({
  volume: acName,
  path: anyText,
  appVolume: maybe(volumeWith(anyText)),
});

const runtimeApp = record<RuntimeApp>({
  name: acName,
  image: record<ImageReference>({ name: maybe(acIdentifier), id: imageID, labels }),
  app: maybe(app),
  readOnlyRootFS: fc.boolean(),
  mounts: fc.array(mount, { maxLength: 2 }),
  annotations,
});

export const exposedPort = record<ExposedPort>({
  name: acName,
  hostPort: fc.integer({ min: 0, max: 65535 }),
  hostIP: maybe(fc.ipV4()),
  podPort: maybe(port),
});

const byName = { selector: ({ name }: { readonly name: string }) => name, maxLength: 3 };

export const podManifest: fc.Arbitrary<PodManifest> = record<PodManifest>({
  acVersion: fc.constant(AC_VERSION),
  acKind: fc.constant("PodManifest" as const),
  apps: fc.uniqueArray(runtimeApp, byName),
  volumes: fc.uniqueArray(volumeWith(anyText), byName),
  isolators: fc.array(unknownIsolator, { maxLength: 2 }),
  annotations,
  ports: fc.array(exposedPort, { maxLength: 2 }),
  userAnnotations: stringMap,
  userLabels: stringMap,
});
