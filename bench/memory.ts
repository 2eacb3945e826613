// SPDX-License-Identifier: Apache-2.0
// Memory of one idle pod: the proportional set size of every process of ours, the app's own left out.
import { readdirSync, readFileSync } from "node:fs";
import type { Report } from "./report.ts";
import { must } from "./sample.ts";
import { IMAGE, type World } from "./world.ts";

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return "";
    throw error;
  }
}

/** `root` and all its descendants. */
function family(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    const stat = /^\d+$/.test(name) ? read(`/proc/${name}/stat`) : "";
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (stat !== "") parents.set(Number(name), Number(fields[1]));
  }
  const found = [root];
  for (const pid of found) {
    for (const [child, parent] of parents)
      if (parent === pid && !found.includes(child)) found.push(child);
  }
  return found;
}

function pssBytes(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0) * 1024;
}

export async function measureMemory(world: World): Promise<Report[]> {
  const child = Bun.spawn([...world.rkt("run", "--net=none", IMAGE, "--exec", "/bin/pause")], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
  });
  const isApp = (pid: number): boolean => read(`/proc/${pid}/cmdline`).startsWith("/bin/pause");
  const limit = Date.now() + 20_000;
  while (!family(child.pid).some(isApp)) {
    if (child.exitCode !== null || Date.now() > limit)
      throw new Error("the idle pod did not start");
    await Bun.sleep(50);
  }
  await Bun.sleep(1000);
  const members = family(child.pid);
  const ours = members.filter((pid) => !isApp(pid));
  const bytes = ours.reduce((sum, pid) => sum + pssBytes(pid), 0);
  const app = members.filter(isApp).reduce((sum, pid) => sum + pssBytes(pid), 0);
  child.kill("SIGTERM");
  await child.exited;
  must(world.rkt("gc", "--grace-period=0s"));
  const megabytes = bytes / 1e6;
  return [
    {
      title: "Memory of one idle pod (PSS)",
      rows: [
        { name: "rkt", value: megabytes, unit: "MB", note: `${ours.length} processes` },
        { name: "the app itself (a static C program)", value: app / 1e6, unit: "MB" },
      ],
      targets: [{ text: `at or under 0.8 MB: ${megabytes.toFixed(2)} MB`, met: megabytes <= 0.8 }],
    },
  ];
}
