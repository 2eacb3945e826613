// SPDX-License-Identifier: Apache-2.0
// Makes the cgroups of a layout and writes their limits.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import type { HierarchyLayout, Layout, Unenforced, Write } from "./layout.ts";
import { removeDirectories } from "./remove-cgroups.ts";

/** What stage1 needs to know of the cgroups that were made. */
export interface LimitCgroups {
  /** Every directory, parents first. */
  readonly directories: readonly string[];
  /** The pod's directory in v2, and the one in it for PID 1; undefined without limits there. */
  readonly unified: { readonly pod: string; readonly init: string } | undefined;
  /** App → directories whose `cgroup.procs` it is written into. */
  readonly joins: ReadonlyMap<string, readonly string[]>;
  /** App → the file that counts kills for want of memory. */
  readonly oomFiles: ReadonlyMap<string, string>;
  readonly unenforced: readonly Unenforced[];
}

/**
 * What cannot be made or written is in `unenforced`, with the kernel's reason; nothing is thrown for it. The caller
 * has noted the directories before, so that `removeCgroups` finds them whatever happens.
 */
export function applyLayout(layout: Layout): LimitCgroups {
  const made = layout.hierarchies.map(applyHierarchy);
  const kept = made.filter((result) => result.hierarchy !== undefined);
  const joins = new Map<string, string[]>();
  const oomFiles = new Map<string, string>();
  let unified: LimitCgroups["unified"];
  for (const { hierarchy } of kept) {
    const pod = hierarchy?.directories[0];
    if (hierarchy?.init !== undefined && pod !== undefined) unified = { pod, init: hierarchy.init };
    for (const [app, directory] of hierarchy?.apps ?? []) {
      joins.set(app, [...(joins.get(app) ?? []), directory]);
      if (hierarchy?.controllers.includes("memory") !== true) continue;
      const file = hierarchy.version === 1 ? "memory.oom_control" : "memory.events";
      oomFiles.set(app, join(directory, file));
    }
  }
  return {
    directories: kept.flatMap(({ hierarchy }) => hierarchy?.directories ?? []),
    unified,
    joins,
    oomFiles,
    unenforced: made.flatMap((result) => result.unenforced),
  };
}

interface Applied {
  readonly hierarchy: HierarchyLayout | undefined;
  readonly unenforced: readonly Unenforced[];
}

function applyHierarchy(hierarchy: HierarchyLayout): Applied {
  const { directories, writes } = hierarchy;
  const made: string[] = [];
  try {
    for (const directory of directories) {
      mkdirSync(directory, { mode: 0o755 });
      made.push(directory);
    }
  } catch (error) {
    removeDirectories(made);
    return { hierarchy: undefined, unenforced: all(writes, reasonOf(error)) };
  }
  const unenforced: Unenforced[] = [];
  for (const write of writes) {
    try {
      writeFileSync(join(write.directory, write.file), write.text, { flag: "r+" });
    } catch (error) {
      if (write.optional === true && isErrno(error, "ENOENT", "EOPNOTSUPP")) continue;
      if (write.isolator === "") {
        // Without the controllers of the children there is no limit at all.
        removeDirectories(made);
        return { hierarchy: undefined, unenforced: all(writes, reasonOf(error)) };
      }
      unenforced.push({ app: write.app, isolator: write.isolator, reason: reasonOf(error) });
    }
  }
  return { hierarchy, unenforced: distinct(unenforced) };
}

function all(writes: readonly Write[], reason: string): Unenforced[] {
  const wanted = writes.filter(({ isolator }) => isolator !== "");
  return distinct(wanted.map(({ app, isolator }) => ({ app, isolator, reason })));
}

function distinct(list: readonly Unenforced[]): Unenforced[] {
  const first = new Map(list.map((item) => [`${item.app ?? ""} ${item.isolator}`, item]));
  return [...first.values()];
}

function reasonOf(error: unknown): string {
  if (isErrno(error, "EINVAL")) return "the cgroup around this process allows less";
  return error instanceof Error ? error.message.replace(/^E[A-Z0-9]+: /, "") : String(error);
}
