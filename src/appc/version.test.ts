// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import { AC_VERSION, outdatedACVersion, parseACVersion } from "./version.ts";

test("an AC Version is a semantic version that is not zero", () => {
  expect<string>(parseACVersion("0.8.11+git")).toBe("0.8.11+git");
  expect<string>(parseACVersion("01.2.3-rc.1")).toBe("1.2.3-rc.1");
  for (const bad of ["", "1", "0.8", "v0.8.11", "a.b.c"]) {
    expect(() => parseACVersion(bad)).toThrow("SemVer is bad");
  }
  expect(() => parseACVersion("0.0.0")).toThrow("SemVer cannot be zero");
});

test("only a lower major version is too old", () => {
  expect(outdatedACVersion(AC_VERSION)).toBeUndefined();
  expect(outdatedACVersion(parseACVersion("0.1.0"))).toBeUndefined();
  expect(outdatedACVersion(parseACVersion("7.0.0"))).toBeUndefined();
});
