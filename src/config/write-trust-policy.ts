// SPDX-License-Identifier: Apache-2.0
// The administrator's trust policies as files: one for each prefix that `rkt trust` was told of.
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { fsyncDir, writeFileDurable } from "../sys/durable.ts";
import { removeFile } from "../sys/remove-file.ts";
import { ConfigError } from "./errors.ts";
import { loadConfig } from "./load-config.ts";
import { trustPolicyToJson } from "./trust-policy.ts";
import type { TrustPolicy } from "./types.ts";

const DIRECTORY = "trust.d";

/** Where `rkt trust` keeps the policy of a prefix. */
function policyPath(local: string, prefix: string): string {
  return join(local, DIRECTORY, `rkt-${prefix === "" ? "root" : encodeURIComponent(prefix)}.json`);
}

/** The policy that the local directory itself has for the prefix. */
export function localPolicy(local: string, prefix: string): TrustPolicy | undefined {
  return loadConfig({ system: "", local }).trustPolicies.get(prefix);
}

/** Writes a policy in place of the prefix's former one; refuses when another file has that. Returns the path. */
export function writeTrustPolicy(local: string, policy: TrustPolicy): string {
  const path = policyPath(local, policy.prefix);
  checkOwner(local, policy.prefix, path);
  guard(path, () => {
    const made = mkdirSync(join(local, DIRECTORY), { recursive: true, mode: 0o755 });
    if (made !== undefined) fsyncDir(local);
    const text = `${JSON.stringify(trustPolicyToJson(policy), null, 2)}\n`;
    writeFileDurable(path, text, 0o644);
  });
  return path;
}

/** Removes what `rkt trust` wrote for the prefix; returns the path, or undefined when there is none. */
export function removeTrustPolicy(local: string, prefix: string): string | undefined {
  const path = policyPath(local, prefix);
  if (localPolicy(local, prefix) === undefined) return undefined;
  checkOwner(local, prefix, path);
  guard(path, () => {
    removeFile(path);
    fsyncDir(join(local, DIRECTORY));
  });
  return path;
}

/** A file that somebody wrote by hand is theirs. */
function checkOwner(local: string, prefix: string, path: string): void {
  if (localPolicy(local, prefix) === undefined || existsSync(path)) return;
  throw new ConfigError(
    "CONFIG_INVALID",
    `another file of ${quote(join(local, DIRECTORY))} has the trust policy for ${quote(prefix)}`,
    { remedy: "change that file, or take the prefix out of it" },
  );
}

function guard(path: string, write: () => void): void {
  try {
    write();
  } catch (cause) {
    if (!isErrno(cause, "EACCES", "EPERM", "EROFS", "ENOSPC", "ENOTDIR")) throw cause;
    throw new ConfigError("CONFIG_UNWRITABLE", `cannot write the trust policy ${quote(path)}`, {
      cause,
      remedy: isErrno(cause, "EACCES", "EPERM")
        ? "run as root or as a member of the group rkt-admin"
        : undefined,
    });
  }
}
