// SPDX-License-Identifier: Apache-2.0
// `rkt export`: the root file system of an app that ended, as a new ACI (rkt-cli §5.12). An overlay is
// looked at in a mount namespace of our own, so nothing is mounted on the host even if we are killed.
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { extname, join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { forOutput } from "../lib/for-output.ts";
import type { IdRange } from "../lib/id-range.ts";
import { quote } from "../lib/text.ts";
import { holdEnded, type PodRef } from "../pod/directory.ts";
import { POD_FILES, readPodManifest, readPrivateUsers } from "../pod/read.ts";
import { canExport } from "../pod/state.ts";
import { layerDirectories } from "../store/oci-lookup.ts";
import { mountPointsBelow, unmount } from "../sys/mounts.ts";
import { attachMount, mountDetachedOverlay } from "../sys/overlay-mount.ts";
import { leaveMountNamespace, mountOverlayReadOnly } from "../sys/private-mounts.ts";
import { buildAci } from "../tar/aci.ts";
import { Stage0Error } from "./errors.ts";
import { createExportLayout } from "./export-layout.ts";
import { selectApp } from "./select-app.ts";

export interface ExportOptions {
  readonly dataDir: string;
  readonly app: string | undefined;
  readonly output: string;
  readonly overwrite: boolean;
}

/** Refuses what can be refused without looking at the pod. */
export function checkExportTarget(output: string): void {
  if (extname(output) !== ".aci") {
    throw new Stage0Error("EXPORT", `extension must be .aci (given ${output})`);
  }
}

/** Writes OUTPUT whole or not at all. The pod stays while it is read. */
export function exportPod(found: PodRef, options: ExportOptions): void {
  checkExportTarget(options.output);
  if (!canExport(found.state)) throw notExited(found);
  using held = holdEnded(options.dataDir, found);
  const { pod } = held;
  const app = selectApp(readPodManifest(pod), options.app, "export");
  if (!options.overwrite && existsSync(options.output)) {
    throw new Stage0Error("EXPORT", "error building aci: target file exists (try --overwrite)");
  }
  const stage2 = join(pod.path, POD_FILES.stage2, app.name);
  if (existsSync(join(pod.path, POD_FILES.overlayPrepared))) {
    exportOverlay(pod, { ...options, app: app.name });
  } else {
    if (mountPointsBelow(realpathSync(stage2)).length > 0) {
      throw new Stage0Error(
        "EXPORT",
        "pod has remaining mountpoints. Only pods using overlayfs or with no mountpoints can be exported",
      );
    }
    writeAci(stage2, options.output, readPrivateUsers(pod.path));
  }
}

function notExited({ uuid, state }: PodRef): Stage0Error {
  return new Stage0Error("EXPORT", "pod is not exited. Only exited pods can be exported", {
    details: { state },
    remedy: state === "running" ? `rkt stop ${uuid}, then export it` : undefined,
  });
}

function exportOverlay(pod: PodRef, options: ExportOptions & { readonly app: string }): void {
  const info = join(pod.path, POD_FILES.appsInfo, options.app);
  const tree = readFileSync(join(info, "treeStoreID"), "utf8").trim();
  const isOci = tree.startsWith("oci-");
  const lower = join(options.dataDir, "cas", "tree", tree, isOci ? "layers" : "rootfs");
  requireTree(pod, lower);
  const upper = join(pod.path, "overlay", tree, "upper", options.app);
  using layout = createExportLayout(options.dataDir);
  writeFileSync(join(layout.path, "manifest"), readFileSync(join(info, "manifest")));
  leaveMountNamespace();
  if (isOci) mountLayersAt(options.dataDir, { tree, upper, target: layout.rootfs });
  else mountOverlayReadOnly([realpathSync(upper), realpathSync(lower)], layout.rootfs);
  try {
    writeAci(layout.path, options.output, readPrivateUsers(pod.path));
  } finally {
    unmount(layout.rootfs);
  }
}

/** By descriptors: the paths of many layers do not fit into the options of mount(2). */
function mountLayersAt(
  dataDir: string,
  {
    tree,
    upper,
    target,
  }: { readonly tree: string; readonly upper: string; readonly target: string },
): void {
  using mount = mountDetachedOverlay([upper, ...layerDirectories(dataDir, tree)]);
  attachMount(mount, target);
}

function requireTree(pod: PodRef, rootfs: string): void {
  try {
    statSync(rootfs);
  } catch (error) {
    if (isErrno(error, "ENOENT")) {
      throw new Stage0Error(
        "EXPORT",
        `cannot export pod "${pod.uuid}": its image is no longer rendered in the store`,
        { remedy: "fetch the image again" },
      );
    }
    throw new Stage0Error("EXPORT", `cannot export pod "${pod.uuid}"`, {
      cause: error,
      remedy: isErrno(error, "EACCES") ? "run as root" : undefined,
    });
  }
}

/** Bytes per gzip member. Members are independent, so memory stays constant without a stream. */
const MEMBER = 4 * 1024 * 1024;

function writeAci(layout: string, output: string, privateUsers: IdRange | undefined): void {
  const temporary = `${output}.${process.pid}.tmp`;
  try {
    const fd = openSync(temporary, "wx", 0o644);
    try {
      let parts: Uint8Array[] = [];
      let size = 0;
      const flush = () => {
        if (size === 0) return;
        const packed = Bun.gzipSync(Buffer.concat(parts));
        let at = 0;
        while (at < packed.length) at += writeSync(fd, packed, at);
        parts = [];
        size = 0;
      };
      buildAci(
        layout,
        (chunk) => {
          parts.push(Uint8Array.from(chunk));
          size += chunk.length;
          if (size >= MEMBER) flush();
        },
        { ownerRoot: false, privateUsers },
      );
      flush();
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, output);
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch (cleanup) {
      if (!isErrno(cleanup, "ENOENT")) throw cleanup;
    }
    throw new Stage0Error("EXPORT", `error building aci: cannot write ${quote(output)}`, {
      cause: forOutput(error, temporary, output),
    });
  }
}
