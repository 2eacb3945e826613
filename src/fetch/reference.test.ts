// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { RktError } from "../lib/errors.ts";
import { parseDockerReference } from "./docker-reference.ts";
import { parseReference, type Reference } from "./reference.ts";

function parse(
  text: string,
  options: { hash?: boolean; files?: readonly string[] } = {},
): Reference {
  return parseReference(text, {
    hash: options.hash ?? false,
    isFile: (path) => options.files?.includes(path) ?? false,
    workingDirectory: "/work",
    host: { platform: "linux", arch: "x64" },
  });
}

function refused(text: string): { readonly code: string; readonly message: string } {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof RktError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error(`${text} was not refused`);
}

/** A short form for the tables: kind, then what identifies it. */
function shown(reference: Reference): string {
  switch (reference.kind) {
    case "hash":
      return `hash ${reference.hash}`;
    case "file":
      return `file ${reference.path}`;
    case "url":
      return `url ${reference.url}`;
    case "docker":
      return `docker ${reference.reference.friendly}`;
    case "oci":
      return `${reference.transport} ${reference.path} ${reference.name ?? "-"}`;
    case "name": {
      const labels = reference.labels.map(({ name, value }) => `,${name}=${value}`).join("");
      return `name ${reference.name}${labels}${reference.latest ? " latest" : ""}`;
    }
  }
}

describe("an image argument", () => {
  const host = ",os=linux,arch=amd64";
  const table: readonly (readonly [string, string])[] = [
    ["/images/a.aci", "file /images/a.aci"],
    ["a.aci", "file /work/a.aci"],
    ["./a.aci", "file /work/a.aci"],
    ["../a.aci", "file /a.aci"],
    ["dir/100%.aci", "file /work/dir/100%.aci"],
    ["file:///images/a%20b.aci", "file /images/a b.aci"],
    ["http://example.com/a.aci", "url http://example.com/a.aci"],
    ["HTTPS://Example.com:443/a.aci?b#c", "url https://example.com/a.aci?b"],
    ["example.com/app", `name example.com/app${host} latest`],
    ["example.com/app:1.0", `name example.com/app,version=1.0${host}`],
    ["my-app:v1.0", `name my-app,version=v1.0${host}`],
    ["3app:1.0", `name 3app,version=1.0${host}`],
    ["example.com/app,os=linux,arch=aarch64", "name example.com/app,os=linux,arch=aarch64 latest"],
    ["example.com/app,channel=beta", `name example.com/app,channel=beta${host} latest`],
    ["docker://busybox", "docker busybox"],
    ["docker:quay.io/a/b:1", "docker quay.io/a/b:1"],
    ["cimd:appc:v=0:example.com/app?version=1.0", `name example.com/app,version=1.0${host}`],
    ["cimd:aci-archive:v=0:https%3A%2F%2Fexample.com%2Fa.aci", "url https://example.com/a.aci"],
    ["cimd:aci-archive:v=0:file%3A%2F%2F%2Fimages%2Fa.aci", "file /images/a.aci"],
    ["cimd:docker:v=0:busybox", "docker busybox"],
    ["oci:/images/dir", "oci /images/dir -"],
    ["oci:dir:latest", "oci /work/dir latest"],
    ["oci-archive:a.tar:v1", "oci-archive /work/a.tar v1"],
    ["docker-archive:a.tar:quay.io/b/c:1.0", "docker-archive /work/a.tar quay.io/b/c:1.0"],
    ["sha512-abcd", `name sha512-abcd${host} latest`],
  ];
  test.each(table)("%p is %p", (text, wanted) => {
    expect(shown(parse(text))).toBe(wanted);
  });

  test("a word that names a file is that file whatever it looks like", () => {
    const files = ["example.com/app:1.aci"];
    expect(shown(parse("example.com/app:1.aci", { files }))).toBe(
      "file /work/example.com/app:1.aci",
    );
  });

  test("a hash is a hash only where hashes are looked for", () => {
    expect(shown(parse("sha512-abcd", { hash: true }))).toBe("hash sha512-abcd");
    expect(shown(parse("sha256-abcd", { hash: true }))).toStartWith("name sha256-abcd");
  });

  test("that names no .aci says what is missing", () => {
    expect(() => parse("http://example.com/a.tar")).toThrow(
      expect.objectContaining({ remedy: "files and URLs of images must end in .aci" }),
    );
  });

  test.each([
    ["/images/a", 'invalid image string "file:///images/a"'],
    ["./a", 'invalid image string "file:///work/a"'],
    ["http://example.com/a.tar", 'invalid image string "http://example.com/a.tar"'],
    ["https://user:secret@example.com/a", 'invalid image string "https://example.com/a"'],
    ["file://other/a.aci", 'invalid image string "file://other/a.aci"'],
    ["file:///a%00.aci", 'invalid image string "file:///a%00.aci"'],
    ["cimd:appc:v=1:example.com/a", 'invalid image string "cimd:appc:v=1:example.com/a"'],
    ["example.com/a:1:2", 'invalid Appc distribution "example.com/a:1:2"'],
    ["Example.com/a", 'invalid Appc distribution "Example.com/a"'],
    ["example.com/a,os=freebsd", 'invalid Appc distribution "example.com/a,os=freebsd"'],
    ["", 'invalid Appc distribution ""'],
    ["docker://", 'invalid docker reference ""'],
    ["docker://UPPER", 'invalid docker reference "UPPER"'],
  ])("%p is refused: %p", (text, message) => {
    expect(refused(text)).toEqual({ code: "REFERENCE_INVALID", message });
  });

  test("any text is parsed or refused in a sentence", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        try {
          parse(text);
        } catch (error) {
          expect(error).toBeInstanceOf(RktError);
        }
      }),
    );
  });
});

describe("a docker reference", () => {
  test("gets Docker's defaults", () => {
    expect(parseDockerReference("busybox")).toEqual({
      registry: "registry-1.docker.io",
      repository: "library/busybox",
      tag: "latest",
      digest: "",
      friendly: "busybox",
    });
  });

  test("keeps a registry with a port, a tag and a digest apart", () => {
    const digest = `sha256:${"a".repeat(64)}`;
    expect(parseDockerReference("localhost:5000/a/b:v1")).toMatchObject({
      registry: "localhost:5000",
      repository: "a/b",
      tag: "v1",
    });
    expect(parseDockerReference(`quay.io/a@${digest}`)).toMatchObject({
      registry: "quay.io",
      repository: "a",
      tag: "",
      digest,
      friendly: `quay.io/a@${digest}`,
    });
  });

  test("may have a tag and a digest, of which the digest decides", () => {
    const digest = `sha512:${"a".repeat(128)}`;
    expect(parseDockerReference(`Quay.IO/a:v1@${digest}`)).toMatchObject({
      registry: "quay.io",
      tag: "v1",
      digest,
      friendly: `quay.io/a@${digest}`,
    });
  });

  test("takes an IPv6 address for a registry", () => {
    expect(parseDockerReference("[::1]:5000/a:v1")).toMatchObject({
      registry: "[::1]:5000",
      repository: "a",
      tag: "v1",
    });
    for (const text of ["[::g]/a", "[::1/a", "a.test:0/b", "a.test:70000/b", "a.test:x/b"]) {
      expect(parseDockerReference(text)).toBeUndefined();
    }
  });
});
