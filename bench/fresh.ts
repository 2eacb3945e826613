// SPDX-License-Identifier: Apache-2.0
// Samples of programs that write much, each on a new file system.
import { mkdirSync } from "node:fs";
import { freemem } from "node:os";
import { join } from "node:path";
import type { Row } from "./report.ts";
import { median, must, type Sample, sample } from "./sample.ts";
import type { World } from "./world.ts";

/**
 * Uses so much memory and gives it back: on a virtual machine a page that the host has to find first costs ten
 * times what writing it costs, and whoever comes first would pay for all.
 */
function warmMemory(directory: string, bytes: number): void {
  must(["mount", "-t", "tmpfs", "-o", `size=${bytes + (64 << 20)}`, "tmpfs", directory]);
  must(["sh", "-c", 'head -c "$1" /dev/zero > "$2/warm"', "sh", String(bytes), directory]);
  must(["umount", directory]);
}

/**
 * Runs one sample on a new ext4 file system, whose image is in memory: what is compared is the work, not how
 * fast the machine's disk takes the dirty pages of the sample before.
 */
export function onFreshFileSystem(
  world: World,
  size: number,
  command: (mount: string) => readonly string[],
  prepare?: (mount: string) => void,
): Sample {
  const memory = world.dir.join("memory");
  const image = join(memory, "fs.img");
  const mount = world.dir.join("fs");
  mkdirSync(memory, { recursive: true });
  mkdirSync(mount, { recursive: true });
  // The page cache and the file system's image, each with the archive and the tree.
  warmMemory(memory, Math.floor(Math.min(1.4 * size, freemem() / 2)));
  must(["mount", "-t", "tmpfs", "-o", `size=${size + (64 << 20)}`, "tmpfs", memory]);
  must(["truncate", "-s", String(size), image]);
  must(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image]);
  must(["mount", "-o", "loop", image, mount]);
  try {
    prepare?.(mount);
    must(["sync"]);
    return sample(command(mount), 200);
  } finally {
    // podman leaves a mount of its storage on itself.
    must(["umount", "-R", mount]);
    must(["umount", memory]);
  }
}

/** A row in seconds; its note is the peak memory of the largest process of the command. */
export function secondsRow(name: string, samples: readonly Sample[]): Row {
  const values = samples.map((each) => each.milliseconds / 1000);
  return {
    name,
    value: median(values),
    unit: "s",
    range: [Math.min(...values), Math.max(...values)],
    note: `peak ${Math.round(peakOf(samples) / 1e6)} MB`,
  };
}

export const peakOf = (samples: readonly Sample[]): number =>
  Math.max(...samples.map((each) => each.peakBytes));
