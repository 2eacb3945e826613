// SPDX-License-Identifier: Apache-2.0
// What of the kernel's own file systems an app may not see or change (rkt-runtime.md §9, path protection).
// /sys is read-only as a whole, and so is /proc/sys, as systemd-nspawn made them for rkt: a process of uid 0
// could otherwise set the host's parameters, capabilities or not.

/** Subtrees that become read-only. */
export const READ_ONLY_PATHS = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
] as const;

/** Files and directories that become inaccessible. */
export const MASKED_PATHS = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/config.gz",
  // When keys are pressed and packets come: another's secrets by their timing.
  "/proc/interrupts",
  "/proc/kallsyms",
  "/proc/kcore",
  "/proc/keys",
  "/proc/kmem",
  // Open to uid 0 without any capability: what lies where in physical memory, and in the kernel's.
  "/proc/kpagecgroup",
  "/proc/kpagecount",
  "/proc/kpageflags",
  "/proc/latency_stats",
  "/proc/mem",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/slabinfo",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/vmallocinfo",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
  "/sys/fs",
  "/sys/hypervisor",
  "/sys/module",
  "/sys/power",
] as const;
