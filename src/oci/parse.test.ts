// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { OciError } from "./errors.ts";
import {
  choosePlatform,
  hostPlatform,
  isLayerType,
  MAX_DOCUMENT_BYTES,
  MEDIA_TYPES,
  matchesPlatform,
  parseConfig,
  parseDigest,
  parseIndex,
  parseManifest,
  parsePlatform,
} from "./parse.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const bytes = (value: unknown) =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const blob = (more: object = {}) => ({
  mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
  digest: DIGEST,
  size: 10,
  ...more,
});
const manifest = (more: object = {}) => ({
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.manifest,
  config: blob({ mediaType: MEDIA_TYPES.config }),
  layers: [blob()],
  ...more,
});
const index = (...platforms: readonly (string | undefined)[]) =>
  parseIndex(
    bytes({
      schemaVersion: 2,
      manifests: platforms.map((platform, i) => ({
        mediaType: MEDIA_TYPES.manifest,
        digest: `sha256:${String(i).repeat(64)}`,
        size: 1,
        ...(platform === undefined ? {} : { platform: parsePlatform(platform) }),
      })),
    }),
    MEDIA_TYPES.index,
  );
const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof OciError) return error.message;
    throw error;
  }
  return "nothing was refused";
};

describe("parseManifest", () => {
  test("reads an OCI manifest and Docker's schema 2 alike", () => {
    const oci = parseManifest(bytes(manifest()), MEDIA_TYPES.manifest);
    const docker = parseManifest(
      bytes(manifest({ mediaType: MEDIA_TYPES.dockerManifest })),
      "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8",
    );
    expect(oci.layers).toEqual(docker.layers);
    expect(oci.layers[0]?.digest as string).toBe(DIGEST);
    expect(parseManifest(bytes(manifest({ mediaType: undefined })), "").mediaType).toBe(
      MEDIA_TYPES.manifest,
    );
  });

  test("refuses schema 1 with a sentence", () => {
    const old = { schemaVersion: 1, fsLayers: [], history: [] };
    expect(refusal(() => parseManifest(bytes(old), ""))).toContain("schema 1");
    expect(
      refusal(() =>
        parseManifest(
          bytes(manifest()),
          "application/vnd.docker.distribution.manifest.v1+prettyjws",
        ),
      ),
    ).toContain("schema 1");
  });

  test("refuses what could be two things", () => {
    expect(refusal(() => parseManifest(bytes(manifest({ manifests: [] })), ""))).toContain(
      "two things",
    );
    expect(refusal(() => parseManifest(bytes(manifest()), MEDIA_TYPES.dockerManifest))).toContain(
      "came as",
    );
    expect(refusal(() => parseManifest(bytes(manifest()), MEDIA_TYPES.index))).toContain("came as");
  });

  test("bounds size, depth, layers and embedded data", () => {
    expect(refusal(() => parseManifest(new Uint8Array(MAX_DOCUMENT_BYTES + 1), ""))).toContain(
      "larger than",
    );
    expect(refusal(() => parseManifest(bytes("[".repeat(1_000_000)), ""))).toContain("deeper");
    const layers = Array.from({ length: 129 }, () => blob());
    expect(refusal(() => parseManifest(bytes(manifest({ layers })), ""))).toContain(
      "more than 128",
    );
    const config = blob({ size: 3, data: "QUJDRA==" });
    expect(refusal(() => parseManifest(bytes(manifest({ config })), ""))).toContain("another size");
    for (const size of [-1, 1.5, 2 ** 60, "1", null]) {
      expect(
        refusal(() => parseManifest(bytes(manifest({ config: blob({ size }) })), "")),
      ).toContain("size");
    }
  });

  test("throws nothing but OciError whatever the document", () => {
    const hostile = fc.oneof(
      fc.json().map(bytes),
      fc.uint8Array({ maxLength: 200 }),
      fc
        .record({
          schemaVersion: fc.constantFrom(1, 2, "2"),
          mediaType: fc.constantFrom(MEDIA_TYPES.manifest, MEDIA_TYPES.index, null, 7),
          config: fc.jsonValue(),
          layers: fc.jsonValue(),
          manifests: fc.jsonValue(),
          annotations: fc.jsonValue(),
          rootfs: fc.jsonValue(),
        })
        .map(bytes),
    );
    fc.assert(
      fc.property(hostile, (document) => {
        for (const parse of [
          () => parseManifest(document, ""),
          () => parseIndex(document, ""),
          () => parseConfig(document),
        ]) {
          try {
            parse();
          } catch (error) {
            if (!(error instanceof OciError)) throw error;
          }
        }
      }),
    );
  });
});

describe("parseConfig", () => {
  const config = (more: object = {}) => ({
    os: "linux",
    architecture: "amd64",
    rootfs: { type: "layers", diff_ids: [DIGEST] },
    ...more,
  });

  test("reads what a program is run with", () => {
    const parsed = parseConfig(
      bytes(
        config({
          config: {
            User: "app",
            Env: ["A=b"],
            Entrypoint: ["/x"],
            Cmd: null,
            Volumes: { "/data": {} },
            ExposedPorts: { "80/tcp": {} },
            Healthcheck: { Test: ["CMD", "true"], Interval: 5 },
          },
        }),
      ),
    );
    expect(parsed.config).toMatchObject({
      user: "app",
      env: ["A=b"],
      entrypoint: ["/x"],
      cmd: undefined,
      volumes: ["/data"],
      exposedPorts: ["80/tcp"],
      workingDir: "",
    });
    expect(parsed.config.healthcheck?.interval).toBe(5);
    expect(parseConfig(bytes(config())).config.env).toEqual([]);
  });

  test("keeps a field named like a property of all objects", () => {
    const labels = JSON.parse('{"__proto__":"x","constructor":"y"}');
    const parsed = parseConfig(
      bytes(
        JSON.stringify(config()).replace(/}$/, `,"config":{"Labels":${JSON.stringify(labels)}}}`),
      ),
    );
    expect(Object.keys(parsed.config.labels).sort()).toEqual(["__proto__", "constructor"]);
  });

  test("refuses a root file system that is not of layers", () => {
    expect(refusal(() => parseConfig(bytes(config({ rootfs: { type: "ext4" } }))))).toContain(
      "not of layers",
    );
  });
});

describe("parseDigest", () => {
  test("takes lower-case sha256 and sha512 only", () => {
    expect(parseDigest(DIGEST) as string).toBe(DIGEST);
    for (const bad of [
      "",
      "sha256:",
      `sha256:${"A".repeat(64)}`,
      `md5:${"a".repeat(32)}`,
      `${DIGEST}\n`,
    ]) {
      expect(refusal(() => parseDigest(bad))).toContain("not a digest");
    }
  });
});

describe("choosePlatform", () => {
  const chosen = (wanted: string, ...there: readonly (string | undefined)[]) =>
    Number(choosePlatform(index(...there), parsePlatform(wanted)).digest.at(-1));

  test("takes the system and architecture that were asked for", () => {
    expect(chosen("linux/amd64", "linux/arm64/v8", "windows/amd64", "linux/amd64")).toBe(2);
    expect(chosen("linux/arm64", "linux/amd64", "linux/arm64/v8")).toBe(1);
  });

  test("takes the best variant that such a machine runs", () => {
    expect(chosen("linux/arm", "linux/arm/v5", "linux/arm/v7", "linux/arm/v6")).toBe(1);
    expect(chosen("linux/arm/v6", "linux/arm/v5", "linux/arm/v7", "linux/arm/v6")).toBe(2);
    expect(chosen("linux/amd64", "linux/amd64/v3", "linux/amd64")).toBe(1);
    expect(chosen("linux/amd64/v3", "linux/amd64", "linux/amd64/v3")).toBe(1);
  });

  test("takes a lone entry without a platform, and no attestation", () => {
    expect(chosen("linux/amd64", undefined)).toBe(0);
    expect(refusal(() => choosePlatform(index("unknown/unknown"), hostPlatform("x64")))).toContain(
      "no image for platform linux/amd64",
    );
  });

  test("says which platforms there are", () => {
    try {
      choosePlatform(index("linux/arm64", "linux/386"), hostPlatform("x64"));
      throw new Error("nothing was refused");
    } catch (error) {
      expect((error as OciError).remedy).toBe("--platform with one of: linux/arm64, linux/386");
    }
  });

  test("says whether an image is for a machine", () => {
    expect(matchesPlatform({ os: "linux", architecture: "amd64" }, hostPlatform("x64"))).toBe(true);
    expect(matchesPlatform({ os: "linux", architecture: "arm64" }, hostPlatform("x64"))).toBe(
      false,
    );
  });
});

test("isLayerType knows layers from artifacts and encrypted layers", () => {
  expect(isLayerType("application/vnd.oci.image.layer.v1.tar+zstd")).toBe(true);
  expect(isLayerType("application/vnd.docker.image.rootfs.diff.tar.gzip")).toBe(true);
  expect(isLayerType("application/vnd.oci.image.layer.v1.tar+gzip+encrypted")).toBe(false);
  expect(isLayerType("application/vnd.dev.cosign.simplesigning.v1+json")).toBe(false);
});
