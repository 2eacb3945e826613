// SPDX-License-Identifier: Apache-2.0
// Can a pod's apps have an overlay here (rkt-runtime §5.1)?
import { readFileSync } from "node:fs";
import { fileSystemMagic } from "../sys/filesystem.ts";
import { loadModule } from "../sys/modules.ts";

// linux/magic.h and the out-of-tree file systems that cannot carry an overlay's upper layer.
const AUFS = 0x61756673;
const ZFS = 0x2fc12fc1;

/** Why overlay cannot be used, or undefined when it can. `magic`: of the data directory's file system. */
export function overlayProblem(filesystems: string, magic = 0): string | undefined {
  if (!filesystems.split("\n").includes("nodev\toverlay")) {
    return "overlay entry not present in /proc/filesystems";
  }
  if (magic === AUFS) return "unsupported filesystem: aufs";
  if (magic === ZFS) return "unsupported filesystem: zfs";
  return undefined;
}

/** The same for this machine and data directory; loads the module when it is not there yet. */
export function hostOverlayProblem(dataDir: string): string | undefined {
  const filesystems = () => readFileSync("/proc/filesystems", "utf8");
  const magic = fileSystemMagic(dataDir);
  const problem = overlayProblem(filesystems(), magic);
  if (problem === undefined || !loadModule("overlay")) return problem;
  return overlayProblem(filesystems(), magic);
}
