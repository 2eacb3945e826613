// SPDX-License-Identifier: Apache-2.0
// Environment variables of an app. (appc.md section 1.11)

import { quote } from "../lib/text.ts";
import { ManifestError } from "./errors.ts";
import type { EnvironmentVariable } from "./types.ts";

/** The name's characters only: the rule that manifests and `--environment` share. */
export function checkEnvironmentName(name: string): void {
  if (name === "") throw invalid("environment variable name must not be empty");
  if (!/^[A-Za-z_][A-Za-z_0-9.-]*$/.test(name)) {
    throw invalid(`environment variable does not have valid identifier ${quote(name)}`);
  }
}

export function checkEnvironment(
  environment: readonly EnvironmentVariable[],
): readonly EnvironmentVariable[] {
  const seen = new Set<string>();
  for (const { name } of environment) {
    checkEnvironmentName(name);
    if (seen.has(name)) throw invalid(`duplicate environment variable of name ${quote(name)}`);
    seen.add(name);
  }
  return environment;
}

function invalid(message: string): ManifestError {
  return new ManifestError("MANIFEST_INVALID", message);
}
