// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { NO_XATTRS, type TarEntry, type TarKind } from "../../tar/entry.ts";
import { LayerTree } from "./layer-tree.ts";

let content = 0;
function entry(name: string, kind: TarKind, linkName = ""): TarEntry {
  return {
    name,
    kind,
    mode: 0o644,
    uid: 0,
    gid: 0,
    uname: "",
    gname: "",
    size: 1,
    mtime: { seconds: 0, nanoseconds: 0 },
    linkName,
    devMajor: 0,
    devMinor: 0,
    xattrs: NO_XATTRS,
    dataOffset: content++,
  };
}

const isLink = (name: string) => name === "dev" || name.startsWith("dev/");
const seen = (tree: LayerTree) =>
  [...tree.walk()].flatMap(({ name, item }) =>
    isLink(name) ? [] : [[name, item?.entry.dataOffset ?? "made"] as const],
  );

/** The same by the words of the OCI image specification, over plain paths. */
function apply(files: Map<string, TarEntry | "made">, entries: readonly TarEntry[]): void {
  const drop = (name: string, itself: boolean) => {
    for (const path of [...files.keys()]) {
      if (path.startsWith(`${name}/`) || (itself && path === name)) files.delete(path);
    }
  };
  const parts = (name: string) => [
    name.slice(0, name.lastIndexOf("/") + 1),
    name.split("/").at(-1) ?? "",
  ];
  for (const { name } of entries) {
    const [parent = "", last = ""] = parts(name);
    if (last === ".wh..wh..opq") drop(parent.slice(0, -1), false);
    else if (last.startsWith(".wh.")) drop(parent + last.slice(4), true);
  }
  for (const one of entries) {
    const { name } = one;
    if (name.includes(".wh.")) continue;
    const components = name.split("/");
    for (let i = 1; i < components.length; i++) {
      const above = components.slice(0, i).join("/");
      const there = files.get(above);
      if (there === undefined || (there !== "made" && there.kind !== "directory"))
        files.set(above, "made");
    }
    if (one.kind !== "directory") drop(name, false);
    files.set(name, one);
  }
}

test("property: layers on layers are what the specification says", () => {
  const part = fc.constantFrom("a", "b", "c");
  const path = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  const whiteout = fc.tuple(path, fc.constantFrom(".wh.a", ".wh.b", ".wh..wh..opq"));
  const item = fc.oneof(
    { weight: 3, arbitrary: path.map((name) => entry(name, "file")) },
    { weight: 3, arbitrary: path.map((name) => entry(name, "directory")) },
    { weight: 1, arbitrary: path.map((name) => entry(name, "symlink", "a")) },
    { weight: 2, arbitrary: whiteout.map(([name, last]) => entry(`${name}/${last}`, "file")) },
  );
  const layers = fc.array(fc.array(item, { maxLength: 6 }), { maxLength: 4 });
  fc.assert(
    fc.property(layers, (layers) => {
      const tree = new LayerTree();
      const files = new Map<string, TarEntry | "made">();
      for (const [number, entries] of layers.entries()) {
        tree.add({ number, id: String(number), entries });
        apply(files, entries);
      }
      const expected = [...files].map(
        ([name, one]) => [name, one === "made" ? "made" : one.dataOffset] as const,
      );
      expect(seen(tree).toSorted()).toEqual(expected.toSorted());
      // Parents first.
      const names = new Set<string>();
      for (const { name } of tree.walk()) {
        if (name.includes("/")) expect(names.has(name.slice(0, name.lastIndexOf("/")))).toBe(true);
        names.add(name);
      }
    }),
    { numRuns: 500 },
  );
});

test("hard links share one file, also over layers", () => {
  const tree = new LayerTree();
  const file = entry("a", "file");
  tree.add({ number: 0, id: "0", entries: [file, entry("b", "hardlink", "a")] });
  tree.add({ number: 1, id: "1", entries: [entry("c", "hardlink", "b")] });
  for (const name of ["a", "b", "c"]) expect(tree.find(name)).toEqual({ entry: file, layer: 0 });
  expect(tree.find("a")).toBe(tree.find("c") as never);
});

test("names two thousand directories deep are walked", () => {
  const tree = new LayerTree();
  const deep = Array.from({ length: 2000 }, () => "d").join("/");
  tree.add({ number: 0, id: "0", entries: [entry(deep, "file")] });
  expect(seen(tree)).toHaveLength(2000);
});

test("names cannot make more directories than an image may have files", () => {
  const tree = new LayerTree();
  const entries = Array.from({ length: 1100 }, (_, i) =>
    entry(`${i}/${Array.from({ length: 2000 }, () => "d").join("/")}`, "file"),
  );
  expect(() => tree.add({ number: 0, id: "0", entries })).toThrow("more than 2000000 files");
});
