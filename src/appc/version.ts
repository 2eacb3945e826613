// SPDX-License-Identifier: Apache-2.0
// The acVersion field. (appc.md section 1.4)

import { formatSemVer, parseSemVer } from "../lib/semver.ts";
import { SPECIFICATION } from "../lib/version.ts";
import { ManifestError } from "./errors.ts";
import type { ACVersion } from "./types.ts";

/** The version of the specification that this implementation follows, and writes. */
export const AC_VERSION = SPECIFICATION as ACVersion;

export function parseACVersion(text: string): ACVersion {
  // Most manifests; it spares `rkt run` the first use of a regular expression (0.1 ms).
  if (text === AC_VERSION) return AC_VERSION;
  const version = parseSemVer(text);
  if (version === undefined) throw new ManifestError("VERSION_INVALID", "SemVer is bad");
  const canonical = formatSemVer(version);
  if (canonical === "0.0.0") throw new ManifestError("VERSION_INVALID", "SemVer cannot be zero");
  return canonical as ACVersion;
}

/** Compatibility goes by the major version: why an older one is too old, undefined when it is not. */
export function outdatedACVersion(found: ACVersion): string | undefined {
  const major = parseSemVer(found)?.major ?? 0;
  const expected = parseSemVer(AC_VERSION)?.major ?? 0;
  if (major >= expected) return undefined;
  return `ACVersion too old. Found major version ${major}, expected ${expected}`;
}
