// SPDX-License-Identifier: Apache-2.0
// Writes the files of an image and its dependencies into an empty directory (appc.md §2.6).
import { closeSync, constants, openSync } from "node:fs";
import type { ImageManifest } from "../appc/index.ts";
import { type OwnerPolicy, TreeExtractor } from "../tar/extract.ts";
import { readTar } from "../tar/read.ts";
import type { Ordered } from "./render-order.ts";
import { entrySelectors, parseWhitelist } from "./select-entries.ts";

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

/** What this process can do: only root gives files away. */
export function ownerPolicy(shift: { readonly uid: number; readonly gid: number }): OwnerPolicy {
  return process.geteuid?.() === 0
    ? { kind: "restore", uidShift: shift.uid, gidShift: shift.gid }
    : { kind: "none" };
}
