// SPDX-License-Identifier: Apache-2.0
// Users and groups of an app as numbers (rkt-runtime.md §7.6, appc.md §6.4).
import type { App } from "../appc/index.ts";
import { type IdRange, idInside } from "../lib/id-range.ts";
import { quote } from "../lib/text.ts";
import { Stage1Error } from "./errors.ts";
import { readInRoot, statInRoot, withImageRoot } from "./image-root.ts";
import type { ResolvedIds } from "./plan/input.ts";

/** The kernel's (uid_t)-1 means "no change" in many calls, so it is nobody. */
const MAX_ID = 0xffff_fffe;

type Kind = "user" | "group";

const FILE: Readonly<Record<Kind, string>> = { user: "/etc/passwd", group: "/etc/group" };

/** The number in the third field of the first line whose first field is `name` (passwd(5), group(5)). */
export function findIdByName(text: string, name: string): number | undefined {
  for (const line of text.split("\n")) {
    const fields = line.split(":");
    if (fields[0] !== name || fields.length < 3) continue;
    return parseId(fields[2] ?? "");
  }
  return undefined;
}

function parseId(text: string): number | undefined {
  if (!/^[0-9]{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_ID ? id : undefined;
}

function resolve(
  rootFd: number,
  kind: Kind,
  text: string,
  copiedFor?: IdRange,
): number | undefined {
  if (text === "root") return 0;
  // A number is a number, whatever names the image has (rkt; appc.md would look it up first).
  const id = parseId(text);
  if (id !== undefined) return id;
  if (text.startsWith("/")) {
    const stats = statInRoot(rootFd, text, false);
    const owner = kind === "user" ? stats?.uid : stats?.gid;
    return owner === undefined ? undefined : idInside(owner, copiedFor);
  }
  const table = readInRoot(rootFd, FILE[kind]);
  return table === undefined || text === "" ? undefined : findIdByName(table, text);
}

function failure(kind: Kind, text: string, rootFd: number): Stage1Error {
  const code = kind === "user" ? "USER_NOT_FOUND" : "GROUP_NOT_FOUND";
  const reason = text.startsWith("/")
    ? "no such file in the image"
    : readInRoot(rootFd, FILE[kind]) === undefined
      ? `the image has no ${FILE[kind]}`
      : `it is not in the image's ${FILE[kind]}`;
  return new Stage1Error(code, `failed to configure ${kind} ${quote(text)}: ${reason}`, {
    remedy: `--${kind}=NUMBER, or --${kind}=/PATH for the owner of a file in the image`,
    details: { [kind]: text },
  });
}

export interface ResolveOptions {
  /** An image that came from Docker may name its user as group without having that group: then gid = uid. */
  readonly groupMayBeUser?: boolean | undefined;
  /** The files of `rootfs` belong to these ids: they were copied for a user namespace. */
  readonly copiedFor?: IdRange | undefined;
}

/**
 * The ids that an app's user and group stand for in its root file system `rootfs` (a directory of the host).
 * Throws USER_NOT_FOUND or GROUP_NOT_FOUND.
 */
export function resolveIds(
  app: Pick<App, "user" | "group" | "supplementaryGIDs">,
  rootfs: string,
  options: ResolveOptions = {},
): ResolvedIds {
  return withImageRoot(rootfs, (rootFd) => {
    const uid = resolve(rootFd, "user", app.user, options.copiedFor);
    if (uid === undefined) throw failure("user", app.user, rootFd);
    const fallback = options.groupMayBeUser === true && app.group === app.user ? uid : undefined;
    const gid = resolve(rootFd, "group", app.group, options.copiedFor) ?? fallback;
    if (gid === undefined) throw failure("group", app.group, rootFd);
    return { uid, gid, supplementaryGids: app.supplementaryGIDs };
  });
}
