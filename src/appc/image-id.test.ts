// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import { imageIDFromDigest, imageKey, parseImageID, shortID } from "./image-id.ts";
import { parseUUID, uuidFromBytes } from "./uuid.ts";

const FULL = `sha512-${"0123456789abcdef".repeat(8)}`;

test("an image ID is an algorithm and a value", () => {
  expect<string>(parseImageID(FULL)).toBe(FULL);
  expect<string>(parseImageID("sha512-x")).toBe("sha512-x");
  for (const [bad, message] of [
    ["", "badly formatted hash string"],
    ["sha512", "badly formatted hash string"],
    ["sha512-a-b", "badly formatted hash string"],
    ["-a", "unexpected empty hash type"],
    ["sha256-a", "unrecognized hash type: sha256"],
    ["sha512-", "unexpected empty hash value"],
  ] as const) {
    expect(() => parseImageID(bad)).toThrow(message);
  }
});

test("a store key is half of the digest, a short ID a quarter", () => {
  expect<string>(imageKey(FULL)).toBe(FULL.slice(0, 71));
  expect<string>(imageKey(imageKey(FULL))).toBe(FULL.slice(0, 71));
  expect(shortID(FULL)).toHaveLength(39);
  expect(shortID("sha512-a")).toBe("sha512-a");
});

test("a store key is never a path", () => {
  for (const bad of ["sha512-../../etc/passwd", `sha512-${"z".repeat(64)}`, "sha512-abc", ""]) {
    expect(() => imageKey(bad)).toThrow(`does not have 64 hexadecimal digits after "sha512-"`);
  }
});

test("the image ID of a digest is its hexadecimal form", () => {
  const digest = new Uint8Array(64).map((_, index) => index);
  expect<string>(imageIDFromDigest(digest)).toStartWith("sha512-000102030405");
  expect(imageIDFromDigest(digest)).toHaveLength(7 + 128);
});

test("a UUID is accepted with and without dashes, in either case", () => {
  const canonical = "6733c088-a507-4694-aabf-edbe4fc5266f";
  expect<string>(parseUUID("6733C088-A507-4694-AABF-EDBE4FC5266F")).toBe(canonical);
  expect<string>(parseUUID("6733C088A5074694AABFEDBE4FC5266F")).toBe(canonical);
  expect(() => parseUUID("6733c088")).toThrow("bad UUID length != 32");
  expect(() => parseUUID("x".repeat(32))).toThrow("bad UUID: not hexadecimal digits");
  expect(() => parseUUID("0".repeat(32))).toThrow("UUID cannot be empty");
});

test("a UUID of bytes is their hexadecimal form", () => {
  const bytes = new Uint8Array(16).map((_, index) => index);
  expect<string>(uuidFromBytes(bytes)).toBe("00010203-0405-0607-0809-0a0b0c0d0e0f");
  expect(() => uuidFromBytes(new Uint8Array(16))).toThrow("UUID cannot be empty");
});
