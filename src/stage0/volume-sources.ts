// SPDX-License-Identifier: Apache-2.0
// The host's side of a pod's volumes, looked at before the pod starts: a source that is missing is the user's
// mistake and must cost neither a pod nor a start. What is mounted is opened once more, by stage1, for good.
import { existsSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import type { PodManifest, Volume } from "../appc/index.ts";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import type { DeviceNumber } from "../stage1/plan/input.ts";
import { emptyVolumePath, type ResolvedMount, resolveMounts } from "../stage1/plan/volumes.ts";
import { Stage0Error } from "./errors.ts";
import { isFromDocker } from "./from-docker.ts";
import type { PreparedApp } from "./prepare.ts";

/** The volumes that an app of the pod mounts; of the host or, as the image's mount points want, made for them. */
function mountedVolumes(
  manifest: PodManifest,
  apps: readonly Pick<PreparedApp, "app">[],
): ResolvedMount[] {
  return manifest.apps.flatMap((runtime, i) => {
    const app = apps[i]?.app;
    return app === undefined ? [] : resolveMounts(manifest, runtime, app);
  });
}

/** Which sources are devices, by path. Throws VOLUME_SOURCE for one that cannot be used. */
export function sourceDevices(
  manifest: PodManifest,
  apps: readonly Pick<PreparedApp, "app">[],
): ReadonlyMap<string, DeviceNumber> {
  const devices = new Map<string, DeviceNumber>();
  const own = manifest.apps.some((app) => app.mounts.some((mount) => mount.appVolume));
  if (manifest.volumes.length === 0 && !own) return devices;
  for (const { volume } of mountedVolumes(manifest, apps)) {
    if (volume.kind !== "host") continue;
    const stats = statSource(volume);
    if (!stats.isCharacterDevice() && !stats.isBlockDevice()) continue;
    devices.set(volume.source, {
      kind: stats.isBlockDevice() ? "block" : "char",
      // sysmacros.h: gnu_dev_major, gnu_dev_minor; node gives the number of stat(2) as it is.
      major: ((stats.rdev >>> 8) & 0xfff) | (Math.floor(stats.rdev / 2 ** 32) & 0xfffff000),
      minor: (stats.rdev & 0xff) | ((stats.rdev >>> 12) & 0xfff00),
    });
  }
  return devices;
}

/** Names of the volumes that fill-volumes.ts made when the pod was prepared. */
export function filledVolumes(pod: {
  readonly path: string;
  readonly manifest: PodManifest;
  readonly apps: readonly Pick<PreparedApp, "app" | "image">[];
}): ReadonlySet<string> {
  if (!pod.apps.some(({ image }) => isFromDocker(image))) return new Set();
  const names = mountedVolumes(pod.manifest, pod.apps)
    .filter(({ implicitFor }) => implicitFor !== undefined)
    .map(({ volume }) => volume.name as string);
  return new Set(names.filter((name) => existsSync(join(pod.path, emptyVolumePath(name)))));
}

function statSource(volume: Volume & { readonly kind: "host" }): Stats {
  try {
    return statSync(volume.source);
  } catch (cause) {
    const missing = isErrno(cause, "ENOENT");
    throw new Stage0Error(
      "VOLUME_SOURCE",
      missing
        ? `cannot use volume ${quote(volume.name)}: its source ${quote(volume.source)} does not exist`
        : `cannot use volume ${quote(volume.name)}: its source ${quote(volume.source)} cannot be looked at`,
      {
        ...(missing
          ? { remedy: `create ${quote(volume.source)} first: rkt makes nothing on the host` }
          : { cause }),
        details: { volume: volume.name, source: volume.source },
      },
    );
  }
}
