// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import fc from "fast-check";
import { acIdentifier, acName } from "./arbitraries.ts";
import { parseACIdentifier, parseACName, sanitizeACIdentifier, sanitizeACName } from "./names.ts";

const CHARACTERS = {
  ACIdentifier: 'ACIdentifier must contain only lower case alphanumeric characters plus "-._~/"',
  ACName: 'ACName must contain only lower case alphanumeric characters plus "-"',
};

test("an AC Identifier has the reference's characters", () => {
  for (const good of ["a", "0", "example.com/reduce-worker", "a~b_c", "a--b", "a//b"]) {
    expect<string>(parseACIdentifier(good)).toBe(good);
  }
  expect(() => parseACIdentifier("")).toThrow("ACIdentifier cannot be empty");
  for (const bad of ["A", "a b", "a:b", "é", "a\n", "-é"]) {
    expect(() => parseACIdentifier(bad)).toThrow(CHARACTERS.ACIdentifier);
  }
  for (const bad of ["-a", "a/", "_", "a.", "~a"]) {
    expect(() => parseACIdentifier(bad)).toThrow(
      "ACIdentifier must start and end with only lower case alphanumeric characters",
    );
  }
});

test("an AC Name has the reference's characters", () => {
  for (const good of ["a", "0", "reduce-worker", "a--b"])
    expect<string>(parseACName(good)).toBe(good);
  expect(() => parseACName("")).toThrow("ACName cannot be empty");
  for (const bad of ["A", "a.b", "a/b", "../x", "a\0"]) {
    expect(() => parseACName(bad)).toThrow(CHARACTERS.ACName);
  }
  for (const bad of ["-", "-a", "a-"]) {
    expect(() => parseACName(bad)).toThrow(
      "ACName must start and end with only lower case alphanumeric characters",
    );
  }
});

test("sanitizing makes a name of what is nearly one", () => {
  expect<string>(sanitizeACName("My App!v1")).toBe("my-app-v1");
  expect<string>(sanitizeACName("--x.Y--")).toBe("x-y");
  expect(sanitizeACIdentifier("/Foo:Bar/")).toBe("foo_bar");
  expect(() => sanitizeACName("!!!")).toThrow("must contain at least one valid character");
  expect(() => sanitizeACIdentifier("~/")).toThrow("must contain at least one valid character");
});

test("every name of the formal grammar parses, and sanitizing leaves it alone", () => {
  fc.assert(
    fc.property(acIdentifier, acName, (identifier, name) => {
      expect(parseACIdentifier(identifier)).toBe(identifier);
      expect<string>(sanitizeACIdentifier(identifier)).toBe(identifier);
      expect(parseACName(name)).toBe(name);
      expect(sanitizeACName(name)).toBe(name);
    }),
  );
});

test("a parsed AC Name is always safe as a file name", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      try {
        expect(parseACName(text)).toMatch(/^[a-z0-9-]+$/);
      } catch (error) {
        expect(error).toMatchObject({ code: "NAME_INVALID" });
      }
    }),
  );
});

test("sanitizing gives a valid AC Name or says that there is none", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const possible = /[a-z0-9]/.test(text.toLowerCase());
      if (possible) expect(parseACName(sanitizeACName(text))).toBe(sanitizeACName(text));
      else expect(() => sanitizeACName(text)).toThrow("must contain at least one valid character");
    }),
  );
});
