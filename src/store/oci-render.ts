// SPDX-License-Identifier: Apache-2.0
// An OCI image made ready to be mounted, checked, or copied out. Lookups go through the layers' union, which is
// attached nowhere.
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { ImageKey, ImageManifest } from "../appc/index.ts";
import type { DetachedMount } from "../sys/overlay-mount.ts";
import { archiveTree } from "../tar/aci.ts";
import { TreeExtractor } from "../tar/extract.ts";
import { readTar } from "../tar/read.ts";
import { hashFile } from "./blob.ts";
import { StoreError } from "./errors.ts";
import { hashLayer } from "./layer-hash.ts";
import type { StorePaths } from "./layout.ts";
import { algorithmOf, ensureLayer, mountLayers } from "./oci-layers.ts";
import {
  BUSY,
  blobPath,
  ensureOciLayout,
  type LayerName,
  ociPaths,
  stackIDs,
  waitForLock,
} from "./oci-layout.ts";
import type { StoredLayer, StoredOci } from "./oci-record.ts";
import { makeOciTree, treeLayers } from "./oci-trees.ts";
import { ownerPolicy } from "./render-images.ts";
import { createTemporary } from "./temporary.ts";
import { checkHash, type RenderedTree, type TreeStoreID } from "./tree-store.ts";

/** Unpacks what is not unpacked. `rebuild`: what is there is hashed, and made again if it changed. */
export async function renderOci(
  paths: StorePaths,
  job: {
    readonly key: ImageKey;
    readonly image: StoredOci;
    readonly manifest: ImageManifest;
    readonly rebuild: boolean;
  },
): Promise<RenderedTree> {
  const oci = ensureOciLayout(paths);
  using _busy = await waitForLock(oci.locks, BUSY, "shared");
  const unpack = layerUnpacker(paths, job.image, { check: job.rebuild });
  const layers: LayerName[] = [];
  for (const i of job.image.layers.keys()) layers.push(await unpack(i));
  return makeOciTree(paths, { key: job.key, manifest: job.manifest, layers });
}

/**
 * A function that unpacks the layer of a number, once however often it is asked for. A layer that needs the lower
 * ones asks for them itself.
 */
export function layerUnpacker(
  paths: StorePaths,
  image: Pick<StoredOci, "layers">,
  options: {
    readonly check: boolean;
    /** Waited for before a layer is unpacked: its blob is on its way. */
    readonly arrived?: (index: number) => Promise<unknown>;
  },
): (index: number) => Promise<LayerName> {
  const stack = stackIDs(image.layers.map(({ diffID }) => diffID));
  const started = new Map<number, Promise<LayerName>>();
  const unpack = (index: number): Promise<LayerName> => {
    const known = started.get(index);
    if (known !== undefined) return known;
    const promise = start(index);
    started.set(index, promise);
    return promise;
  };
  const start = async (index: number): Promise<LayerName> => {
    const layer = image.layers[index];
    const stackID = stack[index];
    if (layer === undefined || stackID === undefined) throw new Error("no such layer");
    await options.arrived?.(index);
    const lower = async () => {
      const names: LayerName[] = [];
      for (let below = 0; below < index; below++) names.push(await unpack(below));
      return names;
    };
    const { check } = options;
    return await ensureLayer(paths, {
      layer,
      stackID,
      lower: index === 0 ? undefined : lower,
      check,
    });
  };
  return unpack;
}

/** The image's root as apps would see it, attached nowhere. */
export function mountTree(paths: StorePaths, id: TreeStoreID): DetachedMount {
  const layers = treeLayers(paths, id);
  if (layers === undefined || layers.length === 0) {
    throw new StoreError("TREE_FAILED", `the tree ${id} is not in the store`, {
      remedy: "fetch the image again",
    });
  }
  return mountLayers(ociPaths(paths), layers);
}

/** Copies the image into `directory`: `rootfs`, which must not exist, and `manifest`. */
export function copyOci(
  paths: StorePaths,
  id: TreeStoreID,
  directory: string,
  shift: { readonly uidShift?: number; readonly gidShift?: number },
): void {
  using mount = mountTree(paths, id);
  const rootfs = join(directory, "rootfs");
  const owner = ownerPolicy({ uid: shift.uidShift ?? 0, gid: shift.gidShift ?? 0 });
  mkdirSync(rootfs, { mode: 0o755 });
  using file = createTemporary(paths.casTmp);
  archiveTree(mount.path, (chunk) => {
    for (let at = 0; at < chunk.length; ) at += writeSync(file.fd, chunk, at);
  });
  const rootFd = openSync(rootfs, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    using extractor = new TreeExtractor(rootFd, owner);
    extractor.extract(file.fd, readTar(file.fd), { strip: "" });
    extractor.finish();
  } finally {
    closeSync(rootFd);
  }
  const root = statSync(mount.path);
  if (owner.kind === "restore") {
    chownSync(rootfs, root.uid + owner.uidShift, root.gid + owner.gidShift);
  }
  chmodSync(rootfs, root.mode & 0o7777);
  const manifest = readFileSync(join(paths.trees, id, "manifest"));
  writeFileSync(join(directory, "manifest"), manifest, { mode: 0o644 });
}

/** Hashes layers and blobs again; undefined when the tree is not there. */
export function checkOciTree(
  paths: StorePaths,
  id: TreeStoreID,
  image: StoredOci | undefined,
): string | undefined {
  const layers = treeLayers(paths, id);
  if (layers === undefined) return undefined;
  const oci = ociPaths(paths);
  for (const layer of image?.layers ?? []) checkBlobFile(blobPath(oci, layer.digest), layer);
  let last = "";
  for (const name of layers) {
    const directory = join(oci.layers, name);
    last = checkHash(id, directory, hashLayer(directory));
  }
  return last;
}

function checkBlobFile(path: string, { digest, size }: StoredLayer): void {
  let actual = "";
  if (statSync(path, { throwIfNoEntry: false })?.size === size) {
    const fd = openSync(path, "r");
    try {
      actual = `${algorithmOf(digest)}:${hashFile(fd, undefined, algorithmOf(digest))}`;
    } finally {
      closeSync(fd);
    }
  }
  if (actual === digest) return;
  throw new StoreError("IMAGE_CORRUPT", `blob ${digest} in the store is damaged or missing`, {
    remedy: "rkt image rm, then fetch the image again",
    details: { digest, actual },
  });
}
