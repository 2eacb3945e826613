// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import {
  type ACName,
  type ImageKey,
  type ImageManifest,
  parseExposedPort,
  parseImageManifest,
  parseMount,
  parsePodManifest,
  serializePodManifest,
} from "../appc/index.ts";
import { type AppOverrides, generatePodManifest, type PodOptions } from "./generate-manifest.ts";

const KEY = `sha512-${"ab".repeat(32)}` as ImageKey;

const NOTHING: AppOverrides = { args: [], mounts: [], annotations: [], environment: [] };
const OPTIONS: PodOptions = {
  mounts: [],
  volumes: [],
  ports: [],
  inheritedEnvironment: [],
  fileEnvironment: [],
  setEnvironment: [],
  caller: { uid: 0, gid: 0 },
};

function image(
  app: object | undefined = { exec: ["/bin/a", "x"], user: "1", group: "2" },
): ImageManifest {
  return parseImageManifest(
    JSON.stringify({
      acKind: "ImageManifest",
      acVersion: "0.8.11",
      name: "example.com/some_thing/my.app".replace("_", "-"),
      labels: [
        { name: "os", value: "linux" },
        { name: "arch", value: "amd64" },
      ],
      app,
    }),
  );
}

function generate(
  overrides: Partial<AppOverrides> = {},
  options: Partial<PodOptions> = {},
  app?: object,
) {
  return generatePodManifest(
    [{ overrides: { ...NOTHING, ...overrides }, key: KEY, manifest: image(app) }],
    { ...OPTIONS, ...options },
  );
}

const appOf = (...args: Parameters<typeof generate>) => {
  const app = generate(...args).apps[0]?.app;
  if (app === undefined) throw new Error("no app");
  return app;
};

describe("a generated pod manifest", () => {
  test("is one that its own parser takes, with every field kept", () => {
    const manifest = generate({ args: ["y"] });
    expect(parsePodManifest(serializePodManifest(manifest))).toEqual(manifest);
  });

  test("names the app by the last part of the image's name", () => {
    expect(generate().apps[0]?.name).toBe("my-app" as ACName);
    expect(generate({ name: "other" as ACName }).apps[0]?.name).toBe("other" as ACName);
  });

  test("refuses two apps of one name", () => {
    const source = { overrides: NOTHING, key: KEY, manifest: image() };
    expect(() => generatePodManifest([source, source], OPTIONS)).toThrow(
      "error: multiple apps with name my-app",
    );
  });

  test("appends arguments to the image's exec, and to --exec in its place", () => {
    expect(appOf({ args: ["y"] }).exec).toEqual(["/bin/a", "x", "y"]);
    expect(appOf({ exec: "/b", args: ["y"] }).exec).toEqual(["/b", "y"]);
  });

  test("gives arguments in Cmd's place to an image of Docker's that was not converted", () => {
    const docker = (args: readonly string[], entrypoint: string | undefined, exec?: string) => {
      const manifest = {
        ...image({ exec: ["/e", "c"], user: "0", group: "0" }),
        annotations: [
          { name: "appc.io/docker/user", value: "" },
          { name: "appc.io/docker/cmd", value: '["c"]' },
          ...(entrypoint === undefined
            ? []
            : [{ name: "appc.io/docker/entrypoint", value: entrypoint }]),
        ] as unknown as ImageManifest["annotations"],
      };
      const source = { overrides: { ...NOTHING, args, exec }, key: KEY, manifest };
      return generatePodManifest([source], OPTIONS).apps[0]?.app?.exec;
    };
    expect(docker([], '["/e"]')).toEqual(["/e", "c"]);
    expect(docker(["a", "b"], '["/e"]')).toEqual(["/e", "a", "b"]);
    expect(docker(["a", "b"], undefined)).toEqual(["a", "b"]);
    expect(docker(["a"], '["/e"]', "/x")).toEqual(["/x", "a"]);
    expect(docker([], '["/e"]', "/x")).toEqual(["/x"]);
  });

  test("runs an image without an app only with --exec, as the caller", () => {
    const bare = image();
    const source = (exec?: string) => [
      { overrides: { ...NOTHING, exec }, key: KEY, manifest: { ...bare, app: undefined } },
    ];
    expect(() => generatePodManifest(source(), OPTIONS)).toThrow(
      "error: image ID has no app section and --exec argument is not provided",
    );
    const made = generatePodManifest(source("/b"), { ...OPTIONS, caller: { uid: 7, gid: 8 } });
    expect(made.apps[0]?.app).toMatchObject({ exec: ["/b"], user: "7", group: "8" });
  });

  test("layers the environment in rkt's order", () => {
    const variable = (name: string, value: string) => ({ name, value });
    const environment = ["A", "B", "C", "D", "E"].map((name) => variable(name, "image"));
    const app = { exec: ["/a"], user: "0", group: "0", environment };
    const result = appOf(
      { environment: ["B", "C", "D"].map((name) => variable(name, "flag")) },
      {
        inheritedEnvironment: [variable("A", "inherited"), variable("F", "inherited")],
        fileEnvironment: [variable("C", "file"), variable("D", "file")],
        setEnvironment: [variable("D", "set")],
      },
      app,
    ).environment;
    expect(Object.fromEntries(result.map(({ name, value }) => [name, value]))).toEqual({
      A: "image",
      B: "flag",
      C: "file",
      D: "set",
      E: "image",
      F: "inherited",
    });
  });

  test("an app's own mount wins over the global one at the same path", () => {
    const mounts = generate(
      { mounts: [parseMount("volume=own,target=/data/")] },
      { mounts: [parseMount("volume=global,target=/data"), parseMount("volume=global,target=/x")] },
    ).apps[0]?.mounts;
    expect(mounts?.map(({ volume, path }) => `${volume}:${path}`)).toEqual([
      "own:/data/",
      "global:/x",
    ]);
  });

  test("flags add limits and replace capability sets", () => {
    const app = {
      exec: ["/a"],
      user: "0",
      group: "0",
      isolators: [{ name: "os/linux/capabilities-remove-set", value: { set: ["CAP_CHOWN"] } }],
    };
    const isolators = appOf({ memory: "16M", capsRetain: ["CAP_KILL"] }, {}, app).isolators;
    expect(isolators.map(({ name, value }) => [name as string, value])).toEqual([
      ["resource/memory", { default: false, request: "16M", limit: "16M" }],
      ["os/linux/capabilities-retain-set", { set: ["CAP_KILL"] }],
    ]);
  });

  test("an exposed port must be a port of exactly one app", () => {
    const ports = [parseExposedPort("www:8080")];
    expect(() => generate({}, { ports })).toThrow('port name "www" could not be found in any apps');
    const app = {
      exec: ["/a"],
      user: "0",
      group: "0",
      ports: [{ name: "www", protocol: "tcp", port: 80 }],
    };
    expect(generate({}, { ports }, app).ports).toHaveLength(1);
  });
});
