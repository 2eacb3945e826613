// SPDX-License-Identifier: Apache-2.0
// Kills a command at each of its state-changing system calls in turn, on the executable as it is: strace
// injects the signal, so nothing in the program knows that it is being tested.
import { cpSync, rmSync } from "node:fs";
import type { Rkt } from "./rkt.ts";

/** Calls that change what others see; a name that the kernel or strace does not know is left out by `?`. */
const CALLS = [
  "rename,renameat,renameat2",
  "mkdir,mkdirat",
  "unlink,unlinkat,rmdir",
  "link,linkat,symlink,symlinkat",
  "fsync,fdatasync,syncfs",
  "ftruncate,fallocate",
  "mount,umount2,move_mount",
] as const;

export interface CrashOptions {
  readonly rkt: Rkt;
  /** The command to kill. */
  readonly args: readonly string[];
  /** SIGKILL at the call, or the call fails with this error. */
  readonly fault?: "KILL" | "ENOSPC" | "EIO";
  /** Runs after each kill, on what was left. `at` names the place, for failure messages. */
  readonly check: (at: string) => Promise<void>;
  /** At most so many places of each kind of call; further ones are taken at growing steps. */
  readonly places?: number;
}

/**
 * Runs the command again and again from the same state, killed one call later each time, until it gets
 * through. Gives the number of places where it was killed.
 */
export async function crashEverywhere(options: CrashOptions): Promise<number> {
  const { rkt, args, check, fault = "KILL", places = 40 } = options;
  const state = `${rkt.work}/state-before`;
  cpSync(rkt.data, state, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  let killed = 0;
  for (const calls of CALLS) {
    const inject = fault === "KILL" ? "signal=KILL" : `error=${fault}`;
    for (let nth = 1, step = 1; ; nth += step) {
      if (nth > places) step *= 2;
      rmSync(rkt.data, { recursive: true, force: true });
      cpSync(state, rkt.data, {
        recursive: true,
        preserveTimestamps: true,
        verbatimSymlinks: true,
      });
      const log = `${rkt.work}/strace`;
      const result = await rkt.run(args, {
        under: [
          "strace",
          "-f",
          "-qq",
          "-o",
          log,
          "-e",
          `trace=${calls}`,
          "-e",
          `inject=${calls}:${inject}:when=${nth}`,
        ],
      });
      const reached = (await Bun.file(log).text()).includes(
        fault === "KILL" ? "killed by SIGKILL" : "(INJECTED)",
      );
      if (!reached) break;
      killed += 1;
      await check(`${fault} at ${calls} number ${nth}, status ${result.status}: ${result.stderr}`);
    }
  }
  rmSync(rkt.data, { recursive: true, force: true });
  cpSync(state, rkt.data, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  return killed;
}
