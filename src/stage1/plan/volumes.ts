// SPDX-License-Identifier: Apache-2.0
// An app's mounts from the pod's volumes (rkt-runtime.md §11).
import type { App, PodManifest, RuntimeApp, Volume } from "../../appc/index.ts";
import type { IdRange } from "../../lib/id-range.ts";
import { quote } from "../../lib/text.ts";
import { Stage1Error } from "../errors.ts";
import type { DeviceNumber } from "./input.ts";
import {
  ATTACH_FLAGS,
  COPY_VOLUME_FLAGS,
  DIRECTORY_FLAGS,
  MOUNT_ATTRIBUTES,
  type Op,
  VOLUME_FLAGS,
} from "./opcodes.ts";

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

/** The operations of all volumes. An `attach` names its copy by the place among the plan's `copyVolume`. */
export interface PlannedVolumes {
  /** For the supervisor. */
  readonly ops: readonly Op[];
  /** For each app, in the order of its mounts. */
  readonly attach: readonly (readonly Op[])[];
}

/** What the planner has to know of a pod's volumes besides the manifests. */
export interface VolumeFacts {
  readonly restrictDevices: boolean;
  /** Sources of the host that are devices, by path. */
  readonly devices: ReadonlyMap<string, DeviceNumber>;
  /** Empty volumes that have the image's own content, owner and mode already, by name. */
  readonly filled: ReadonlySet<string>;
  /** The ids of a pod with a user namespace. */
  readonly userNamespace: IdRange | undefined;
}

/** Each volume is made once and opened once, whatever the number of mounts; a volume that nothing mounts is not. */
export function planVolumes(
  apps: readonly (readonly ResolvedMount[])[],
  facts: VolumeFacts,
): PlannedVolumes {
  const uses = new Map<string, { readonly volume: Volume; readonly mounts: ResolvedMount[] }>();
  for (const mount of apps.flat()) {
    const { volume } = mount;
    const key = `${volume.name}\0${volume.kind === "host" ? volume.source : ""}`;
    const use = uses.get(key);
    if (use === undefined) uses.set(key, { volume, mounts: [mount] });
    else use.mounts.push(mount);
  }
  const ops = emptyVolumes(
    [...uses.values()].map((use) => use.volume),
    facts,
  );
  const slots = new Map<ResolvedMount, number>();
  for (const { volume, mounts } of uses.values()) {
    const device = volume.kind === "host" ? facts.devices.get(volume.source) : undefined;
    ops.push({
      kind: "volume",
      name: volume.name,
      source: volume.kind === "empty" ? emptyVolumePath(volume.name) : volume.source,
      flags: deviceFlags(device),
      major: device?.major ?? 0,
      minor: device?.minor ?? 0,
    });
    // A device that the user lends is meant to be opened; one in a directory is not.
    const noDevices = facts.restrictDevices && device === undefined;
    // Who owns a file of the host's volume does not depend on the flag. An empty volume is the pod's own, and a device
    // is used as its mode says.
    const map =
      facts.userNamespace !== undefined && volume.kind === "host" && device === undefined
        ? COPY_VOLUME_FLAGS.mapOwners
        : 0;
    for (const mount of mounts) {
      slots.set(mount, slots.size);
      ops.push({
        kind: "copyVolume",
        attributes:
          (mount.readOnly ? MOUNT_ATTRIBUTES.readOnly : 0) |
          (noDevices ? MOUNT_ATTRIBUTES.noDev : 0),
        flags: ((mount.volume.recursive ?? true) ? COPY_VOLUME_FLAGS.recursive : 0) | map,
      });
    }
  }
  return {
    ops,
    attach: apps.map((mounts) =>
      mounts.map((mount) => attach(mount, slots.get(mount) ?? 0, facts.restrictDevices)),
    ),
  };
}

function emptyVolumes(volumes: readonly Volume[], { filled, userNamespace }: VolumeFacts): Op[] {
  const firstId = userNamespace?.first ?? 0;
  const ops: Op[] = [];
  for (const volume of volumes) {
    if (volume.kind !== "empty") continue;
    if (ops.length === 0) {
      ops.push({ kind: "directory", path: SHARED, mode: 0o750, uid: 0, gid: 0, flags: 0 });
    }
    ops.push({
      kind: "directory",
      path: emptyVolumePath(volume.name),
      mode: parseMode(volume),
      uid: firstId + volume.uid,
      gid: firstId + volume.gid,
      flags: filled.has(volume.name) ? 0 : DIRECTORY_FLAGS.enforce,
    });
  }
  return ops;
}

/** What lxcfs and its kin put in the place of the kernel's. */
const PROC_FILES: ReadonlySet<string> = new Set(
  ["cpuinfo", "diskstats", "loadavg", "meminfo", "stat", "swaps", "uptime"].map(
    (f) => `/proc/${f}`,
  ),
);

const attach = (mount: ResolvedMount, slot: number, restrictPaths: boolean): Op => ({
  kind: "attach",
  name: mount.volume.name,
  slot,
  target: mount.path,
  flags: restrictPaths && !PROC_FILES.has(mount.path) ? 0 : ATTACH_FLAGS.onProc,
});

function deviceFlags(device: DeviceNumber | undefined): number {
  if (device === undefined) return 0;
  return VOLUME_FLAGS.device | (device.kind === "block" ? VOLUME_FLAGS.block : 0);
}
