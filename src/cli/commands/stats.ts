// SPDX-License-Identifier: Apache-2.0
// `rkt stats` (not in rkt): CPU, memory, tasks and disk traffic of each app of running pods, once or again and again.
import { humanizeBytes } from "../../lib/humanize.ts";
import { findPod, listPods, type PodRef, resolvePod } from "../../pod/directory.ts";
import { Stage0Error } from "../../stage0/errors.ts";
import { type AppUsage, readUsage } from "../../stage0/stats.ts";
import type { Run } from "../command.ts";
import type { Context } from "../context.ts";
import type { statsFlags } from "../flag-sets.ts";
import { formatJson } from "../json.ts";
import { formatTable } from "../table.ts";

/** An app's CPU time at the last look, to tell what it used since. */
interface Look {
  readonly at: number;
  readonly cpuSeconds: number;
}

const CLEAR_SCREEN = "\x1b[H\x1b[2J";

export const run: Run<typeof statsFlags> = async ({ context, flags, args }) => {
  const dataDir = await context.dataDir();
  const named = args.map((word) => running(resolvePod(dataDir, word)).uuid);
  const last = new Map<string, Look>();
  for (;;) {
    const pods =
      args.length === 0
        ? listPods(dataDir, ["run"])
        : named.flatMap((uuid) => findPod(dataDir, uuid) ?? []);
    const live = pods.filter((pod) => pod.state === "running");
    if (args.length > 0 && live.length === 0) return 0;
    live.sort((a, b) => (a.uuid < b.uuid ? -1 : 1));
    const usages = readUsage(live).map((usage) => ({ usage, percent: percentOf(usage, last) }));
    print(context, flags, usages);
    if (flags.watch === 0) return 0;
    await Bun.sleep(flags.watch);
  }
};

function running(pod: PodRef): PodRef {
  if (pod.state === "running") return pod;
  throw new Stage0Error("POD_STATE", `pod "${pod.uuid}" isn't currently running`, {
    details: { state: pod.state },
    remedy: "rkt list shows what runs",
  });
}

/** Of one CPU: since the last look, at the first one since the app started. */
function percentOf(usage: AppUsage, last: Map<string, Look>): number {
  const key = `${usage.uuid} ${usage.app}`;
  const now: Look = { at: usage.age, cpuSeconds: usage.cpuSeconds.value };
  const before = last.get(key) ?? { at: 0, cpuSeconds: 0 };
  last.set(key, now);
  const passed = now.at - before.at;
  if (passed <= 0) return 0;
  return Math.max(0, ((now.cpuSeconds - before.cpuSeconds) / passed) * 100);
}

interface Shown {
  readonly usage: AppUsage;
  readonly percent: number;
}

function print(
  context: Context,
  flags: Parameters<typeof run>[0]["flags"],
  list: readonly Shown[],
): void {
  if (flags.format !== "") {
    // Not rkt's command, so not rkt's `null` for an empty list.
    const text = list.length === 0 ? "[]" : formatJson(list.map(describe), flags.format);
    context.out(`${text}\n`);
    return;
  }
  const rows = list.map((shown) => row(shown, flags.full));
  if (!flags["no-legend"]) rows.unshift([...LEGEND]);
  const again = flags.watch !== 0 && context.isTTY(1);
  context.out(`${again ? CLEAR_SCREEN : ""}${formatTable(rows)}`);
}

const LEGEND = ["UUID", "APP", "CPU%", "CPU TIME", "MEMORY", "LIMIT", "PIDS", "READ", "WRITTEN"];

function row({ usage, percent }: Shown, full: boolean): string[] {
  const bytes = (n: number | undefined) => (n === undefined ? "-" : humanizeBytes(n));
  return [
    full ? usage.uuid : usage.uuid.slice(0, 8),
    usage.app,
    percent.toFixed(1),
    `${usage.cpuSeconds.value.toFixed(2)}s`,
    bytes(usage.memory?.value),
    bytes(usage.memoryLimit),
    String(usage.tasks.value),
    bytes(usage.io?.value.read),
    bytes(usage.io?.value.written),
  ];
}

const round = (n: number): number => Math.round(n * 1e6) / 1e6;

function describe({ usage, percent }: Shown): Readonly<Record<string, unknown>> {
  return {
    uuid: usage.uuid,
    app: usage.app,
    cpu_percent: round(percent),
    cpu_seconds: round(usage.cpuSeconds.value),
    memory_bytes: usage.memory?.value,
    memory_limit_bytes: usage.memoryLimit,
    pids: usage.tasks.value,
    read_bytes: usage.io?.value.read,
    written_bytes: usage.io?.value.written,
    // Who counted: the kernel for the app's cgroup, or we over its processes.
    sources: {
      cpu: usage.cpuSeconds.source,
      memory: usage.memory?.source,
      pids: usage.tasks.source,
      io: usage.io?.source,
    },
  };
}
