// SPDX-License-Identifier: Apache-2.0
/** Asks modprobe(8) for a kernel module; false when it cannot be had. */
export function loadModule(name: string): boolean {
  return (
    Bun.spawnSync(["/sbin/modprobe", name], { stdio: ["ignore", "ignore", "ignore"] }).exitCode ===
    0
  );
}
