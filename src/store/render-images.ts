// SPDX-License-Identifier: Apache-2.0
// Writes the files of an image and its dependencies into an empty directory (appc.md §2.6).
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import type { ImageManifest } from "../appc/index.ts";
import type { TarEntry } from "../tar/entry.ts";
import { type OwnerPolicy, TreeExtractor } from "../tar/extract.ts";
import { readTar } from "../tar/read.ts";
import { startHash } from "./hash-thread.ts";
import { type HashPart, predictTree } from "./predict-tree.ts";
import type { Ordered } from "./render-order.ts";
import { entrySelectors, parseWhitelist } from "./select-entries.ts";
import { matchHeaders, treeHashOf } from "./tree-hash.ts";
import type { HashAhead } from "./tree-store.ts";

export interface RenderSource {
  readonly manifest: ImageManifest;
  /** Opens the image's tar, verified; this module closes it. */
  readonly open: () => number;
}

export function renderImages(
  order: readonly Ordered<RenderSource>[],
  rootfs: string,
  owner: OwnerPolicy,
): void {
  const rules = order.map(({ image, level }) => ({
    image: { whitelist: parseWhitelist(image.manifest.pathWhitelist) },
    level,
  }));
  const selectors = entrySelectors(rules);
  const rootFd = openSync(rootfs, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    using extractor = new TreeExtractor(rootFd, owner);
    order.forEach(({ image }, i) => {
      const select = selectors[i];
      const fd = image.open();
      try {
        extractor.extract(fd, readTar(fd), {
          strip: "rootfs/",
          ...(select === undefined ? {} : { select }),
        });
      } finally {
        closeSync(fd);
      }
    });
    extractor.finish();
  } finally {
    closeSync(rootFd);
  }
}

/** Below this a thread costs more than it saves. */
const MIN_AHEAD = 16 << 20;
/** With smaller files, predicting and comparing takes as long as hashing here (measured). */
const BYTES_PER_ENTRY = 4 << 10;
/** Above this the prediction would take too much memory. */
const MAX_AHEAD_ENTRIES = 200_000;

/**
 * Starts the tree hash of an image on another thread, from its archive. Undefined where it cannot be told
 * from that (dependencies, a whitelist, owners that are not restored) or is not worth it.
 */
export function hashAhead(order: readonly Ordered<RenderSource>[]): HashAhead | undefined {
  const [only] = order;
  if (order.length !== 1 || only === undefined || process.geteuid?.() !== 0) return undefined;
  if (only.image.manifest.pathWhitelist.length > 0) return undefined;
  const fd = only.image.open();
  try {
    const { size } = fstatSync(fd);
    const parts = size < MIN_AHEAD ? undefined : predict(fd, size / BYTES_PER_ENTRY);
    if (parts === undefined) {
      closeSync(fd);
      return undefined;
    }
    const thread = startHash(fd, parts);
    return {
      finish(directory) {
        const headers = parts.values().filter((part) => typeof part === "string");
        const match = matchHeaders(directory, headers);
        const digest = match === undefined ? undefined : thread.digest();
        if (match === undefined || digest === undefined) return undefined;
        return { hash: treeHashOf(digest), size: match.size };
      },
      [Symbol.dispose]() {
        thread[Symbol.dispose]();
        closeSync(fd);
      },
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function predict(fd: number, most: number): readonly HashPart[] | undefined {
  const entries: TarEntry[] = [];
  for (const entry of readTar(fd)) {
    if (entries.push(entry) > Math.min(most, MAX_AHEAD_ENTRIES)) return undefined;
  }
  return predictTree(entries);
}

/** What this process can do: only root gives files away. */
export function ownerPolicy(shift: { readonly uid: number; readonly gid: number }): OwnerPolicy {
  return process.geteuid?.() === 0
    ? { kind: "restore", uidShift: shift.uid, gidShift: shift.gid }
    : { kind: "none" };
}
