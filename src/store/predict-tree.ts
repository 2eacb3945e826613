// SPDX-License-Identifier: Apache-2.0
// What the tree hash of a rendered image will be made of, told from its archive alone: so it can be
// computed from the blob while the files are still being written. Only a prediction: whoever uses it
// compares the headers with the tree afterwards (matchHeaders). Pure.
import type { TarEntry } from "../tar/entry.ts";
import { byBytes, headerText, restoredXattrs } from "./tree-hash.ts";

/** A header, or a piece of the archive. */
export type HashPart = string | { readonly offset: number; readonly length: number };

interface Node {
  /** The file itself where the entry was a hard link; undefined for a directory without an entry. */
  entry: TarEntry | undefined;
  readonly children: Map<string, Node>;
}

/**
 * The parts in the order of the hash, for one image of which everything below rootfs is taken with its
 * owners as they are.
 */
export function predictTree(entries: Iterable<TarEntry>): readonly HashPart[] {
  const root: Node = { entry: undefined, children: new Map() };
  const files = new Map<string, TarEntry>();
  for (const entry of entries) {
    const { name } = entry;
    if (name !== "rootfs" && !name.startsWith("rootfs/")) continue;
    const origin = entry.kind === "hardlink" ? files.get(entry.linkName) : entry;
    if (origin === undefined) continue;
    if (origin.kind !== "directory") files.set(name, origin);
    place(root, name, origin);
  }
  const parts: HashPart[] = [];
  describe(root, "", { parts, first: new Map() });
  return parts;
}

function place(root: Node, name: string, entry: TarEntry): void {
  let node = root;
  for (const part of name.split("/")) {
    let child = node.children.get(part);
    if (child === undefined) {
      child = { entry: undefined, children: new Map() };
      node.children.set(part, child);
    }
    node = child;
  }
  node.entry = entry;
}

const TYPES = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

interface Description {
  readonly parts: HashPart[];
  /** File → the name it was met with first: the others are links to that. */
  readonly first: Map<TarEntry, string>;
}

function describe(directory: Node, path: string, to: Description): void {
  for (const part of [...directory.children.keys()].sort(byBytes)) {
    const node = directory.children.get(part);
    if (node === undefined) continue;
    const name = path === "" ? part : `${path}/${part}`;
    describeNode(node, name, to);
    describe(node, name, to);
  }
}

function describeNode({ entry }: Node, name: string, { parts, first }: Description): void {
  const kind = entry?.kind ?? "directory";
  const isDevice = kind === "char" || kind === "block";
  const seen = entry === undefined || kind === "symlink" ? undefined : first.get(entry);
  if (entry !== undefined && kind !== "directory" && seen === undefined) first.set(entry, name);
  const isContent = kind === "file" && seen === undefined;
  parts.push(
    headerText({
      name,
      mode: kind === "symlink" ? 0o777 : (entry?.mode ?? 0o755),
      uid: entry?.uid ?? 0,
      gid: entry?.gid ?? 0,
      size: isContent ? (entry?.size ?? 0) : 0,
      type: seen === undefined ? TYPES[kind] : TYPES.hardlink,
      link: seen ?? (kind === "symlink" ? (entry?.linkName ?? "") : ""),
      major: isDevice && seen === undefined ? (entry?.devMajor ?? 0) : 0,
      minor: isDevice && seen === undefined ? (entry?.devMinor ?? 0) : 0,
      xattrs: isContent ? restoredXattrs(entry?.xattrs ?? new Map()) : [],
    }),
  );
  if (isContent && entry !== undefined && entry.size > 0) {
    parts.push({ offset: entry.dataOffset, length: entry.size });
  }
}
