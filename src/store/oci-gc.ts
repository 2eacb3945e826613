// SPDX-License-Identifier: Apache-2.0
// What nobody needs any more of cas/oci: layers that no image and no tree names, half-made ones, blobs that no image
// names, lock files. A pod's layers are those of its tree, which is there as long as the pod is.
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Digest } from "../oci/types.ts";
import { bootID } from "../sys/boot-id.ts";
import { syncFileSystem } from "../sys/durable.ts";
import { removeFile } from "../sys/remove-file.ts";
import { readRecord } from "./image-record.ts";
import { tryLockKey } from "./key-lock.ts";
import { keyedPath, listKeys, readNames } from "./keys.ts";
import type { StorePaths } from "./layout.ts";
import {
  BUSY,
  blobPath,
  layerName,
  lockName,
  ociPaths,
  parseLayerName,
  stackIDs,
} from "./oci-layout.ts";
import { isDigest } from "./oci-record.ts";
import { isOciTree, treeLayers } from "./oci-trees.ts";
import { listTrees, markSynced, readSmall, treeState, wipeTree } from "./tree-store.ts";

/** Removes what is waste now; nothing while somebody brings images. Returns the paths. */
export function removeStaleOci(
  paths: StorePaths,
  options: {
    /** Whether this process may look at the layers: root alone. */
    readonly layers: boolean;
  },
): readonly string[] {
  const oci = ociPaths(paths);
  if (statSync(oci.locks, { throwIfNoEntry: false }) === undefined) return [];
  using busy = tryLockKey(oci.locks, BUSY, "exclusive");
  if (busy === undefined) return [];
  const needed = neededByImages(paths);
  const removed: string[] = [];
  for (const algorithm of readNames(oci.blobs)) {
    for (const name of readNames(join(oci.blobs, algorithm))) {
      const path = join(oci.blobs, algorithm, name);
      if (needed.blobs.has(path)) continue;
      removeFile(path);
      removed.push(path);
    }
  }
  if (options.layers) {
    for (const { id } of listTrees(paths)) {
      if (isOciTree(id)) for (const name of treeLayers(paths, id) ?? []) needed.layers.add(name);
    }
    removed.push(...removeLayers(paths, needed.layers));
  }
  for (const name of readNames(oci.locks)) {
    if (name === BUSY || needed.locks.has(name)) continue;
    using lock = tryLockKey(oci.locks, name, "exclusive");
    lock?.removeFile();
  }
  busy.removeFile();
  return removed;
}

function neededByImages(paths: StorePaths) {
  const oci = ociPaths(paths);
  const blobs = new Set<string>();
  const layers = new Set<string>();
  const locks = new Set<string>();
  const addBlob = (digest: Digest): void => {
    blobs.add(blobPath(oci, digest));
    locks.add(lockName(digest));
  };
  for (const key of listKeys(paths.records)) {
    if (statSync(keyedPath(paths.blobs, key), { throwIfNoEntry: false }) === undefined) continue;
    const record = readRecord(paths.records, key);
    const image = record?.oci;
    if (record === undefined || image === undefined) continue;
    if (record.verification.kind === "sigstore") {
      for (const { digest } of record.verification.attestations ?? []) {
        if (isDigest(digest)) addBlob(digest);
      }
    }
    addBlob(image.digest);
    addBlob(image.config);
    const diffIDs = image.layers.map(({ diffID }) => diffID);
    for (const { digest } of image.layers) addBlob(digest);
    for (const digest of [...diffIDs, ...stackIDs(diffIDs)]) {
      layers.add(layerName(digest));
      locks.add(lockName(digest));
    }
  }
  return { blobs, layers, locks };
}

/** Half-made ones too; the others of this boot are synced, so that they need no check after the next one. */
function* removeLayers(paths: StorePaths, needed: ReadonlySet<string>): Iterable<string> {
  const oci = ociPaths(paths);
  const fresh: string[] = [];
  for (const algorithm of readNames(oci.layers)) {
    for (const hex of readNames(join(oci.layers, algorithm))) {
      const name = parseLayerName(`${algorithm}/${hex}`);
      if (name === undefined) continue;
      const directory = join(oci.layers, name);
      using lock = tryLockKey(oci.locks, `${algorithm}-${hex}`, "exclusive");
      if (lock === undefined) continue;
      if (needed.has(name) && treeState(directory) !== "missing") {
        if (readSmall(join(directory, "rendered")) === bootID()) fresh.push(directory);
        continue;
      }
      wipeTree(directory);
      lock.removeFile();
      yield directory;
    }
  }
  if (fresh.length === 0) return;
  syncFileSystem(oci.layers);
  for (const directory of fresh) markSynced(directory);
}
