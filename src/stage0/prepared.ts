// SPDX-License-Identifier: Apache-2.0
// A prepared pod as its directory describes it: what `run-prepared` starts and `enter` joins.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PodManifest } from "../appc/index.ts";
import type { PodRef } from "../pod/directory.ts";
import { PodError } from "../pod/errors.ts";
import { POD_FILES, readAppImageManifest, readPodManifest } from "../pod/read.ts";
import { overlayProblem } from "./overlay.ts";
import type { PreparedApp } from "./prepare.ts";

/** The manifest of a pod that can be started here and now. */
export function preparedManifest(pod: PodRef): PodManifest {
  if (existsSync(join(pod.path, POD_FILES.overlayPrepared))) {
    const problem = overlayProblem(readFileSync("/proc/filesystems", "utf8"));
    if (problem !== undefined) {
      throw new PodError(
        "POD_STATE",
        "unable to run prepared overlay-enabled pod: overlay not supported",
        { details: { problem } },
      );
    }
  }
  return readPodManifest(pod);
}

/** The apps with the images they were prepared from. */
export function preparedApps(
  pod: PodRef,
  manifest: PodManifest,
): readonly Omit<PreparedApp, "key">[] {
  return manifest.apps.map((runtime) => {
    const image = readAppImageManifest(pod, runtime.name);
    const app = runtime.app ?? image.app;
    if (app === undefined) {
      throw new PodError(
        "POD_MANIFEST",
        `no app section in the pod manifest or the image manifest for app "${runtime.name}"`,
      );
    }
    return { name: runtime.name, image, app };
  });
}
