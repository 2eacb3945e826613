// SPDX-License-Identifier: Apache-2.0
// The files of an image while its layers come one on another: whiteouts, opaque directories, hard links (OCI image
// specification, "Layer"). A layer is hostile: it removes and links within the tree only.
import { quote } from "../../lib/text.ts";
import { NO_XATTRS, type TarEntry } from "../../tar/entry.ts";
import { ConversionError } from "./errors.ts";

/** A file as some layer has it. Names that are hard links of one file have the same. */
export interface Item {
  readonly entry: TarEntry;
  /** The number of the layer that has its content. */
  readonly layer: number;
}

interface Node {
  /** Undefined for the root and for a directory that no layer has an entry for. */
  item: Item | undefined;
  children: Map<string, Node> | undefined;
}

export interface Layer {
  readonly number: number;
  readonly id: string;
  readonly entries: readonly TarEntry[];
}

/** Directories that only names speak of count too. Far above any real image. */
const MAX_NODES = 2_000_000;

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";

/** What docker2aci puts into every layer that does not have it: a pod's /dev has it anyway. */
const LINKS = [
  ["dev/stdin", "/proc/self/fd/0"],
  ["dev/stdout", "/dev/console"],
  ["dev/stderr", "/dev/console"],
  ["dev/fd", "/proc/self/fd"],
] as const;

export class LayerTree {
  readonly #root: Node = { item: undefined, children: undefined };
  #nodes = 0;

  /** Puts a layer on top. `below`: where hard links to what this tree does not have are looked up. */
  add(layer: Layer, below?: LayerTree): void {
    const files: TarEntry[] = [];
    // What is removed is removed from the layers below, wherever it stands in this one.
    for (const entry of layer.entries) {
      const { name } = entry;
      if (name === ".") continue;
      if (name === "dev" && entry.kind !== "directory") {
        throw layerError(layer, `"/dev" is not a directory`);
      }
      if (name.startsWith(WHITEOUT) || name.includes(`/${WHITEOUT}`)) this.#whiteOut(name, layer);
      else files.push(entry);
    }
    const own = new Map<string, Item>();
    for (const entry of files) {
      const item =
        entry.kind === "hardlink"
          ? this.#linked(entry, { layer, own, below })
          : { entry, layer: layer.number };
      own.set(entry.name, item);
      this.#put(entry.name, item);
    }
    for (const [name, linkName] of LINKS) {
      if (!own.has(name)) this.#put(name, { entry: symlink(name, linkName), layer: layer.number });
    }
  }

  /** Parents first, by name. The item of a directory that has none is undefined. */
  *walk(): Generator<{ readonly name: string; readonly item: Item | undefined }, void, undefined> {
    // Not recursive: a hostile name is two thousand directories deep.
    const stack = [{ prefix: "", node: this.#root }];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      const { prefix, node } = at;
      if (prefix !== "") yield { name: prefix.slice(0, -1), item: node.item };
      const children = [...(node.children ?? [])].sort(([a], [b]) => (a < b ? 1 : -1));
      for (const [part, child] of children)
        stack.push({ prefix: `${prefix}${part}/`, node: child });
    }
  }

  find(name: string): Item | undefined {
    return this.#node(name)?.item;
  }

  #node(name: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const part of name.split("/")) node = node?.children?.get(part);
    return node;
  }

  #whiteOut(name: string, layer: Layer): void {
    const parts = name.split("/");
    const last = parts.pop() ?? "";
    // What else begins so, or lies below such a name, is aufs's own bookkeeping.
    if (parts.some((part) => part.startsWith(WHITEOUT))) return;
    const parent = parts.length === 0 ? this.#root : this.#node(parts.join("/"));
    if (last === OPAQUE) {
      if (parent !== undefined) parent.children = undefined;
      return;
    }
    if (last.startsWith(`${WHITEOUT}${WHITEOUT}`)) return;
    const hidden = last.slice(WHITEOUT.length);
    if (hidden === "" || hidden === "." || hidden === "..") {
      throw layerError(layer, `whiteout ${quote(name)} names no file`);
    }
    parent?.children?.delete(hidden);
  }

  #linked(
    { name, linkName }: TarEntry,
    where: {
      readonly layer: Layer;
      readonly own: ReadonlyMap<string, Item>;
      readonly below: LayerTree | undefined;
    },
  ): Item {
    const item = where.own.get(linkName) ?? this.find(linkName) ?? where.below?.find(linkName);
    if (item !== undefined && item.entry.kind !== "directory") return item;
    throw layerError(
      where.layer,
      `hard link ${quote(name)} to ${quote(linkName)}, which is no file`,
    );
  }

  #put(name: string, item: Item): void {
    const parts = name.split("/");
    let node = this.#root;
    for (const part of parts) {
      // What is above a file is a directory, also where a lower layer has something else.
      if (node.item !== undefined && node.item.entry.kind !== "directory") node.item = undefined;
      node.children ??= new Map();
      let child = node.children.get(part);
      if (child === undefined) {
        if (++this.#nodes > MAX_NODES) {
          throw new ConversionError("CONVERSION_LAYER", `image has more than ${MAX_NODES} files`);
        }
        child = { item: undefined, children: undefined };
        node.children.set(part, child);
      }
      node = child;
    }
    node.item = item;
    if (item.entry.kind !== "directory") node.children = undefined;
  }
}

function symlink(name: string, linkName: string): TarEntry {
  return {
    name,
    kind: "symlink",
    mode: 0o777,
    uid: 0,
    gid: 0,
    uname: "",
    gname: "",
    size: 0,
    mtime: { seconds: 0, nanoseconds: 0 },
    linkName,
    devMajor: 0,
    devMinor: 0,
    xattrs: NO_XATTRS,
    dataOffset: 0,
  };
}

function layerError({ id }: Layer, what: string): ConversionError {
  return new ConversionError("CONVERSION_LAYER", `invalid layer: ${what}`, {
    details: { layer: id },
  });
}
