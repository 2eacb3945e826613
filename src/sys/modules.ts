// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";

/** Asks modprobe(8) for a kernel module; false when it cannot be had. */
export function loadModule(name: string): boolean {
  return spawnSync("/sbin/modprobe", [name], { stdio: "ignore" }).status === 0;
}
