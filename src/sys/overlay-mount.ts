// SPDX-License-Identifier: Apache-2.0
// The union of several directories as a mount that is attached nowhere: it exists as a descriptor, can be looked
// into by openat2(2), and is gone when that is closed. Nothing of the host's mounts changes.
import { closeSync } from "node:fs";
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH } from "./constants.ts";
import { check, cstr, libc, ptr } from "./libc.ts";

// The numbers are the same on all architectures (fsopen(2)).
const SYS_FSOPEN = 430;
const SYS_FSCONFIG = 431;
const SYS_FSMOUNT = 432;
const SYS_MOVE_MOUNT = 429;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
/** MOUNT_ATTR_RDONLY, _NOSUID, _NODEV, _NOEXEC: it is only looked into, by processes without privilege too. */
const LOOK_ONLY = 15;

export interface DetachedMount extends Disposable {
  /** Its root, O_PATH-like: to open things below. */
  readonly fd: number;
  /** The root as a path of this process, good while the mount is not disposed. */
  readonly path: string;
}

/**
 * Mounts the union of `layers`, the uppermost first, at least two (overlayfs takes no single one), read-only and
 * attached nowhere. Whiteouts and opaque directories count. Needs CAP_SYS_ADMIN.
 */
export function mountDetachedOverlay(layers: readonly string[]): DetachedMount {
  const context = check(
    libc.syscall(SYS_FSOPEN, Number(ptr(cstr("overlay"))), FSOPEN_CLOEXEC, 0, 0, 0, 0),
    "fsopen",
    "overlay",
  );
  const opened: number[] = [];
  try {
    for (const layer of layers) opened.push(openLayer(layer));
    setLayers(
      context,
      opened.map((fd) => `/proc/self/fd/${fd}`),
    );
    check(libc.syscall(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, 0, 0, 0, 0), "fsconfig");
    const fd = check(
      libc.syscall(SYS_FSMOUNT, context, FSMOUNT_CLOEXEC, LOOK_ONLY, 0, 0, 0),
      "fsmount",
      "overlay",
    );
    let open = true;
    return {
      fd,
      path: `/proc/self/fd/${fd}/.`,
      [Symbol.dispose]() {
        if (open) closeSync(fd);
        open = false;
      },
    };
  } finally {
    for (const fd of opened) closeSync(fd);
    closeSync(context);
  }
}

/** move_mount(2): the mount appears at a directory of this process's mount namespace. */
export function attachMount(mount: DetachedMount, target: string): void {
  const [empty, path] = [cstr(""), cstr(target)];
  check(
    libc.syscall(
      SYS_MOVE_MOUNT,
      mount.fd,
      Number(ptr(empty)),
      AT_FDCWD,
      Number(ptr(path)),
      MOVE_MOUNT_F_EMPTY_PATH,
      0,
    ),
    "move_mount",
    target,
  );
}

function openLayer(path: string): number {
  const flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  return check(libc.openat(AT_FDCWD, ptr(cstr(path)), flags, 0), "open", path);
}

function setLayers(context: number, paths: readonly string[]): void {
  for (const [i, path] of paths.entries()) {
    const result = setString(context, "lowerdir+", path);
    // Before Linux 6.5 all of them are one option, of at most 255 bytes.
    if (result !== 0 && i === 0) {
      check(setString(context, "lowerdir", paths.join(":")), "fsconfig", "lowerdir");
      return;
    }
    check(result, "fsconfig", "lowerdir+");
  }
}

function setString(context: number, key: string, value: string): number {
  // SAFETY: both strings live until the call is over; the kernel copies them (fsconfig(2)).
  const [name, text] = [cstr(key), cstr(value)];
  return Number(
    libc.syscall(
      SYS_FSCONFIG,
      context,
      FSCONFIG_SET_STRING,
      Number(ptr(name)),
      Number(ptr(text)),
      0,
      0,
    ),
  );
}
