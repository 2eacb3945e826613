// SPDX-License-Identifier: Apache-2.0
// The registered pods of a data directory, found again by the notes in them, and those of them that have ended.
import type { PodUUID } from "../../appc/index.ts";
import { serializeImageManifest, serializePodManifest } from "../../appc/index.ts";
import { RktError } from "../../lib/errors.ts";
import { findPod, listPods, type PodRef } from "../../pod/directory.ts";
import { readRegistration } from "../../pod/metadata.ts";
import { readAppImageManifest, readPodManifest } from "../../pod/read.ts";
import { isFinished } from "../../pod/state.ts";
import type { Registry } from "./registry.ts";

/** Where a pod that has not ended can be: it is registered before it moves to `run`. */
const ALIVE = ["prepare", "prepared", "run"] as const;

/** Registers again what was registered before this service was started. Returns how many. */
export function loadPods(
  registry: Registry,
  dataDir: string,
  warn: (text: string) => void,
): number {
  let count = 0;
  for (const pod of listPods(dataDir, ALIVE)) {
    if (isFinished(pod.state)) continue;
    try {
      if (loadPod(registry, pod)) count++;
    } catch (error) {
      if (!(error instanceof RktError)) throw error;
      warn(`pod "${pod.uuid}" is not registered again: ${error.message}`);
    }
  }
  return count;
}

function loadPod(registry: Registry, pod: PodRef): boolean {
  const token = readRegistration(pod.path, pod.uuid)?.token;
  if (token === undefined) return false;
  const manifest = readPodManifest(pod);
  const manifestText = serializePodManifest(manifest);
  if (!registry.add(token, { uuid: pod.uuid, manifest, manifestText })) return false;
  for (const { name } of manifest.apps) {
    const image = readAppImageManifest(pod, name);
    registry.addImage(pod.uuid, name, { manifest: image, text: serializeImageManifest(image) });
  }
  return true;
}

/**
 * Drops pods of this data directory that have ended; `own` are those that were seen there. A pod of another data directory
 * stays until rkt says that it is gone.
 */
export function dropEnded(registry: Registry, dataDir: string, own: Set<string>): void {
  for (const uuid of registry.uuids()) {
    const pod = findPod(dataDir, uuid as PodUUID);
    if (pod !== undefined && !isFinished(pod.state)) own.add(uuid);
    else if (pod !== undefined || own.has(uuid)) {
      registry.remove(uuid);
      own.delete(uuid);
    }
  }
}
