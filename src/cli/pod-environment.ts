// SPDX-License-Identifier: Apache-2.0
// Environment variables that come from outside of the command line: the caller's (--inherit-env) and those of
// files (--set-env-file; rkt-cli §5.1).
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { checkEnvironmentName, type EnvironmentVariable } from "../appc/index.ts";
import { RktError } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";

/** Variables whose names an app may not have (functions of bash, say) are not inherited. */
export function inheritedEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): EnvironmentVariable[] {
  const variables: EnvironmentVariable[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && /^[A-Za-z_][A-Za-z_0-9.-]*$/.test(name)) {
      variables.push({ name, value });
    }
  }
  return variables;
}

const MAX_ENVIRONMENT_FILE = 1024 * 1024;

/**
 * --set-env-file: NAME=VALUE lines; blank ones and those that begin with `#` or `;` are skipped. A name may
 * stand in one file only.
 */
export function readEnvironmentFiles(files: readonly string[], cwd: string): EnvironmentVariable[] {
  const values = new Map<string, string>();
  for (const file of files) {
    const text = readText(resolve(cwd, file), file);
    for (const raw of text.split("\n")) {
      const line = raw.trim();
      if (line === "" || line.startsWith("#") || line.startsWith(";")) continue;
      const equals = line.indexOf("=");
      if (equals <= 0) {
        refuse(`environment variable must be specified as name=value (file ${quote(file)})`);
      }
      const name = line.slice(0, equals);
      if (values.has(name)) {
        refuse(`environment variable ${quote(name)} already set (file ${quote(file)})`);
      }
      checkName(name, file);
      values.set(name, line.slice(equals + 1));
    }
  }
  return [...values].map(([name, value]) => ({ name, value }));
}

function readText(path: string, file: string): string {
  try {
    if (statSync(path).size > MAX_ENVIRONMENT_FILE) refuse(`file ${quote(file)} is too large`);
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof RktError) throw error;
    throw new RktError("USAGE", `cannot read --set-env-file ${quote(file)}`, { cause: error });
  }
}

function checkName(name: string, file: string): void {
  try {
    checkEnvironmentName(name);
  } catch (error) {
    if (!(error instanceof RktError)) throw error;
    refuse(`${error.message} (file ${quote(file)})`);
  }
}

function refuse(message: string): never {
  throw new RktError("USAGE", message);
}
