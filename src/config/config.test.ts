// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { errorChain } from "../lib/errors.ts";
import { authHeaders, type Config, ConfigError, loadConfig, toJson } from "./index.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "config-test-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function write(path: string, content: unknown) {
  const full = join(root, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, typeof content === "string" ? content : JSON.stringify(content));
}

const v1 = (rktKind: string, rest: object) => ({ rktKind, rktVersion: "v1", ...rest });
const basic = (user: string, ...domains: string[]) =>
  v1("auth", { domains, type: "basic", credentials: { user, password: "p" } });

function load(): Config {
  return loadConfig({
    system: join(root, "system"),
    local: join(root, "local"),
    user: join(root, "user"),
  });
}

/** The error of reading everything: its sentence and its root cause. */
function failure(): { readonly message: string; readonly cause: string } {
  try {
    toJson(load());
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    const chain = errorChain(error);
    return {
      message: (chain[0]?.message ?? "").replaceAll(root, "ROOT"),
      cause: chain.at(-1)?.message ?? "",
    };
  }
  throw new Error("the configuration was accepted");
}

describe("loadConfig", () => {
  test("is empty without directories", () => {
    const config = load();
    expect(config.auth.size).toBe(0);
    expect(config.dockerAuth.size).toBe(0);
    expect(config.paths).toEqual({});
    expect(config.stage1).toEqual({});
  });

  test("merges the directories key by key, the later one winning", () => {
    write("system/auth.d/a.json", basic("vendor", "a.com", "b.com"));
    write("local/auth.d/b.json", basic("admin", "b.com", "c.com:8443"));
    write("user/auth.d/c.json", basic("me", "c.com:8443"));
    write("system/paths.d/p.json", v1("paths", { data: "/vendor", "stage1-images": "/s1" }));
    write("local/paths.d/p.json", v1("paths", { data: "/admin" }));
    write("system/stage1.d/s.json", v1("stage1", { name: "n", version: "1", location: "/l" }));
    write("user/stage1.d/s.json", v1("stage1", { name: "m", version: "2" }));
    const config = load();
    expect([...config.auth].map(([d, a]) => [d, a.kind === "basic" && a.user])).toEqual([
      ["a.com", "vendor"],
      ["b.com", "admin"],
      ["c.com:8443", "me"],
    ]);
    expect(config.paths).toEqual({ data: "/admin", stage1Images: "/s1" });
    expect(config.stage1).toEqual({ name: "m", version: "2", location: "/l" });
  });

  test("reads every kind of credentials", () => {
    write("local/auth.d/a.json", basic("u", "Basic.example.com"));
    write(
      "local/auth.d/b.json",
      v1("auth", { domains: ["o.com"], type: "oauth", credentials: { token: "t" } }),
    );
    const aws = { accessKeyID: "id", secretAccessKey: "secret", awsRegion: "eu-west-1" };
    write("local/auth.d/c.json", v1("auth", { domains: ["s3"], type: "aws", credentials: aws }));
    write(
      "local/auth.d/d.json",
      v1("dockerAuth", { registries: ["quay.io"], credentials: { user: "u", password: "p" } }),
    );
    const config = load();
    expect(config.auth.get("basic.example.com")).toEqual({
      kind: "basic",
      user: "u",
      password: "p",
    });
    expect(config.auth.get("o.com")).toEqual({ kind: "oauth", token: "t" });
    expect(config.auth.get("s3")).toEqual({
      kind: "aws",
      accessKeyID: "id",
      secretAccessKey: "secret",
      region: "eu-west-1",
    });
    expect(config.dockerAuth.get("quay.io")).toEqual({ user: "u", password: "p" });
  });

  test("ignores links, subdirectories and files of other names", () => {
    write("elsewhere.json", "broken");
    write("local/auth.d/readme.txt", "broken");
    write("local/auth.d/sub.json/x.json", "broken");
    symlinkSync(join(root, "elsewhere.json"), join(root, "local/auth.d/link.json"));
    expect(load().auth.size).toBe(0);
  });

  test("reads a part only when it is asked for", () => {
    write("local/auth.d/a.json", "broken");
    write("local/paths.d/p.json", v1("paths", { data: "/d" }));
    const config = load();
    expect(config.paths.data).toBe("/d");
    expect(() => config.auth).toThrow(ConfigError);
  });

  test("refuses a file in the place of a directory", () => {
    write("local/auth.d", "");
    expect(failure().message).toBe('expected "ROOT/local/auth.d" to be a directory');
  });

  test.each([
    ["auth.d", { rktVersion: "v1" }, 'no rktKind specified in "ROOT/local/auth.d/f.json"'],
    ["auth.d", { rktKind: "auth" }, 'no rktVersion specified in "ROOT/local/auth.d/f.json"'],
    [
      "auth.d",
      v1("paths", {}),
      'the configuration directory "ROOT/local/auth.d" expects to have configuration files of kinds "auth", "dockerAuth", but "f.json" has kind of "paths"',
    ],
    [
      "auth.d",
      { rktKind: "auth", rktVersion: "v2" },
      'no parser available for configuration of kind "auth" and version "v2"',
    ],
    ["paths.d", "{", 'failed to parse "ROOT/local/paths.d/f.json"'],
    ["stage1.d", "[]", 'failed to parse "ROOT/local/stage1.d/f.json"'],
  ])("refuses a bad file of %s: %j", (directory, content, message) => {
    write(`local/${directory}/f.json`, content);
    expect(failure().message).toBe(message);
  });

  const login = { user: "u", password: "p" };
  test.each([
    ["auth.d", v1("auth", {}), "no domains specified"],
    ["auth.d", v1("auth", { domains: ["a"] }), "no auth type specified"],
    ["auth.d", v1("auth", { domains: ["a"], type: "x" }), 'unknown auth type: "x"'],
    ["auth.d", v1("auth", { domains: ["a"], type: "basic" }), "user not specified"],
    [
      "auth.d",
      v1("auth", { domains: ["a"], type: "basic", credentials: { user: "u" } }),
      "password not specified",
    ],
    [
      "auth.d",
      v1("auth", { domains: ["a"], type: "oauth", credentials: {} }),
      "no oauth bearer token specified",
    ],
    [
      "auth.d",
      v1("auth", { domains: ["a"], type: "oauth", credentials: { token: "x\r\nEvil: y" } }),
      "token must not contain control characters",
    ],
    ["auth.d", basic("u", "a", "a"), 'auth for domain "a" is already specified'],
    ["auth.d", v1("auth", { domains: "a" }), "domains must be a list of strings"],
    ["auth.d", v1("dockerAuth", { credentials: login }), "no registries specified"],
    [
      "auth.d",
      v1("dockerAuth", { registries: ["r", "r"], credentials: login }),
      'credentials for docker registry "r" are already specified',
    ],
    ["paths.d", v1("paths", { data: "d" }), "data directory must be an absolute path"],
    [
      "paths.d",
      v1("paths", { "stage1-images": "d" }),
      "stage1 images directory must be an absolute path",
    ],
    [
      "stage1.d",
      v1("stage1", { version: "1" }),
      "default stage1 image version specified, but name is missing",
    ],
    [
      "stage1.d",
      v1("stage1", { name: "n" }),
      "default stage1 image name specified, but version is missing",
    ],
    [
      "stage1.d",
      v1("stage1", { location: "a/b" }),
      'default stage1 image location "a/b" is either a relative path or a URL without scheme',
    ],
    [
      "stage1.d",
      v1("stage1", { location: "ftp://x" }),
      'default stage1 image location "ftp://x" has invalid scheme "ftp", allowed schemes are "docker", "file", "http", "https"',
    ],
  ])("refuses a broken rule in %s: %j", (directory, content, cause) => {
    write(`local/${directory}/f.json`, content);
    expect(failure()).toEqual({
      message: `failed to parse "ROOT/local/${directory}/f.json"`,
      cause,
    });
  });

  test.each([
    ["auth.d", basic("u", "a"), 'auth for domain "a" is already specified'],
    ["paths.d", v1("paths", { data: "/d" }), "data directory is already specified"],
    [
      "paths.d",
      v1("paths", { "stage1-images": "/d" }),
      "stage1 images directory is already specified",
    ],
    [
      "stage1.d",
      v1("stage1", { name: "n", version: "1" }),
      "name and version of a default stage1 image are already specified",
    ],
    [
      "stage1.d",
      v1("stage1", { location: "docker:x" }),
      "location of a default stage1 image is already specified",
    ],
  ])("refuses a second definition within %s: %j", (directory, content, cause) => {
    write(`local/${directory}/a.json`, content);
    write(`local/${directory}/b.json`, content);
    expect(failure().cause).toBe(cause);
  });

  test("does not repeat a credential of a broken file", () => {
    write("local/auth.d/a.json", '{"rktKind": "auth", hunter2 }');
    expect(JSON.stringify(failure())).not.toContain("hunter2");
  });
});

describe("authHeaders", () => {
  beforeEach(() => {
    write("local/auth.d/a.json", basic("ü", "example.com", "port.com:8443", "tls.com:443"));
    write(
      "local/auth.d/b.json",
      v1("auth", { domains: ["o.com"], type: "oauth", credentials: { token: "t" } }),
    );
    const aws = { accessKeyID: "id", secretAccessKey: "secret" };
    write(
      "local/auth.d/c.json",
      v1("auth", { domains: ["s3-eu-west-1.amazonaws.com"], type: "aws", credentials: aws }),
    );
  });

  test.each([
    "https://example.com/a.aci",
    "https://EXAMPLE.com/a",
    "https://example.com:443/",
    "https://port.com:8443/",
    "https://tls.com/",
  ])("gives the login to %s", (url) => {
    expect(authHeaders(load(), url, "GET")).toEqual({ Authorization: "Basic w7w6cA==" });
  });

  test.each([
    "http://example.com/a.aci",
    "http://port.com:8443/",
    "https://example.com:8443/",
    "https://port.com/",
    "https://sub.example.com/",
    "https://example.com.evil.org/",
    "https://evil.org/?example.com",
    "https://example.com@evil.org/",
  ])("gives nothing to %s", (url) => {
    expect(authHeaders(load(), url, "GET")).toEqual({});
  });

  test("gives a bearer token", () => {
    expect(authHeaders(load(), "https://o.com/", "HEAD")).toEqual({ Authorization: "Bearer t" });
  });

  test("signs for S3 in the region of the host, but not a discovery", () => {
    const url = "https://s3-eu-west-1.amazonaws.com/bucket/a.aci";
    const date = new Date("2020-01-02T03:04:05.678Z");
    const headers = authHeaders(load(), url, "GET", { date });
    expect(headers["X-Amz-Date"]).toBe("20200102T030405Z");
    expect(headers["Authorization"]).toContain("Credential=id/20200102/eu-west-1/s3/aws4_request");
    expect(authHeaders(load(), url, "GET", { purpose: "discovery" })).toEqual({});
  });
});

test("toJson shows every part in the form of its files", () => {
  write("local/auth.d/a.json", basic("u", "b.com", "a.com"));
  write(
    "local/auth.d/d.json",
    v1("dockerAuth", { registries: ["quay.io"], credentials: { user: "u", password: "p" } }),
  );
  const credentials = { user: "u", password: "p" };
  const head = (rktKind: string) => ({ rktVersion: "v1", rktKind });
  expect(toJson(load())).toEqual({
    stage0: [
      { ...head("auth"), domains: ["a.com"], type: "basic", credentials },
      { ...head("auth"), domains: ["b.com"], type: "basic", credentials },
      { ...head("dockerAuth"), registries: ["quay.io"], credentials },
      { ...head("paths"), data: "", "stage1-images": "" },
      { ...head("stage1"), name: "", version: "", location: "" },
    ],
  });
});
