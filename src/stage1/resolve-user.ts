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

/** A user of the image, as its /etc/passwd has it. */
export interface Account {
  readonly name: string;
  readonly home: string;
}

export interface ResolvedUser {
  readonly ids: ResolvedIds;
  /** Where Docker's rules hold. */
  readonly account: Account | undefined;
}

export interface ResolveOptions {
  /** An image that came from Docker may name its user as group without having that group: then gid = uid. */
  readonly groupMayBeUser?: boolean | undefined;
  /**
   * USER of an image that was not converted. Without a group in it Docker takes the groups of the image's files: the
   * primary one, or root's for a number that is not listed, and those that the user is a member of.
   */
  readonly dockerUser?: string | undefined;
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
): ResolvedUser {
  return withImageRoot(rootfs, (rootFd) => {
    const { dockerUser, copiedFor } = options;
    const entry = dockerUser === undefined ? undefined : findAccount(rootFd, app.user);
    const uid = entry?.uid ?? resolve(rootFd, "user", app.user, copiedFor);
    if (uid === undefined) throw failure("user", app.user, rootFd);
    const given = app.supplementaryGIDs;
    if (dockerUser !== undefined && !/:./.test(dockerUser)) {
      const account = entry ?? unlisted(uid);
      const groups = given.length > 0 ? given : groupsOf(rootFd, account.name);
      return { ids: { uid, gid: account.gid, supplementaryGids: groups }, account };
    }
    const fallback = options.groupMayBeUser === true && app.group === app.user ? uid : undefined;
    const gid = resolve(rootFd, "group", app.group, copiedFor) ?? fallback;
    if (gid === undefined) throw failure("group", app.group, rootFd);
    const account = dockerUser === undefined ? undefined : (entry ?? unlisted(uid));
    return { ids: { uid, gid, supplementaryGids: given }, account };
  });
}

interface PasswdEntry extends Account {
  readonly uid: number;
  readonly gid: number;
}

/** Docker's idea of a number that the image does not know. */
const unlisted = (uid: number): PasswdEntry => ({
  name: uid === 0 ? "root" : String(uid),
  uid,
  gid: 0,
  home: "/",
});

/** The first line of the image's /etc/passwd that has this name or this number (passwd(5)). */
function findAccount(rootFd: number, user: string): PasswdEntry | undefined {
  for (const line of (readInRoot(rootFd, FILE.user) ?? "").split("\n")) {
    const [name = "", , uidText = "", gidText = "", , home = ""] = line.split(":");
    const uid = parseId(uidText);
    const gid = parseId(gidText);
    if (uid === undefined || gid === undefined || name === "") continue;
    if (name === user || uid === parseId(user)) return { name, uid, gid, home };
  }
  return undefined;
}

/** As many as setgroups(2) takes. */
const MAX_GROUPS = 65_536;

/** The groups whose line in the image's /etc/group has the user as a member (group(5)). */
function groupsOf(rootFd: number, user: string): readonly number[] {
  const groups = new Set<number>();
  for (const line of (readInRoot(rootFd, FILE.group) ?? "").split("\n")) {
    const [, , gidText = "", members = ""] = line.trimEnd().split(":");
    const gid = parseId(gidText);
    if (gid !== undefined && members.split(",").includes(user)) groups.add(gid);
  }
  return [...groups].slice(0, MAX_GROUPS);
}
