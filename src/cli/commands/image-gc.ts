// SPDX-License-Identifier: Apache-2.0
// `rkt image gc` (rkt-cli §5.14): first the rendered trees that no pod uses, then the images that were not
// used for the grace period.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ImageKey, imageKey } from "../../appc/index.ts";
import { isErrno } from "../../lib/errors.ts";
import { listPods, type PodRef } from "../../pod/directory.ts";
import { POD_FILES, readPodManifest } from "../../pod/read.ts";
import type { Run } from "../command.ts";
import type { imageGcFlags } from "../flag-sets.ts";
import { sayCount, sayRemoved } from "../remove-images.ts";

/** In the order in which a pod moves: one that moves while we look is seen in its next folder. */
const FOLDERS = ["prepare", "prepared", "run", "exited-garbage"] as const;

export const run: Run<typeof imageGcFlags> = async ({ context, flags }) => {
  const dataDir = await context.dataDir();
  const store = await context.store();
  const now = context.now();
  const gracePeriodMs = flags["grace-period"];
  {
    // No pod is being prepared while this is held, so none is about to use a tree that we remove.
    using _lock = store.lockPrepare("exclusive");
    for (const id of store.collectTrees(treesInUse(dataDir))) {
      context.reporter.line("", `removed treestore "${id}"`);
    }
  }
  store.removeStale({ now, gracePeriodMs });
  const removed = store.collectImages({ inUse: runningImages(dataDir), gracePeriodMs, now });
  // The layers of OCI images are waste only now.
  if (removed.length > 0) store.removeStale({ now, gracePeriodMs });
  for (const key of removed) sayRemoved(context, key);
  sayCount(context, removed.length);
  return 0;
};

/** The ids in appsinfo/APP/treeStoreID of all pods that may run, or be exported, again. */
function treesInUse(dataDir: string): ReadonlySet<string> {
  const inUse = new Set<string>();
  for (const folder of FOLDERS) {
    for (const pod of listPods(dataDir, [folder])) {
      const apps = unlessGone(() => readdirSync(join(pod.path, POD_FILES.appsInfo))) ?? [];
      for (const app of apps) {
        const path = join(pod.path, POD_FILES.appsInfo, app, "treeStoreID");
        const id = unlessGone(() => readFileSync(path, "utf8"));
        if (id !== undefined) inUse.add(id.trim());
      }
    }
  }
  return inUse;
}

function runningImages(dataDir: string): ReadonlySet<ImageKey> {
  const inUse = new Set<ImageKey>();
  for (const pod of listPods(dataDir, ["run"])) {
    if (pod.state !== "running") continue;
    for (const id of imagesOf(pod)) inUse.add(id);
  }
  return inUse;
}

function imagesOf(pod: PodRef): ImageKey[] {
  const manifest = unlessGone(() => readPodManifest(pod));
  return (manifest?.apps ?? []).flatMap(({ image }) =>
    image.id === undefined ? [] : [imageKey(image.id)],
  );
}

/** Undefined for a file of a pod that moved on, or that was not rendered to a tree. */
function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "POD_BROKEN")) return undefined;
    throw error;
  }
}
