// SPDX-License-Identifier: Apache-2.0
// The environment of an app's processes (rkt-runtime.md §7.5, appc.md §6.4).
import type { App } from "../appc/index.ts";
import type { Account } from "./resolve-user.ts";

/** appc's PATH for an app that sets none. */
export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const DEFAULTS = [
  ["PATH", DEFAULT_PATH],
  ["SHELL", "/bin/sh"],
  ["USER", "root"],
  ["LOGNAME", "root"],
  ["HOME", "/root"],
] as const;

const accountVariables = (account: Account | undefined): readonly (readonly [string, string])[] =>
  account === undefined
    ? []
    : [
        ["USER", account.name],
        ["LOGNAME", account.name],
        ["HOME", account.home === "" ? "/" : account.home],
      ];

/**
 * The app's variables (stage0 has merged image, flags and files), what is missing of the defaults, and what
 * rkt always sets. Sorted by the order of setting; names are unique.
 */
export function appEnvironment(
  app: Pick<App, "environment">,
  options: {
    readonly appName: string;
    readonly metadataUrl?: string | undefined;
    /** The line of the image's /etc/passwd to take the defaults from. */
    readonly account?: Account | undefined;
  },
): readonly (readonly [name: string, value: string])[] {
  const variables = new Map<string, string>();
  for (const { name, value } of app.environment) variables.set(name, value);
  for (const [name, value] of accountVariables(options.account)) {
    if (!variables.has(name)) variables.set(name, value);
  }
  for (const [name, value] of DEFAULTS) if (!variables.has(name)) variables.set(name, value);
  variables.set("AC_APP_NAME", options.appName);
  if (options.metadataUrl !== undefined) variables.set("AC_METADATA_URL", options.metadataUrl);
  // appc.md §6.4 wants the executor's name; an app that sets its own keeps it.
  if (!variables.has("container")) variables.set("container", "rkt");
  return [...variables];
}
