// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { failure } from "../../store/test-images.ts";
import { type DockerReference, parseDockerReference } from "../docker-reference.ts";
import { FetchError } from "../errors.ts";
import { parseChallenges } from "./challenge.ts";
import { endpointsOf, parseRegistriesConf } from "./registries-conf.ts";
import { BusyError, parseRetryAfter, pauseBefore } from "./retry.ts";

const plain = (header: string | null) =>
  parseChallenges(header).map(({ scheme, params }) => [scheme, Object.fromEntries(params)]);

describe("what a 401 asks for", () => {
  test("is a token with realm, service and scope", () => {
    expect(
      plain(
        'Bearer realm="https://auth.example.com/token",service="registry, \\"x\\"",Scope=repository:a',
      ),
    ).toEqual([
      [
        "bearer",
        { realm: "https://auth.example.com/token", service: 'registry, "x"', scope: "repository" },
      ],
    ]);
  });

  test("can be one of several schemes", () => {
    expect(plain('Negotiate, Basic realm="a, b" , BEARER realm=x')).toEqual([
      ["negotiate", {}],
      ["basic", { realm: "a, b" }],
      ["bearer", { realm: "x" }],
    ]);
  });

  test("is nothing where the header is missing or nonsense", () => {
    for (const header of [null, "", "=,=", '"a"', "a".repeat(20_000)]) {
      expect(plain(header)).toEqual([]);
    }
  });

  test("never takes for ever nor throws, whatever the header is", () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 200, unit: fc.constantFrom(...'Bb="\\, \tx:') }),
        (text) => {
          parseChallenges(text);
        },
      ),
    );
  });
});

describe("a pause before the next try", () => {
  const broken = new FetchError("BODY_SHORT", "cannot fetch");
  const busy = (retryAfter: number | undefined) =>
    new BusyError("cannot fetch", { limited: true, retryAfter, details: {} });

  test("doubles, is bounded and differs by chance", () => {
    const pauses = [1, 2, 3, 4].map((n) => pauseBefore(n, broken, () => 1));
    expect(pauses).toEqual([500, 1000, 2000, 4000]);
    expect(pauseBefore(1, broken, () => 0)).toBe(250);
    expect(pauseBefore(5, broken)).toBeUndefined();
  });

  test("is as long as Retry-After says, unless that is too long to wait", () => {
    expect(pauseBefore(1, busy(7000))).toBe(7000);
    expect(pauseBefore(1, busy(3_600_000))).toBeUndefined();
    expect(pauseBefore(1, busy(undefined), () => 1)).toBe(500);
  });

  test("is not made for what another try does not change", () => {
    for (const code of ["TLS_FAILED", "REGISTRY_DENIED", "TOO_LARGE"] as const) {
      expect(pauseBefore(1, new FetchError(code, "cannot fetch"))).toBeUndefined();
    }
    expect(pauseBefore(1, new Error("a bug"))).toBeUndefined();
    const refused = { details: { code: "ConnectionRefused" } };
    expect(
      pauseBefore(1, new FetchError("CONNECTION_FAILED", "cannot fetch", refused)),
    ).toBeUndefined();
  });

  test("is read from seconds or a date", () => {
    expect(parseRetryAfter("120", 0)).toBe(120_000);
    expect(parseRetryAfter("Thu, 01 Jan 1970 00:00:09 GMT", 4000)).toBe(5000);
    expect(parseRetryAfter("Thu, 01 Jan 1970 00:00:09 GMT", 40_000)).toBe(0);
    for (const text of [null, "", "soon", "-1", "1e9"]) {
      expect(parseRetryAfter(text, 0)).toBeUndefined();
    }
  });
});

describe("registries.conf", () => {
  const DIGEST = `sha256:${"a".repeat(64)}`;
  const parsed = (text: string) => parseDockerReference(text) as DockerReference;
  const where = (text: string, conf: string) =>
    endpointsOf(parsed(text), parseRegistriesConf(conf).rules).map(
      ({ host, repository, insecure }) => `${host}/${repository}${insecure ? " insecure" : ""}`,
    );

  test("that says nothing of an image leaves it where it is", () => {
    expect(where("quay.io/a/b:1", "")).toEqual(["quay.io/a/b"]);
    expect(where("busybox", '[[registry]]\nprefix="quay.io"\nblocked=true\n')).toEqual([
      "registry-1.docker.io/library/busybox",
    ]);
    // Another host that begins alike.
    expect(where("quay.io.evil.test/a", '[[registry]]\nprefix="quay.io"\ninsecure=true')).toEqual([
      "quay.io.evil.test/a",
    ]);
  });

  test("moves a prefix, the longest first", () => {
    const conf = `
      unqualified-search-registries = ["example.com"]
      [[registry]]
      prefix = "quay.io"
      location = "one.example.com/quay"
      [[registry]]
      prefix = "quay.io/a"
      location = "two.example.com:5000"
      insecure = true`;
    expect(where("quay.io/x/y", conf)).toEqual(["one.example.com/quay/x/y"]);
    expect(where("quay.io/a/b", conf)).toEqual(["two.example.com:5000/b insecure"]);
    expect(where("quay.io/ab", conf)).toEqual(["one.example.com/quay/ab"]);
  });

  test("names mirrors, which come first, some only for digests or tags", () => {
    const conf = `
      [[registry]]
      location = "docker.io"
      [[registry.mirror]]
      location = "all.example.com"
      [[registry.mirror]]
      location = "digest.example.com/hub"
      pull-from-mirror = "digest-only"
      [[registry.mirror]]
      location = "tag.example.com"
      insecure = true
      pull-from-mirror = "tag-only"`;
    expect(where("busybox", conf)).toEqual([
      "all.example.com/library/busybox",
      "tag.example.com/library/busybox insecure",
      "registry-1.docker.io/library/busybox",
    ]);
    expect(where(`busybox@${DIGEST}`, conf)).toEqual([
      "all.example.com/library/busybox",
      "digest.example.com/hub/library/busybox",
      "registry-1.docker.io/library/busybox",
    ]);
    const byDigest = conf.replace("[[registry.mirror]]", "mirror-by-digest-only = true\n$&");
    expect(where("busybox", byDigest)).toEqual([
      "tag.example.com/library/busybox insecure",
      "registry-1.docker.io/library/busybox",
    ]);
  });

  test("takes all hosts below a domain", async () => {
    const conf = '[[registry]]\nprefix="*.example.com"\nblocked=true';
    const error = await failure(() => where("a.b.example.com/x", conf));
    expect(error).toMatchObject({ code: "REGISTRY_BLOCKED" });
    expect(error.message).toBe(
      'cannot fetch "docker://a.b.example.com/x": registries.conf blocks "*.example.com"',
    );
    expect(where("example.com/x", conf)).toEqual(["example.com/x"]);
    const moved = '[[registry]]\nprefix="*.example.com"\nlocation="new.test"';
    expect(where("a.example.com/x/y", moved)).toEqual(["new.test/x/y"]);
    expect(where("a.example.com/x", '[[registry]]\nprefix="*.example.com"\ninsecure=true')).toEqual(
      ["a.example.com/x insecure"],
    );
  });

  test("is refused with a sentence where it makes no sense", async () => {
    const refused: readonly (readonly [string, string])[] = [
      ["[[registry", "it is not valid TOML"],
      ["[[registry]]\ninsecure=true", "a registry has neither prefix nor location"],
      ['[[registry]]\nprefix="a.test"\nblocked="yes"', "blocked must be true or false"],
      ['[[registry]]\nprefix="https://a.test"', "prefix is no HOST[:PORT][/PATH]"],
      ['registry="a"', "registry must be a list"],
      ['[[registry]]\nprefix="a.test"\n[[registry.mirror]]\n', "a mirror has no location"],
    ];
    for (const [conf, why] of refused) {
      expect((await failure(() => parseRegistriesConf(conf))).message).toContain(why);
    }
  });

  test("of version 1 is noticed", () => {
    expect(parseRegistriesConf('[registries.block]\nregistries=["a"]').version1).toBe(true);
  });
});
