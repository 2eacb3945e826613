// SPDX-License-Identifier: Apache-2.0
// Plugins that outlived the rkt that was killed while they worked, and what they started: they would go on making
// what is undone now. They are known by the environment that they inherited.
import { readdirSync, readFileSync } from "node:fs";
import { isErrno } from "../../lib/errors.ts";

const PATIENCE_MS = 5000;

/** Ends them. Only for a pod whose rkt is gone: it asks whether plugins add this pod to networks. */
export async function endPluginsOf(uuid: string): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (let left = pluginsOf(uuid); left.length > 0; left = pluginsOf(uuid)) {
    for (const pid of left) kill(pid);
    if (performance.now() > end) return;
    await Bun.sleep(5);
  }
}

function pluginsOf(uuid: string): number[] {
  const wanted = ["CNI_COMMAND=ADD", `CNI_CONTAINERID=${uuid}`];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const environment = environmentOf(pid).split("\0");
      return wanted.every((variable) => environment.includes(variable));
    })
    .map(Number);
}

/** "" of a kernel thread, a zombie, or a process that has just ended. */
function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return "";
    throw error;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error;
  }
}
