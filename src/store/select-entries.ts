// SPDX-License-Identifier: Apache-2.0
// Which entries of which image become part of a rendered root (appc.md §2.6). Pure: sees names and kinds,
// touches no file.
import { posix } from "node:path";
import type { TarEntry } from "../tar/entry.ts";
import type { Ordered } from "./render-order.ts";

/** The whitelist of an image in render order: paths such as `rootfs/bin/sh`; undefined when it has none. */
export type Whitelist = ReadonlySet<string> | undefined;

/** A whitelist as entries are named in the archive: `/bin/` becomes `rootfs/bin`. Empty means none. */
export function parseWhitelist(paths: readonly string[]): Whitelist {
  if (paths.length === 0) return undefined;
  return new Set(paths.map((path) => posix.normalize(`rootfs/${path}`).replace(/\/$/, "")));
}

/**
 * The whitelist that the images above put on the one at `index`: that of the outermost ancestor which has
 * one. Ancestors are found backwards over strictly falling levels.
 */
export function branchWhitelist(order: readonly Ordered<LayerRules>[], index: number): Whitelist {
  let level = order[index]?.level ?? 0;
  let found: Whitelist;
  for (let i = index - 1; i >= 0; i--) {
    const other = order[i];
    if (other === undefined || other.level >= level) continue;
    level = other.level;
    if (other.image.whitelist !== undefined) found = other.image.whitelist;
  }
  return found;
}

export interface Rules {
  /** The image's own whitelist: binds everything but directories. */
  readonly own: Whitelist;
  /** What the images above allow: binds directories too. */
  readonly branch: Whitelist;
  /** What the images above provide: path → true for a directory. */
  readonly provided: ReadonlyMap<string, boolean>;
  /** Directories that hold something of the images above, whether they have an entry there or not. */
  readonly parents: ReadonlySet<string>;
}

type Named = Pick<TarEntry, "name" | "kind">;

/** Whether an image's entry becomes part of the tree; `rootfs` itself is asked neither whitelist. */
export function isSelected(
  { name, kind }: Named,
  { own, branch, provided, parents }: Rules,
): boolean {
  if (name !== ROOT) {
    if (!name.startsWith(BELOW)) return false;
    if (own !== undefined && kind !== "directory" && !own.has(name)) return false;
    if (branch !== undefined && !branch.has(name)) return false;
  }
  // Something else cannot take the place of a directory that is in use; its own entry is welcome.
  if (kind !== "directory" && parents.has(name)) return false;
  return !provided.has(name) && !hasMaskedParent(name, provided);
}

const ROOT = "rootfs";
const BELOW = `${ROOT}/`;

/** True when a directory on the way to `name` is something else in an image above. */
function hasMaskedParent(name: string, provided: ReadonlyMap<string, boolean>): boolean {
  for (let at = name.lastIndexOf("/"); at > 0; at = name.lastIndexOf("/", at - 1)) {
    if (provided.get(name.slice(0, at)) === false) return true;
  }
  return false;
}

export interface LayerRules {
  readonly whitelist: Whitelist;
}

/**
 * Selects for all images of a tree, which must be asked one after the other in render order. Returns one
 * function per image; undefined for an image of which everything is taken (a single one, no whitelist).
 */
export function entrySelectors(
  order: readonly Ordered<LayerRules>[],
): readonly (((entry: Named) => boolean) | undefined)[] {
  if (order.length === 1 && order[0]?.image.whitelist === undefined) return [undefined];
  const provided = new Map<string, boolean>();
  const parents = new Set<string>();
  let current = new Map<string, boolean>();
  let at = -1;
  return order.map(({ image }, index) => {
    const rules = {
      own: image.whitelist,
      branch: branchWhitelist(order, index),
      provided,
      parents,
    };
    return (entry) => {
      if (at !== index) {
        for (const [name, directory] of current) {
          provided.set(name, directory);
          addParents(name, parents);
        }
        current = new Map();
        at = index;
      }
      if (!isSelected(entry, rules)) return false;
      current.set(entry.name, entry.kind === "directory");
      return true;
    };
  });
}

function addParents(name: string, parents: Set<string>): void {
  for (let at = name.lastIndexOf("/"); at > 0; at = name.lastIndexOf("/", at - 1)) {
    const parent = name.slice(0, at);
    if (parents.has(parent)) return;
    parents.add(parent);
  }
}
