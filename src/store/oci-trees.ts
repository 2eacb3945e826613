// SPDX-License-Identifier: Apache-2.0
// The tree of an OCI image: cas/tree/oci-KEY/{layers,image,manifest,rendered}. It has no files of its own: `layers`
// lists the directories that overlayfs puts on each other, the topmost first, one on a line.
import { closeSync, constants, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ImageKey, type ImageManifest, serializeImageManifest } from "../appc/index.ts";
import { isErrno } from "../lib/errors.ts";
import { bootID } from "../sys/boot-id.ts";
import { OPAQUE_XATTR } from "../sys/constants.ts";
import { syncFileSystem, writeFileDurable } from "../sys/durable.ts";
import { readXattrs } from "../sys/tree.ts";
import { StoreError } from "./errors.ts";
import { lockKey } from "./key-lock.ts";
import type { StorePaths } from "./layout.ts";
import { type LayerName, layerFiles, ociPaths, parseLayerName } from "./oci-layout.ts";
import {
  makeRootDirectory,
  type RenderedTree,
  SYNCED,
  type TreeStoreID,
  treeState,
  wipeTree,
} from "./tree-store.ts";

export function ociTreeID(key: ImageKey): TreeStoreID {
  return `oci-${key}` as TreeStoreID;
}

export const isOciTree = (id: string): boolean => id.startsWith("oci-");

/** The layers of a tree, topmost first; undefined when the tree is not there. */
export function treeLayers(paths: StorePaths, id: TreeStoreID): readonly LayerName[] | undefined {
  try {
    const lines = readFileSync(join(paths.trees, id, "layers"), "utf8").split("\n");
    return lines.map(parseLayerName).filter((name) => name !== undefined);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** The tree when it can be used as it is. Its layers stay as long as it does. */
export function renderedOciTree(paths: StorePaths, key: ImageKey): RenderedTree | undefined {
  const id = ociTreeID(key);
  if (treeState(join(paths.trees, id)) !== "ready") return undefined;
  const top = treeLayers(paths, id)?.[0];
  return top === undefined ? undefined : { id, rootfs: layerFiles(ociPaths(paths), top) };
}

/** `layers`: all unpacked and checked, lowest first. */
export function makeOciTree(
  paths: StorePaths,
  tree: {
    readonly key: ImageKey;
    readonly manifest: ImageManifest;
    readonly layers: readonly LayerName[];
  },
): RenderedTree {
  const id = ociTreeID(tree.key);
  const oci = ociPaths(paths);
  const layers = effectiveLayers(tree.layers, (name) => hasOpaqueRoot(layerFiles(oci, name)));
  const [top] = layers;
  if (top === undefined) {
    throw new StoreError("IMAGE_INVALID", `image "${tree.key}" has no layers`);
  }
  using _lock = lockKey(paths.treeLocks, id, "exclusive");
  const directory = join(paths.trees, id);
  wipeTree(directory);
  try {
    makeRootDirectory(directory);
    writeFileSync(join(directory, "layers"), `${layers.join("\n")}\n`, { mode: 0o644 });
    const manifest = serializeImageManifest(tree.manifest);
    writeFileSync(join(directory, "manifest"), manifest, { mode: 0o644 });
    writeFileSync(join(directory, "image"), tree.key, { mode: 0o644 });
    const boot = bootID();
    if (boot === undefined) syncFileSystem(directory);
    writeFileDurable(join(directory, "rendered"), boot ?? SYNCED, 0o644);
  } catch (error) {
    wipeTree(directory);
    throw error;
  }
  return { id, rootfs: layerFiles(oci, top) };
}

/**
 * The layers to mount, topmost first, from those of an image, lowest first. One that occurs twice counts where it
 * is uppermost, which hides or brings the same as both: overlayfs takes no directory twice. What is below a layer
 * whose root is opaque is not seen: overlayfs does not look for that mark at the root.
 */
export function effectiveLayers(
  layers: readonly LayerName[],
  isOpaque: (name: LayerName) => boolean,
): readonly LayerName[] {
  const result: LayerName[] = [];
  for (const name of [...new Set([...layers].reverse())]) {
    result.push(name);
    if (isOpaque(name)) break;
  }
  return result;
}

function hasOpaqueRoot(directory: string): boolean {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return readXattrs(fd).has(OPAQUE_XATTR);
  } finally {
    closeSync(fd);
  }
}
