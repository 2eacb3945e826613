// SPDX-License-Identifier: Apache-2.0
// The layers of a tree for those who mount them: a pod's start, its export. Small, because a start loads it.
import { type DetachedMount, mountDetachedOverlay } from "../sys/overlay-mount.ts";
import { StoreError } from "./errors.ts";
import { storePaths } from "./layout.ts";
import { layerFiles, ociPaths } from "./oci-layout.ts";
import { treeLayers } from "./oci-trees.ts";
import { parseTreeStoreID } from "./tree-store.ts";

/** The directories, the topmost first. */
export function layerDirectories(dataDir: string, tree: string): readonly string[] {
  const paths = storePaths(dataDir);
  const id = parseTreeStoreID(tree);
  const layers = id === undefined ? undefined : treeLayers(paths, id);
  if (layers === undefined || layers.length === 0) {
    throw new StoreError("TREE_FAILED", `tree "${tree}" is not in the store any more`, {
      remedy: "fetch the image again",
    });
  }
  return layers.map((name) => layerFiles(ociPaths(paths), name));
}

/** The directories, and their union to look things up in. */
export function openLayers(
  dataDir: string,
  tree: string,
): { readonly lowers: readonly string[]; readonly mount: DetachedMount } {
  const lowers = layerDirectories(dataDir, tree);
  const { empty } = ociPaths(storePaths(dataDir));
  return { lowers, mount: mountDetachedOverlay([...lowers, empty]) };
}
