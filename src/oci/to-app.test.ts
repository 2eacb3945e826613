// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { getAnnotation, parseImageManifest, serializeImageManifest } from "../appc/index.ts";
import { type ImageFacts, imageManifestOf } from "./to-app.ts";
import type { Digest, OciConfig, OciExecution } from "./types.ts";

const DIGEST = `sha256:${"a".repeat(64)}` as Digest;

const NOTHING: OciExecution = {
  user: "",
  exposedPorts: [],
  env: [],
  entrypoint: undefined,
  cmd: undefined,
  volumes: [],
  workingDir: "",
  labels: {},
  stopSignal: "",
  healthcheck: undefined,
  shell: undefined,
};

function configOf(execution: Partial<OciExecution>, more: Partial<OciConfig> = {}): OciConfig {
  return {
    platform: { os: "linux", architecture: "amd64" },
    rootfs: { diffIDs: [] },
    history: [],
    ...more,
    config: { ...NOTHING, ...execution },
  };
}

function facts(more: Partial<ImageFacts> = {}): ImageFacts {
  return {
    name: "registry-1.docker.io/library/x",
    tag: "latest",
    digest: DIGEST,
    manifest: {
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: `sha256:${"c".repeat(64)}` as Digest,
        size: 2,
      },
      layers: [],
      annotations: {},
    },
    reference: "docker://x",
    ...more,
  };
}

const manifestOf = (execution: Partial<OciExecution>) =>
  imageManifestOf(configOf(execution), facts());

function appOf(execution: Partial<OciExecution>) {
  const { app } = manifestOf(execution);
  if (app === undefined) throw new Error("no app");
  return app;
}

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

describe("golden: known images", () => {
  const known: readonly (readonly [name: string, OciConfig])[] = [
    ["busybox", configOf({ env: [PATH], cmd: ["sh"] }, { created: "2024-09-26T21:31:42Z" })],
    [
      "nginx",
      configOf(
        {
          exposedPorts: ["80/tcp"],
          env: [PATH, "NGINX_VERSION=1.27.2", "PKG_RELEASE=1~bookworm"],
          entrypoint: ["/docker-entrypoint.sh"],
          cmd: ["nginx", "-g", "daemon off;"],
          labels: { maintainer: "NGINX Docker Maintainers <docker-maint@nginx.com>" },
          stopSignal: "SIGQUIT",
        },
        { created: "2024-10-03T17:45:08Z" },
      ),
    ],
    [
      "postgres",
      configOf(
        {
          exposedPorts: ["5432/tcp"],
          env: [PATH, "LANG=en_US.utf8", "PG_MAJOR=17", "PGDATA=/var/lib/postgresql/data"],
          entrypoint: ["docker-entrypoint.sh"],
          cmd: ["postgres"],
          volumes: ["/var/lib/postgresql/data"],
          workingDir: "/",
          stopSignal: "SIGINT",
          user: "postgres",
          healthcheck: {
            test: ["CMD-SHELL", "pg_isready -U postgres"],
            interval: 10_000_000_000,
            timeout: 0,
            startPeriod: 0,
            startInterval: 0,
            retries: 5,
          },
        },
        {
          author: "PostgreSQL",
          created: "2024-11-12T01:27:40Z",
          platform: { os: "linux", architecture: "arm64", variant: "v8" },
        },
      ),
    ],
  ];
  test.each(known)("imageManifestOf() of %s", (name, config) => {
    const manifest = imageManifestOf(
      config,
      facts({ name: `registry-1.docker.io/library/${name}`, reference: `docker://${name}` }),
    );
    expect(JSON.parse(serializeImageManifest(manifest))).toMatchSnapshot();
  });
});

test("imageManifestOf() appends cmd to the entrypoint and keeps both as they were", () => {
  const manifest = manifestOf({ entrypoint: ["/e", "-a"], cmd: ["b c"] });
  expect(manifest.app?.exec).toEqual(["/e", "-a", "b c"]);
  expect(getAnnotation(manifest.annotations, "appc.io/docker/entrypoint")).toBe('["/e","-a"]');
  expect(getAnnotation(manifest.annotations, "appc.io/docker/cmd")).toBe('["b c"]');
});

test.each([
  ["", "0", "0"],
  ["www", "www", "www"],
  ["1000", "1000", "1000"],
  ["www:data", "www", "data"],
  ["1000:0", "1000", "0"],
  ["www:", "www", "www"],
  [":5", "0", "5"],
])("imageManifestOf() takes user %j as user %j and group %j", (text, user, group) => {
  const manifest = manifestOf({ user: text });
  expect([manifest.app?.user, manifest.app?.group]).toEqual([user, group]);
  expect(getAnnotation(manifest.annotations, "appc.io/docker/user")).toBe(text);
});

test("imageManifestOf() takes the last value of a variable and leaves out what is none", () => {
  const { environment } = appOf({ env: ["A=1", "B", "C=x=y", "1X=2", "A=3", "=4", "D="] });
  expect(environment).toEqual([
    { name: "A", value: "3" },
    { name: "C", value: "x=y" },
    { name: "D", value: "" },
  ]);
});

test.each([
  ["", ""],
  ["srv", "/srv"],
  ["/a//b/../c/", "/a/c"],
  ["../..", "/"],
  ["//x", "/x"],
])("imageManifestOf() takes working directory %j as %j", (text, path) => {
  expect(appOf({ workingDir: text }).workingDirectory).toBe(path);
});

test("imageManifestOf() names volumes by their paths, equal names by a number", () => {
  const { mountPoints } = appOf({ volumes: ["/b_c", "/b-c", "/b.c/", "data", "/", "/../data"] });
  expect(mountPoints.map(({ name, path }) => [name as string, path])).toEqual([
    ["volume-b-c", "/b-c"],
    ["volume-b-c-1", "/b.c"],
    ["volume-b-c-2", "/b_c"],
    ["volume-data", "/data"],
  ]);
});

test("imageManifestOf() names ports by number and protocol and leaves out what is none", () => {
  const { ports } = appOf({
    exposedPorts: ["80", "53/UDP", "8000-8002/tcp", "0/tcp", "70000/tcp", "x/tcp", "9-8", "80/t/u"],
  });
  expect(
    ports.map(({ name, protocol, port, count }) => [name, protocol, port, count] as const),
  ).toEqual([
    ["53-udp", "udp", 53, 1],
    ["80", "tcp", 80, 1],
    ["8000-8002-tcp", "tcp", 8000, 3],
  ] as never);
});

describe("a health check is a liveness command", () => {
  const times = { interval: 0, timeout: 0, startPeriod: 0, startInterval: 0, retries: 0 };
  const liveness = (test: readonly string[], shell?: readonly string[]) => {
    const { annotations } = manifestOf({ healthcheck: { test, ...times }, shell });
    const text = getAnnotation(annotations, "appc.io/docker/liveness");
    return text === undefined ? undefined : JSON.parse(text);
  };
  test("with Docker's defaults", () => {
    expect(liveness(["CMD", "/check", "-q"])).toEqual({
      exec: ["/check", "-q"],
      interval: 30e9,
      timeout: 30e9,
      startPeriod: 0,
      startInterval: 5e9,
      retries: 3,
    });
  });
  test("by the image's shell", () => {
    expect(liveness(["CMD-SHELL", "a b"]).exec).toEqual(["/bin/sh", "-c", "a b"]);
    expect(liveness(["CMD-SHELL", "a b"], ["/bin/ash", "-e"]).exec).toEqual([
      "/bin/ash",
      "-e",
      "a b",
    ]);
  });
  test.each([[["NONE"]], [[]], [["CMD"]], [["CMD-SHELL"]], [["OTHER", "x"]]])("not %j", (test) => {
    expect(liveness(test)).toBeUndefined();
  });
});

test("imageManifestOf() keeps labels, but not those that would say what rkt says", () => {
  const labels = {
    "org.opencontainers.image.title": "T",
    "Com.Example_X": "1",
    "com.example_x": "2",
    created: "never",
    homepage: "javascript:x",
    "appc.io/docker/cmd": '["evil"]',
    "coreos.com/rkt/stage1/run": "/evil",
    "***": "nothing",
  };
  const { annotations, app } = manifestOf({ labels });
  expect(app?.userLabels).toEqual(labels);
  const own = annotations.filter(({ name }) => !name.startsWith("appc.io/docker/"));
  expect(own as readonly unknown[]).toEqual([
    { name: "org.opencontainers.image.title", value: "T" },
    { name: "com.example_x", value: "1" },
  ]);
  expect(getAnnotation(annotations, "appc.io/docker/cmd")).toBeUndefined();
});

test.each([
  [
    { os: "linux", architecture: "arm", variant: "v7" },
    { os: "linux", arch: "armv7l" },
  ],
  [
    { os: "linux", architecture: "arm", variant: "v6" },
    { os: "linux", arch: "armv6l" },
  ],
  [
    { os: "linux", architecture: "386" },
    { os: "linux", arch: "i386" },
  ],
  [
    { os: "linux", architecture: "ppc64le" },
    { os: "linux", arch: "ppc64le" },
  ],
  [{ os: "linux", architecture: "riscv64" }, {}],
  [{ os: "windows", architecture: "amd64" }, {}],
  [{ os: "__proto__", architecture: "constructor" }, {}],
])("imageManifestOf() calls %j %j", (platform, expected) => {
  const { labels } = imageManifestOf(configOf({}, { platform }), facts());
  expect(Object.fromEntries(labels.map(({ name, value }) => [name, value]))).toEqual({
    ...expected,
    version: "latest",
  });
});

test.each([
  [{ name: "localhost:5000/My_App" }, "localhost-5000/my_app", "localhost:5000", "My_App"],
  [{ name: "a/b" }, "a/b", undefined, "a/b"],
  [{ name: "___" }, `sha256-${"a".repeat(64)}`, undefined, "___"],
])("imageManifestOf() calls the image %j %j", (more, name, registry, repository) => {
  const manifest = imageManifestOf(configOf({}), facts(more));
  expect(manifest.name as string).toBe(name);
  expect(getAnnotation(manifest.annotations, "appc.io/docker/registryurl")).toBe(registry);
  expect(getAnnotation(manifest.annotations, "appc.io/docker/repository")).toBe(repository);
});

test("imageManifestOf() takes the digest for the version when there is no tag", () => {
  const { labels } = imageManifestOf(configOf({}), facts({ tag: undefined }));
  expect(labels.find(({ name }) => name === "version")?.value).toBe(`sha256-${"a".repeat(64)}`);
});

test.each(["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "yesterday", "2024-13-01T00:00:00Z"])(
  "imageManifestOf() does not take %j for a time",
  (created) => {
    const { annotations } = imageManifestOf(configOf({}, { created }), facts());
    expect(getAnnotation(annotations, "created")).toBeUndefined();
  },
);

describe("property: every manifest serialises and parses back", () => {
  const text = fc.string({ unit: "binary", maxLength: 12 });
  const likely = (...known: readonly string[]) => fc.oneof(text, fc.constantFrom(...known));
  const words = fc.option(fc.array(text, { maxLength: 4 }), { nil: undefined });
  const map = fc.dictionary(likely("created", "homepage", "a", "A", "appc.io/x"), text, {
    maxKeys: 5,
    noNullPrototype: true,
  });
  const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
  const number = fc.integer({ min: -1 });
  const execution = fc.record<OciExecution>({
    user: likely("0", "a:b", ":", "u:"),
    exposedPorts: fc.array(likely("80/tcp", "80", "1-65535", "65535-65535/x", "080/TCP")),
    env: fc.array(likely("A=1", "A=", "=", "B.c-d=2")),
    entrypoint: words,
    cmd: words,
    volumes: fc.array(likely("/a", "/A", "a/", "/..", "/a-1", "/a/1", "//")),
    workingDir: likely("/", "a", "//a/../b"),
    labels: map,
    stopSignal: likely("SIGTERM", "9"),
    healthcheck: optional(
      fc.record({
        test: fc.array(likely("CMD", "CMD-SHELL", "NONE"), { maxLength: 3 }),
        interval: number,
        timeout: number,
        startPeriod: number,
        startInterval: number,
        retries: number,
      }),
    ),
    shell: words,
  });
  const config = fc.record<OciConfig>({
    created: optional(likely("2024-01-01T00:00:00Z")),
    author: optional(text),
    platform: fc.record({
      os: likely("linux", "windows"),
      architecture: likely("amd64", "arm", "riscv64"),
      variant: optional(likely("v7")),
    }),
    rootfs: fc.constant({ diffIDs: [] }),
    history: fc.constant([]),
    config: execution,
  });
  test("imageManifestOf() is total", () => {
    fc.assert(
      fc.property(
        config,
        text,
        optional(text),
        map,
        text,
        (config, name, tag, annotations, ref) => {
          const { manifest } = facts();
          const made = imageManifestOf(
            config,
            facts({ name, tag, reference: ref, manifest: { ...manifest, annotations } }),
          );
          expect(parseImageManifest(serializeImageManifest(made))).toEqual(made);
        },
      ),
      { numRuns: 500 },
    );
  });
});
