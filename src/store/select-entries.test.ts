// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { TarKind } from "../tar/entry.ts";
import { branchWhitelist, entrySelectors, isSelected, parseWhitelist } from "./select-entries.ts";

type Files = Readonly<Record<string, TarKind>>;
interface Layer {
  readonly level: number;
  readonly files: Files;
  readonly whitelist?: readonly string[];
}

/** Who provides what: path → index of the image. */
function select(layers: readonly Layer[]): Record<string, number> {
  const selectors = entrySelectors(
    layers.map(({ level, whitelist }) => ({
      level,
      image: { whitelist: parseWhitelist(whitelist ?? []) },
    })),
  );
  const result: Record<string, number> = {};
  layers.forEach(({ files }, i) => {
    for (const [path, kind] of Object.entries(files)) {
      const name = path === "" ? "rootfs" : `rootfs/${path}`;
      if (selectors[i]?.({ name, kind }) ?? true) result[path] = i;
    }
  });
  return result;
}

test("a single image without a whitelist needs no selection", () => {
  expect(entrySelectors([{ level: 0, image: { whitelist: undefined } }])).toEqual([undefined]);
});

test("whitelist paths are cleaned: a slash at the end and double slashes do not matter", () => {
  expect([...(parseWhitelist(["/bin//sh", "/etc/", "usr/./lib"]) ?? [])]).toEqual([
    "rootfs/bin/sh",
    "rootfs/etc",
    "rootfs/usr/lib",
  ]);
});

test("an empty whitelist is none", () => {
  expect(parseWhitelist([])).toBeUndefined();
});

test("an upper image's file wins", () => {
  const files = { a: "file" } as const;
  expect(
    select([
      { level: 0, files },
      { level: 1, files: { a: "file", b: "file" } },
    ]),
  ).toEqual({
    a: 0,
    b: 1,
  });
});

test("a symbolic link above masks the directory below and is never followed", () => {
  expect(
    select([
      { level: 0, files: { lib: "symlink" } },
      { level: 1, files: { lib: "directory", "lib/x": "file", "lib/d/y": "file" } },
    ]),
  ).toEqual({ lib: 0 });
});

test("a directory of the upper image can be filled by the lower one", () => {
  expect(
    select([
      { level: 0, files: { etc: "directory", "etc/a": "file" } },
      { level: 1, files: { etc: "directory", "etc/b": "file" } },
    ]),
  ).toEqual({ etc: 0, "etc/a": 0, "etc/b": 1 });
});

test("an image's own whitelist binds its files but not its directories", () => {
  expect(
    select([
      {
        level: 0,
        whitelist: ["/bin/sh"],
        files: { bin: "directory", "bin/sh": "file", "bin/rm": "file", etc: "directory" },
      },
    ]),
  ).toEqual({ bin: 0, "bin/sh": 0, etc: 0 });
});

test("the whitelist of an image above binds the directories below, too", () => {
  expect(
    select([
      { level: 0, whitelist: ["/bin/sh"], files: {} },
      { level: 1, files: { "": "directory", bin: "directory", "bin/sh": "file" } },
    ]),
  ).toEqual({ "": 1, "bin/sh": 1 });
});

test("of several whitelists above, the outermost counts", () => {
  const order = [
    { level: 0, image: { whitelist: parseWhitelist(["/outer"]) } },
    { level: 1, image: { whitelist: parseWhitelist(["/middle"]) } },
    { level: 2, image: { whitelist: undefined } },
  ];
  expect(branchWhitelist(order, 2)).toEqual(new Set(["rootfs/outer"]));
  expect(branchWhitelist(order, 1)).toEqual(new Set(["rootfs/outer"]));
  expect(branchWhitelist(order, 0)).toBeUndefined();
});

test("a sibling's whitelist does not bind", () => {
  const order = [
    { level: 0, image: { whitelist: undefined } },
    { level: 1, image: { whitelist: parseWhitelist(["/sibling"]) } },
    { level: 1, image: { whitelist: undefined } },
  ];
  expect(branchWhitelist(order, 2)).toBeUndefined();
});

test("what is not below rootfs is never selected", () => {
  const rules = {
    own: undefined,
    branch: undefined,
    provided: new Map(),
    parents: new Set<string>(),
  };
  expect(isSelected({ name: "manifest", kind: "file" }, rules)).toBe(false);
  expect(isSelected({ name: "rootfs2/x", kind: "file" }, rules)).toBe(false);
});

const path = fc
  .array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join("/"));
const kind = fc.constantFrom<TarKind>("file", "directory", "symlink");
const layer = fc.dictionary(path, kind, { maxKeys: 8 });

function parentsOf(name: string): string[] {
  const parts = name.split("/");
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join("/"));
}

test("a lower image's link cannot replace a directory that an upper image uses without an entry", () => {
  expect(
    select([
      { level: 0, files: { "lib/x": "file" } },
      { level: 1, files: { lib: "symlink" } },
      { level: 1, files: { lib: "directory" } },
    ]),
  ).toEqual({ "lib/x": 0, lib: 2 });
});

test("property: without whitelists every path comes from the first image that may provide it", () => {
  fc.assert(
    fc.property(fc.array(layer, { minLength: 1, maxLength: 4 }), (files) => {
      const chosen = select(files.map((each, level) => ({ level, files: each })));
      const kindOf = (name: string): TarKind | undefined => files[chosen[name] ?? -1]?.[name];
      files.forEach((each, i) => {
        for (const name of Object.keys(each)) {
          const by = chosen[name];
          const masked =
            parentsOf(name).some((parent) => {
              const owner = chosen[parent];
              return owner !== undefined && owner < i && kindOf(parent) !== "directory";
            }) ||
            (each[name] !== "directory" &&
              Object.entries(chosen).some(
                ([other, owner]) => owner < i && parentsOf(other).includes(name),
              ));
          // Taken from here unless an image above has it or masks one of its parents.
          expect(by === i).toBe(!masked && (by === undefined ? false : by >= i));
          if (by === undefined) expect(masked).toBe(true);
        }
      });
    }),
  );
});

test("property: nothing that a whitelist leaves out is taken, directories of its own excepted", () => {
  fc.assert(
    fc.property(layer, fc.array(path, { minLength: 1, maxLength: 4 }), (files, allowed) => {
      const whitelist = allowed.map((name) => `/${name}`);
      for (const name of Object.keys(select([{ level: 0, whitelist, files }]))) {
        expect(files[name] === "directory" || allowed.includes(name)).toBe(true);
      }
      for (const name of Object.keys(
        select([
          { level: 0, whitelist, files: {} },
          { level: 1, files },
        ]),
      )) {
        expect(allowed).toContain(name);
      }
    }),
  );
});
