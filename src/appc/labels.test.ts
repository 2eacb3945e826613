// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import fc from "fast-check";
import { labels as anyLabels } from "./arbitraries.ts";
import {
  checkLabels,
  checkOSArch,
  checkRuntimeLabels,
  getLabel,
  hostLabels,
  labelMismatch,
  matchLabels,
  RUNTIME_OS_ARCH,
  setLabel,
  withHostLabels,
} from "./labels.ts";
import { parseACIdentifier } from "./names.ts";
import type { Labels } from "./types.ts";

function labels(values: Record<string, string>): Labels {
  return Object.entries(values).map(([name, value]) => ({ name: parseACIdentifier(name), value }));
}

test("labels refuse the name 'name', duplicates, unknown systems and architectures", () => {
  expect(() => checkLabels(labels({ name: "x" }))).toThrow(`invalid label name: "name"`);
  expect(() => checkLabels([...labels({ a: "1" }), ...labels({ a: "2" })])).toThrow(
    `duplicate labels of name "a"`,
  );
  expect(() => checkLabels(labels({ os: "beos" }))).toThrow(
    `bad os "beos" (must be one of: [darwin freebsd linux])`,
  );
  expect(() => checkLabels(labels({ os: "linux", arch: "vax" }))).toThrow(
    `bad arch "vax" for linux (must be one of: [amd64 i386 aarch64 aarch64_be armv6l armv7l armv7b ppc64 ppc64le s390x])`,
  );
  expect(() => checkLabels(labels({ os: "linux" }))).not.toThrow();
  expect(() => checkLabels(labels({ arch: "vax" }))).not.toThrow();
});

test("what rkt runs is narrower than what the specification knows", () => {
  const s390x = labels({ os: "linux", arch: "s390x" });
  expect(() => checkLabels(s390x)).not.toThrow();
  expect(() => checkRuntimeLabels(s390x)).toThrow(
    `bad arch "s390x" for linux (must be one of: [amd64 i386 aarch64 aarch64_be armv6l armv7l armv7b ppc64le])`,
  );
  expect(() => checkOSArch(labels({ os: "darwin" }), RUNTIME_OS_ARCH)).toThrow(
    `bad os "darwin" (must be one of: [linux])`,
  );
  expect(() => checkRuntimeLabels([])).toThrow("missing os label in the image manifest");
  expect(() => checkRuntimeLabels(labels({ os: "linux" }))).toThrow(
    "missing arch label in the image manifest",
  );
  expect(() => checkRuntimeLabels(labels({ os: "linux", arch: "amd64" }))).not.toThrow();
});

test("the host's labels are in appc's words", () => {
  const host = (platform: string, arch: string, armVersion?: string) =>
    hostLabels({ platform, arch, armVersion }).map(({ value }) => value);
  expect(host("linux", "x64")).toEqual(["linux", "amd64"]);
  expect(host("linux", "arm64")).toEqual(["linux", "aarch64"]);
  expect(host("linux", "arm")).toEqual(["linux", "armv6l"]);
  expect(host("linux", "arm", "7")).toEqual(["linux", "armv7l"]);
  expect(host("linux", "386")).toEqual(["linux", "i386"]);
  expect(host("darwin", "amd64")).toEqual(["darwin", "x86_64"]);
  expect(host("freebsd", "arm")).toEqual(["freebsd", "arm"]);
  expect(() => host("plan9", "toString")).toThrow(`unknown arch tuple: "plan9" - "toString" - ""`);
});

test("missing os and arch labels default to the host's, given ones stay", () => {
  const host = { platform: "linux", arch: "x64" };
  expect(withHostLabels(labels({ version: "1" }), host)).toEqual(
    labels({ version: "1", os: "linux", arch: "amd64" }),
  );
  expect(withHostLabels(labels({ arch: "i386" }), host)).toEqual(
    labels({ arch: "i386", os: "linux" }),
  );
});

test("an image matches when it has every requested label with the same value", () => {
  const image = labels({ version: "1.0", os: "linux", arch: "amd64" });
  expect(labelMismatch(labels({ version: "1.0" }), image)).toBeUndefined();
  expect(labelMismatch(labels({ version: "2.0" }), image)).toBe(
    `requested value for label "version": "2.0" differs from fetched aci label value: "1.0"`,
  );
  expect(labelMismatch(labels({ channel: "beta" }), image)).toBe(
    `requested label "channel" not provided by the image manifest`,
  );
});

test("labels match themselves and any subset; set labels are found", () => {
  fc.assert(
    fc.property(anyLabels, fc.nat(), (all, count) => {
      expect(checkLabels(all)).toBe(all);
      expect(matchLabels(all.slice(0, count % (all.length + 1)), all)).toBe(true);
      const version = parseACIdentifier("version");
      expect(getLabel(setLabel(all, version, "x"), "version")).toBe("x");
      expect(setLabel(all, version, "x").filter(({ name }) => name === version)).toHaveLength(1);
    }),
  );
});
