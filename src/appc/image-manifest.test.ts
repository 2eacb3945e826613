// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import fc from "fast-check";
import { imageManifest } from "./arbitraries.ts";
import { type ManifestError, parseImageManifest, serializeImageManifest } from "./index.ts";

const MINIMAL = { acKind: "ImageManifest", acVersion: "0.8.11", name: "example.com/app" };

function parse(changes: object) {
  return parseImageManifest(JSON.stringify({ ...MINIMAL, ...changes }));
}

function parseApp(changes: object) {
  return parse({ app: { user: "0", group: "0", ...changes } });
}

function failure(run: () => unknown): ManifestError {
  try {
    run();
  } catch (error) {
    return error as ManifestError;
  }
  throw new Error("no error");
}

test("a minimal manifest has empty lists and no app", () => {
  expect<unknown>(parse({})).toEqual({
    ...MINIMAL,
    labels: [],
    annotations: [],
    dependencies: [],
    pathWhitelist: [],
  });
});

test("an app's absent fields get their defaults", () => {
  expect<unknown>(parseApp({ ports: [{ name: "www", protocol: "tcp", port: 80 }] }).app).toEqual({
    exec: [],
    eventHandlers: [],
    user: "0",
    group: "0",
    supplementaryGIDs: [],
    workingDirectory: "",
    environment: [],
    mountPoints: [],
    ports: [{ name: "www", protocol: "tcp", port: 80, count: 1, socketActivated: false }],
    isolators: [],
    userAnnotations: {},
    userLabels: {},
  });
});

test("what is wrong with a manifest is said in the reference's words, and where", () => {
  for (const [run, message, path] of [
    [() => parseImageManifest("{}"), `missing or bad ACKind (must be "ImageManifest")`, "acKind"],
    [
      () => parse({ acKind: "PodManifest" }),
      `missing or bad ACKind (must be "ImageManifest")`,
      "acKind",
    ],
    [() => parse({ acKind: "" }), "ACKind must be set", "acKind"],
    [() => parse({ acKind: null }), "ACKind must be set", "acKind"],
    [() => parse({ acKind: "Image" }), "bad ACKind: Image", "acKind"],
    [() => parse({ acVersion: undefined }), "acVersion must be set", "acVersion"],
    [() => parse({ acVersion: "x" }), "SemVer is bad", "acVersion"],
    [() => parse({ acVersion: "0.0.0" }), "SemVer cannot be zero", "acVersion"],
    [() => parse({ name: undefined }), "name must be set", "name"],
    [() => parse({ name: "" }), "ACIdentifier cannot be empty", "name"],
    [
      () => parse({ labels: [{ name: "os", value: "linux" }, { name: "Bad" }] }),
      'ACIdentifier must contain only lower case alphanumeric characters plus "-._~/"',
      "labels[1].name",
    ],
    [() => parse({ labels: [{ name: "name" }] }), `invalid label name: "name"`, "labels"],
    [
      () => parse({ annotations: [{ name: "created", value: "x" }] }),
      `bad Date: parsing time "x": not in RFC 3339 form`,
      "annotations",
    ],
    [() => parse({ dependencies: [{}] }), "imageName cannot be empty", "dependencies[0].imageName"],
    [
      () => parse({ dependencies: [{ imageName: "a", imageID: "md5-x" }] }),
      "unrecognized hash type: md5",
      "dependencies[0].imageID",
    ],
    [() => parse({ app: { group: "0" } }), "user is required", "app"],
    [() => parse({ app: { user: "0" } }), "group is required", "app"],
    [
      () => parseApp({ workingDirectory: "tmp" }),
      "workingDirectory must be an absolute path",
      "app",
    ],
    [
      () => parseApp({ eventHandlers: [{}] }),
      `eventHandler "name" cannot be empty`,
      "app.eventHandlers[0].name",
    ],
    [
      () => parseApp({ eventHandlers: [{ name: "start" }] }),
      `bad eventHandler "name": "start"`,
      "app.eventHandlers[0].name",
    ],
    [
      () => parseApp({ eventHandlers: [{ name: "pre-start" }, { name: "pre-start" }] }),
      `Only one eventHandler of name "pre-start" allowed`,
      "app.eventHandlers",
    ],
    [
      () => parseApp({ environment: [{ value: "x" }] }),
      "environment variable name must not be empty",
      "app.environment",
    ],
    [
      () => parseApp({ environment: [{ name: "1A", value: "x" }] }),
      `environment variable does not have valid identifier "1A"`,
      "app.environment",
    ],
    [
      () => parseApp({ environment: [{ name: "A" }, { name: "A" }] }),
      `duplicate environment variable of name "A"`,
      "app.environment",
    ],
    [
      () => parseApp({ ports: [{ name: "a", port: 0 }] }),
      "port must be in 1-65535 range",
      "app.ports[0]",
    ],
    [
      () => parseApp({ ports: [{ name: "a", port: 65535, count: 2 }] }),
      "end of port range must be in 1-65535 range",
      "app.ports[0]",
    ],
    [
      () => parseApp({ isolators: [{ name: "a/b", value: 1 }] }),
      "invalid isolator",
      "app.isolators",
    ],
    [
      () => parseApp({ isolators: [{ name: "os/linux/cpu-shares", value: 1 }] }),
      "os/linux/cpu-shares must be between 2 and 262144, got 1",
      "app.isolators[0]",
    ],
    [() => parseApp({ exec: "sh" }), "expected a list, found a string", "app.exec"],
    [() => parseApp({ exec: ["sh", 1] }), "expected a string, found 1", "app.exec[1]"],
    [
      () => parseApp({ supplementaryGIDs: [1.5] }),
      "expected an integer, found 1.5",
      "app.supplementaryGIDs[0]",
    ],
    [
      () => parseApp({ userLabels: { a: {} } }),
      "expected a string, found an object",
      "app.userLabels.a",
    ],
  ] as const) {
    const error = failure(run);
    expect(error.message).toBe(message);
    expect(error.details).toMatchObject({ path });
    expect(error.remedy).toBe(`correct ${path} in the manifest`);
  }
  expect(failure(() => parseImageManifest("[]")).message).toBe("expected an object, found a list");
});

test("reading follows Go: any case, unknown fields ignored, the last one wins, null is absent", () => {
  const manifest = parseImageManifest(
    `{"ACKIND":"ImageManifest","acversion":"0.8.11","Name":"a","name":"b","other":[[1]],
      "labels":null,"app":null,"annotations":[],"constructor":1,"__proto__":{"name":"c"}}`,
  );
  expect<string>(manifest.name).toBe("b");
  expect(manifest.labels).toEqual([]);
  expect(manifest.app).toBeUndefined();
  expect(parseApp({ exec: [null, "a"], user: "u" }).app?.exec).toEqual(["", "a"]);
});

test("the names of mount points are checked, their paths are not", () => {
  expect<unknown>(parseApp({ mountPoints: [{ name: "db" }] }).app?.mountPoints).toEqual([
    { name: "db", path: "", readOnly: false },
  ]);
  expect(() => parseApp({ mountPoints: [{ name: "../db", path: "/db" }] })).toThrow("ACName");
});

test("writing has the specification's key order and leaves out what is empty", () => {
  const source = parse({
    app: {
      group: "1",
      user: "0",
      ports: [{ port: 80, protocol: "tcp", name: "www" }],
      environment: [{ name: "A", value: "<&>" }],
      userLabels: { b: "2", a: "1" },
      isolators: [{ name: "os/linux/no-new-privileges", value: true }],
    },
    labels: [{ value: "linux", name: "os" }],
    dependencies: [{ imageName: "base", size: 0 }],
  });
  expect(serializeImageManifest(source)).toBe(
    '{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/app",' +
      '"labels":[{"name":"os","value":"linux"}],"app":{"exec":null,"user":"0","group":"1",' +
      '"environment":[{"name":"A","value":"\\u003c\\u0026\\u003e"}],' +
      '"ports":[{"name":"www","protocol":"tcp","port":80,"count":1,"socketActivated":false}],' +
      '"isolators":[{"name":"os/linux/no-new-privileges","value":true}],' +
      '"userLabels":{"a":"1","b":"2"}},"dependencies":[{"imageName":"base"}]}',
  );
});

test("writing checks what it writes", () => {
  const manifest = parse({});
  const bad = { ...manifest, labels: [{ ...manifest.labels[0]!, name: "A" as never, value: "" }] };
  expect(() => serializeImageManifest(bad)).toThrow("ACIdentifier must contain only");
});

test("reading what was written gives the same manifest, and the same text", () => {
  fc.assert(
    fc.property(imageManifest, (manifest) => {
      const text = serializeImageManifest(manifest);
      expect(parseImageManifest(text)).toEqual(manifest);
      expect(parseImageManifest(new TextEncoder().encode(text))).toEqual(manifest);
      expect(serializeImageManifest(parseImageManifest(text))).toBe(text);
    }),
  );
});

test("hostile text is refused with a ManifestError or gives a manifest", () => {
  fc.assert(
    fc.property(fc.json(), imageManifest, fc.nat(), (json, manifest, at) => {
      const text = serializeImageManifest(manifest);
      const place = at % text.length;
      for (const input of [json, text.slice(0, place) + json + text.slice(place)]) {
        try {
          parseImageManifest(input);
        } catch (error) {
          expect(error).toMatchObject({ name: "ManifestError" });
        }
      }
    }),
  );
});

test("deep nesting is refused where it is kept, and ignored where it is not", () => {
  const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
  const start = '{"acKind":"ImageManifest","acVersion":"0.8.11","name":"a"';
  expect(() => parseImageManifest(`${start},"x":${deep}}`)).not.toThrow();
  expect(() =>
    parseImageManifest(
      `${start},"app":{"user":"0","group":"0","isolators":[{"name":"a","value":${deep}}]}}`,
    ),
  ).toThrow("value is nested more than 32 levels deep");
});
