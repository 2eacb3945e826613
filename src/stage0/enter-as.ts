// SPDX-License-Identifier: Apache-2.0
// Who `rkt enter --user --group` runs as: only somebody that the app could become by itself.
import { quote } from "../lib/text.ts";
import { boundingSet, SETGID, SETUID } from "../stage1/capabilities.ts";
import type { PlanApp, ResolvedIds } from "../stage1/plan/input.ts";
import { resolveIds } from "../stage1/resolve-user.ts";
import { Stage0Error } from "./errors.ts";

export interface Wanted {
  readonly user: string | undefined;
  readonly group: string | undefined;
}

/**
 * The ids of what enters `app`, whose names are looked up in its image at `imageRoot`. Throws ENTER_DENIED for one that
 * the app may not become, and what resolveIds throws.
 */
export function enterAs(app: PlanApp, imageRoot: string, { user, group }: Wanted): ResolvedIds {
  // The app's own as numbers: its names were resolved already.
  const { ids: wanted } = resolveIds(
    {
      user: user ?? String(app.ids.uid),
      group: group ?? String(app.ids.gid),
      supplementaryGIDs: app.ids.supplementaryGids,
    },
    imageRoot,
  );
  const { uid, gid, supplementaryGids } = app.ids;
  if (wanted.uid !== uid) demand("user", user, app, SETUID);
  if (wanted.gid !== gid && !supplementaryGids.includes(wanted.gid))
    demand("group", group, app, SETGID);
  return wanted;
}

function demand(kind: "user" | "group", name = "", app: PlanApp, capability: bigint): void {
  const cannot = `cannot enter the app as ${kind} ${quote(name)}`;
  if (app.ids.uid !== 0) {
    throw new Stage0Error("ENTER_DENIED", `${cannot}: the app runs as user ${app.ids.uid}`, {
      remedy: `without --${kind}: what enters an app has no more privilege than the app`,
    });
  }
  if ((boundingSet(app.app.isolators) & capability) === 0n) {
    const needed = kind === "user" ? "CAP_SETUID" : "CAP_SETGID";
    throw new Stage0Error("ENTER_DENIED", `${cannot}: the app lacks ${needed}`, {
      remedy: `run the pod with an app that retains ${needed}`,
    });
  }
}
