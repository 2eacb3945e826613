// SPDX-License-Identifier: Apache-2.0
// An app's mounts from the pod's volumes (rkt-runtime.md §11).
import type { App, PodManifest, RuntimeApp, Volume } from "../../appc/index.ts";
import { quote } from "../../lib/text.ts";
import { Stage1Error } from "../errors.ts";
import { BIND_FLAGS, DIRECTORY_FLAGS, MOUNT_ATTRIBUTES, type Op } from "./opcodes.ts";

/** A mount of one app, resolved: what goes where. */
export interface ResolvedMount {
  readonly volume: Volume;
  readonly path: string;
  readonly readOnly: boolean;
  /** The mount point's name where the volume was made for it because nobody named one. */
  readonly implicitFor: string | undefined;
}

/** `/a//b/../c` → `/a/c`; never above `/`. */
export function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/**
 * Mounts of the manifest first, in their order; then each mount point without one gets the pod's volume of its
 * name, else an empty volume of its own. One mount per path: the first wins.
 */
export function resolveMounts(pod: PodManifest, runtime: RuntimeApp, app: App): ResolvedMount[] {
  for (const { path } of [...runtime.mounts, ...app.mountPoints]) {
    // The app would stay in the root below it, and what enters the app would come to the volume.
    if (cleanPath(path) === "/") {
      throw new Stage1Error(
        "VOLUME_INVALID",
        `cannot mount a volume at ${quote(path)}: the root is the image's`,
      );
    }
  }
  const volumes = new Map(pod.volumes.map((v) => [v.name as string, v]));
  const mounts = new Map<string, ResolvedMount>();
  for (const mount of runtime.mounts) {
    const path = cleanPath(mount.path);
    if (mounts.has(path)) continue;
    const volume = mount.appVolume ?? volumes.get(mount.volume);
    if (volume === undefined) {
      throw new Stage1Error("VOLUME_NOT_FOUND", `could not find volume ${quote(mount.volume)}`);
    }
    const point = app.mountPoints.find((p) => cleanPath(p.path) === path);
    const readOnly = volume.readOnly ?? point?.readOnly ?? false;
    mounts.set(path, { volume, path, readOnly, implicitFor: undefined });
  }
  for (const point of app.mountPoints) {
    const path = cleanPath(point.path);
    if (mounts.has(path)) continue;
    const named = volumes.get(point.name);
    const volume: Volume =
      named ??
      ({
        kind: "empty",
        name: `${runtime.name}-${point.name}` as Volume["name"],
        mode: "0755",
        uid: 0,
        gid: 0,
      } satisfies Volume);
    const readOnly = volume.readOnly ?? point.readOnly;
    mounts.set(path, {
      volume,
      path,
      readOnly,
      implicitFor: named === undefined ? point.name : undefined,
    });
  }
  // A mount below another one must come after it.
  return [...mounts.values()].sort((a, b) => depth(a.path) - depth(b.path));
}

const depth = (path: string): number => (path === "/" ? 0 : path.split("/").length);

const SHARED = "sharedVolumes";

/** The directory of an empty volume, relative to the pod directory. */
export const emptyVolumePath = (name: string): string => `${SHARED}/${name}`;

function parseMode(volume: Volume & { kind: "empty" }): number {
  if (!/^[0-7]{1,5}$/.test(volume.mode)) {
    throw new Stage1Error(
      "VOLUME_INVALID",
      `invalid mode ${quote(volume.mode)} for volume ${quote(volume.name)}`,
    );
  }
  return Number.parseInt(volume.mode, 8) & 0o7777;
}

/** Makes the empty volumes among these, each once. */
export function volumeDirectories(mounts: readonly ResolvedMount[]): Op[] {
  const made = new Set<string>();
  const ops: Op[] = [];
  for (const { volume } of mounts) {
    if (volume.kind !== "empty" || made.has(volume.name)) continue;
    if (made.size === 0) {
      ops.push({ kind: "directory", path: SHARED, mode: 0o750, uid: 0, gid: 0, flags: 0 });
    }
    made.add(volume.name);
    ops.push({
      kind: "directory",
      path: emptyVolumePath(volume.name),
      mode: parseMode(volume),
      uid: volume.uid,
      gid: volume.gid,
      flags: DIRECTORY_FLAGS.enforce,
    });
  }
  return ops;
}

export function volumeBind(mount: ResolvedMount, restrictDevices: boolean): Op {
  const { volume, path } = mount;
  return {
    kind: "bind",
    source: volume.kind === "empty" ? emptyVolumePath(volume.name) : volume.source,
    target: path,
    attributes:
      (mount.readOnly ? MOUNT_ATTRIBUTES.readOnly : 0) |
      (restrictDevices ? MOUNT_ATTRIBUTES.noDev : 0),
    flags: (volume.recursive ?? true) ? BIND_FLAGS.recursive : 0,
  };
}
