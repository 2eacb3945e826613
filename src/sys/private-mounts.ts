// SPDX-License-Identifier: Apache-2.0
// A mount namespace of this process's own, for a command that must look at an overlay for a moment. The
// kernel takes the mounts away with the process, however it ends.
import { MS_PRIVATE, MS_RDONLY, MS_REC } from "./constants.ts";
import { check, cstr, libcFiles, ptr } from "./libc.ts";

const CLONE_NEWNS = 0x00020000;

/**
 * Leaves the host's mount namespace. It acts on the main thread only (unshare(2)): from here on use the
 * synchronous calls of node:fs, which run on it.
 */
export function leaveMountNamespace(): void {
  check(libcFiles().unshare(CLONE_NEWNS), "unshare");
  const root = cstr("/");
  // SAFETY: no source, type or data: a propagation change only (mount(2)).
  check(libcFiles().mount(null, ptr(root), null, MS_REC | MS_PRIVATE, null), "mount", "/");
}

/** Mounts the union of `layers` (the uppermost first) read-only at `target`. */
export function mountOverlayReadOnly(layers: readonly string[], target: string): void {
  const escaped = layers.map((layer) => layer.replace(/[\\:,]/g, "\\$&"));
  const type = cstr("overlay");
  check(
    libcFiles().mount(
      ptr(type),
      ptr(cstr(target)),
      ptr(type),
      MS_RDONLY,
      ptr(cstr(`lowerdir=${escaped.join(":")}`)),
    ),
    "mount",
    target,
  );
}
