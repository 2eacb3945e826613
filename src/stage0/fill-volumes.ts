// SPDX-License-Identifier: Apache-2.0
// The empty volumes that nobody asked for, of apps whose image comes from Docker: they begin with what the image
// has there, as Docker's do (rkt-runtime §11). Made at preparation; stage1 leaves a volume that is there as it is.
import {
  chmodSync,
  chownSync,
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { PodManifest } from "../appc/index.ts";
import { isErrno } from "../lib/errors.ts";
import type { IdRange } from "../lib/id-range.ts";
import { quote } from "../lib/text.ts";
import { emptyVolumePath, resolveMounts } from "../stage1/plan/volumes.ts";
import { openBelow } from "../sys/at.ts";
import { O_DIRECTORY, O_RDONLY } from "../sys/constants.ts";
import { archiveTree } from "../tar/aci.ts";
import { extractTree } from "../tar/extract.ts";
import { readTar } from "../tar/read.ts";
import { Stage0Error } from "./errors.ts";
import { isFromDocker } from "./from-docker.ts";
import { idOnHost } from "./id-on-host.ts";
import type { PreparedApp } from "./prepare.ts";
import { appRootfs } from "./start.ts";

interface Pod {
  readonly path: string;
  readonly manifest: PodManifest;
  readonly apps: readonly Omit<PreparedApp, "key">[];
  readonly userNamespace: IdRange | undefined;
}

/** The pod's directory is complete but for these volumes. */
export async function fillVolumes(pod: Pod, dataDir: string): Promise<void> {
  for (const [i, { name, app, image }] of pod.apps.entries()) {
    const runtime = pod.manifest.apps[i];
    if (runtime === undefined || !isFromDocker(image)) continue;
    const { imageRoot, rootfs } = await appRootfs(pod.path, name, dataDir);
    // The pod's own copy of the image has the pod's owners already.
    const shift = rootfs.kind === "directory" ? 0 : (pod.userNamespace?.first ?? 0);
    for (const { volume, path, implicitFor } of resolveMounts(pod.manifest, runtime, app)) {
      if (implicitFor === undefined) continue;
      fillVolume(pod.path, { name: volume.name, imageRoot, path, shift });
    }
  }
}

interface Filling {
  readonly name: string;
  readonly imageRoot: string;
  readonly path: string;
  /** Added to every owner. */
  readonly shift: number;
}

function fillVolume(podPath: string, { name, imageRoot, path, shift }: Filling): void {
  const from = openInImage(imageRoot, path);
  if (from === undefined) return;
  try {
    const volume = join(podPath, emptyVolumePath(name));
    mkdirSync(join(volume, ".."), { recursive: true, mode: 0o750 });
    mkdirSync(volume, { mode: 0o700 });
    copyTree(from, volume, { temporary: `${podPath}/volume.tar`, shift });
    const { uid, gid, mode } = fstatSync(from);
    const what = `volume ${quote(name)}`;
    chownSync(volume, idOnHost(uid, shift, what), idOnHost(gid, shift, what));
    chmodSync(volume, mode & 0o7777);
  } catch (cause) {
    throw new Stage0Error(
      "VOLUME_CONTENT",
      `cannot fill volume ${quote(name)} with what the image has at ${quote(path)}`,
      { cause },
    );
  } finally {
    closeSync(from);
  }
}

/** Undefined when the image has no directory there. */
function openInImage(imageRoot: string, path: string): number | undefined {
  const root = openSync(imageRoot, O_RDONLY | O_DIRECTORY);
  try {
    return openBelow(root, path, O_RDONLY | O_DIRECTORY, { resolve: "in-root" });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  } finally {
    closeSync(root);
  }
}

/** Through an archive: its two ends know owners, links, devices and attributes already. */
function copyTree(
  from: number,
  to: string,
  { temporary, shift }: { readonly temporary: string; readonly shift: number },
): void {
  const archive = openSync(temporary, "wx+", 0o600);
  const target = openSync(to, O_RDONLY | O_DIRECTORY);
  try {
    archiveTree(`/proc/self/fd/${from}`, (chunk) => {
      for (let at = 0; at < chunk.length; ) at += writeSync(archive, chunk, at);
    });
    extractTree(archive, readTar(archive), {
      rootFd: target,
      owner: { kind: "restore", uidShift: shift, gidShift: shift },
      strip: "",
    });
  } finally {
    closeSync(target);
    closeSync(archive);
    rmSync(temporary);
  }
}
