// SPDX-License-Identifier: Apache-2.0
// The part of a start that only a pod with limits, sysctls or labels needs: judges its isolators and makes the
// cgroups that they ask for.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { applyLayout, type LimitCgroups } from "../cgroup/apply-layout.ts";
import type { Layout } from "../cgroup/layout.ts";
import { removeCgroups } from "../cgroup/remove-cgroups.ts";
import type { Reporter } from "../lib/reporter.ts";
import { POD_FILES } from "../pod/read.ts";
import type { AppCgroups, PlanInput, SecurityLabel } from "../stage1/plan/input.ts";
import type { Sysctl } from "../stage1/sysctl.ts";
import { type IsolatedPod, type Isolation, planIsolation, reportUnenforced } from "./isolators.ts";

export interface LimitedPod {
  /** Parents first; empty without limits. */
  readonly directories: readonly string[];
  /** The pod's cgroup v2 instead of its usual one, when that has limits. */
  readonly unified: LimitCgroups["unified"];
  readonly sysctls: readonly Sysctl[];
  readonly cgroupsOf: (app: string) => AppCgroups | undefined;
  readonly labelOf: (app: string) => SecurityLabel | undefined;
  /** Undoes what was made. */
  readonly remove: () => void;
}

export interface LimitOptions {
  readonly network: PlanInput["network"];
  readonly strict: boolean;
  readonly report: Reporter;
}

const warning = (report: Reporter) => (sentence: string) => report.line("", `warning: ${sentence}`);

/** For `rkt prepare --strict`: throws when an isolator could not be enforced here. */
export function requireEnforceable(pod: IsolatedPod): void {
  const { unenforced } = planIsolation(pod, undefined);
  reportUnenforced(unenforced, { strict: true, warn: () => undefined });
}

export function limitPod(
  pod: IsolatedPod & { readonly path: string },
  { network, strict, report }: LimitOptions,
): LimitedPod {
  const isolation = planIsolation(pod, network);
  const options = { strict, warn: warning(report) };
  reportUnenforced(isolation.unenforced, options);
  note(pod.path, isolation.layout);
  const cgroups = applyLayout(isolation.layout);
  const remove = () => {
    removeCgroups(pod.uuid, cgroups.directories);
  };
  try {
    reportUnenforced(cgroups.unenforced, options);
  } catch (error) {
    remove();
    throw error;
  }
  return {
    directories: cgroups.directories,
    unified: cgroups.unified,
    sysctls: isolation.sysctls,
    cgroupsOf: (app) => cgroupsOf(app, cgroups, isolation),
    labelOf: (app) => isolation.labels.get(app),
    remove,
  };
}

function cgroupsOf(
  app: string,
  { joins, oomFiles }: LimitCgroups,
  { memory }: Isolation,
): AppCgroups | undefined {
  const directories = joins.get(app);
  if (directories === undefined) return undefined;
  return { directories, oomFile: oomFiles.get(app) ?? "", memoryLimit: memory.get(app) ?? "" };
}

/** Before anything is made, so that gc finds it whatever happens. */
function note(podPath: string, layout: Layout): void {
  const directories = layout.hierarchies.flatMap((hierarchy) => hierarchy.directories);
  if (directories.length === 0) return;
  const write = (name: string, text: string) =>
    writeFileSync(join(podPath, name), text, { mode: 0o640 });
  write(POD_FILES.cgroups, directories.map((directory) => `${directory}\n`).join(""));
  const subcgroup = layout.hierarchies.find((hierarchy) => hierarchy.version === 2)?.subcgroup;
  if (subcgroup !== undefined) write(POD_FILES.subcgroup, subcgroup);
}
