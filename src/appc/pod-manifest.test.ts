// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import fc from "fast-check";
import { podManifest } from "./arbitraries.ts";
import { parsePodManifest, serializePodManifest } from "./index.ts";

function parse(changes: object) {
  return parsePodManifest(
    JSON.stringify({ acVersion: "0.8.11", acKind: "PodManifest", ...changes }),
  );
}

test("a pod manifest writes its empty lists as null", () => {
  expect(serializePodManifest(parse({}))).toBe(
    '{"acVersion":"0.8.11","acKind":"PodManifest","apps":null,"volumes":null,"isolators":null,"annotations":null,"ports":null}',
  );
});

test("key order and omission are the specification's", () => {
  const source = {
    ports: [{ hostPort: 80, name: "www" }],
    volumes: [
      { kind: "empty", name: "v" },
      { kind: "host", name: "h", source: "/s", recursive: false },
    ],
    apps: [
      {
        mounts: [{ path: "/d", volume: "v" }],
        image: { id: "sha512-ab" },
        name: "a",
        readOnlyRootFS: false,
      },
    ],
    userLabels: { x: "y" },
  };
  expect(serializePodManifest(parse(source))).toBe(
    '{"acVersion":"0.8.11","acKind":"PodManifest",' +
      '"apps":[{"name":"a","image":{"id":"sha512-ab"},"mounts":[{"volume":"v","path":"/d"}]}],' +
      '"volumes":[{"name":"v","kind":"empty","mode":"0755","uid":0,"gid":0},' +
      '{"name":"h","kind":"host","source":"/s","recursive":false}],' +
      '"isolators":null,"annotations":null,"ports":[{"name":"www","hostPort":80}],' +
      '"userLabels":{"x":"y"}}',
  );
});

test("what is wrong with a pod manifest is said in the reference's words", () => {
  const volume = (fields: object) => () => parse({ volumes: [{ name: "v", ...fields }] });
  const app = (fields: object) => () =>
    parse({ apps: [{ name: "a", image: { id: "sha512-a" }, ...fields }] });
  for (const [run, message] of [
    [() => parse({ acKind: "ImageManifest" }), `missing or bad ACKind (must be "PodManifest")`],
    [() => parse({ apps: [{ name: "a" }, { name: "a" }] }), `duplicate apps of name "a"`],
    [() => parse({ apps: [{}] }), "ACName cannot be empty"],
    [app({ image: { id: "x" } }), "badly formatted hash string"],
    [app({ mounts: [{ path: "/x" }] }), "volume must be set"],
    [app({ app: { user: "0" } }), "group is required"],
    [
      () =>
        parse({
          volumes: [
            { name: "v", kind: "empty" },
            { name: "v", kind: "empty" },
          ],
        }),
      `duplicate volume name "v"`,
    ],
    [() => parse({ volumes: [{ kind: "empty" }] }), "name must be set"],
    [volume({}), `unrecognized volume kind: should be one of "empty", "host"`],
    [volume({ kind: "empty", source: "/x" }), "source for empty volume must be empty"],
    [volume({ kind: "host" }), "source for host volume cannot be empty"],
    [volume({ kind: "host", source: "x" }), "source for host volume must be absolute path"],
    [volume({ kind: "host", source: "/x", mode: "1" }), "mode for host volume cannot be set"],
    [volume({ kind: "host", source: "/x", uid: 0 }), "uid for host volume cannot be set"],
    [volume({ kind: "host", source: "/x", gid: 0 }), "gid for host volume cannot be set"],
    [
      () => parse({ isolators: [{ name: "resource/cpu", value: { default: true } }] }),
      "default must be false",
    ],
    [
      () => parse({ ports: [{ name: "a", hostPort: 1, hostIP: "1.2.3" }] }),
      `invalid IP address: "1.2.3"`,
    ],
    [
      () => parse({ ports: [{ name: "a", hostPort: 1, podPort: { name: "b" } }] }),
      "port must be in 1-65535 range",
    ],
    [
      () => parse({ ports: [{ name: "a", hostPort: -1 }] }),
      "expected an integer that is not negative, found -1",
    ],
  ] as const) {
    expect(run).toThrow(message);
  }
});

test("an isolator of an unknown name survives in a pod", () => {
  const isolators = [{ name: "vendor/own", value: { a: [1, "<"] } }];
  expect<unknown>(parse({ isolators }).isolators).toEqual(isolators);
});

test("a template without image IDs can be read but not written", () => {
  const template = parse({ apps: [{ name: "a", image: { name: "example.com/a" } }] });
  expect(template.apps[0]?.image.id).toBeUndefined();
  expect(() => serializePodManifest(template)).toThrow("unexpected empty hash type");
});

test("a pod manifest without acVersion gets ours, and the sample of the specification is kept", () => {
  expect<string>(parsePodManifest('{"acKind":"PodManifest"}').acVersion).toBe("0.8.11");
  const sample =
    '{"acVersion":"0.8.11","acKind":"PodManifest","apps":[{"name":"a","image":{"id":"sha512-00"},' +
    '"mounts":[{"volume":"v","path":"/d"}]}],"volumes":[{"name":"v","kind":"empty","mode":"0755",' +
    '"uid":0,"gid":0}],"isolators":null,"annotations":null,"ports":null}';
  expect(serializePodManifest(parsePodManifest(sample))).toBe(sample);
});

test("reading what was written gives the same manifest, and the same text", () => {
  fc.assert(
    fc.property(podManifest, (manifest) => {
      const text = serializePodManifest(manifest);
      expect(parsePodManifest(text)).toEqual(manifest);
      expect(serializePodManifest(parsePodManifest(text))).toBe(text);
    }),
  );
});
