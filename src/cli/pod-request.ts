// SPDX-License-Identifier: Apache-2.0
// The flags that `run` and `prepare` share → what stage0 is asked for (rkt-cli §5.1). The order of the
// checks is the reference's: a script sees the same first complaint.
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { checkEnvironmentName, type EnvironmentVariable } from "../appc/index.ts";
import { RktError } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import type { PodSource } from "../stage0/prepare.ts";
import type { Invocation } from "./command.ts";
import type { PREPARE_FLAGS } from "./flag-sets.ts";

type Words = Pick<Invocation<typeof PREPARE_FLAGS>, "context" | "images" | "mounts"> & {
  readonly flags: Omit<Invocation<typeof PREPARE_FLAGS>["flags"], "quiet">;
  readonly given: (name: string) => boolean;
};

function refuse(message: string, remedy?: string): never {
  throw new RktError("USAGE", message, { remedy });
}

/** The pull policy after the deprecated flags had their say. */
export function pullPolicyOf(flags: {
  readonly "pull-policy": string;
  readonly "store-only": boolean;
  readonly "no-store": boolean;
}): string {
  if (flags["store-only"] && flags["no-store"]) {
    refuse("both --store-only and --no-store specified");
  }
  return flags["store-only"] ? "never" : flags["no-store"] ? "update" : flags["pull-policy"];
}

/** Refuses what this version cannot do, before anything is fetched. */
export function refuseUnavailable({ flags, given }: Words): void {
  for (const kind of ["url", "path", "name", "hash", "from-dir"] as const) {
    if (given(`stage1-${kind}`)) {
      refuse(
        `--stage1-${kind}: stage1 images are not available in this version`,
        "leave the flag out to use the built-in stage1",
      );
    }
  }
  if (flags["private-users"]) refuse("--private-users is not available in this version");
}

/** Needs the checks above done. `interactive` comes after the conflicts of --pod-manifest. */
export function podSource(words: Words, pullPolicy: string, interactive = false): PodSource {
  const { flags, images, mounts, context, given } = words;
  const manifest = flags["pod-manifest"];
  if (manifest !== "") {
    const conflict =
      images.length > 0 ||
      mounts.length > 0 ||
      pullPolicy !== "new" ||
      ["volume", "port", "inherit-env", "set-env", "set-env-file"].some(given);
    if (conflict) refuse("conflicting flags set with --pod-manifest (see --help)");
    return { kind: "manifest", file: resolve(context.cwd, manifest) };
  }
  if (interactive && images.length > 1) refuse("interactive option only supports one image");
  if (images.length === 0) refuse("must provide at least one image or specify the pod manifest");
  return {
    kind: "images",
    apps: images,
    options: {
      mounts,
      volumes: flags.volume,
      ports: flags.port,
      inheritedEnvironment: flags["inherit-env"] ? inherited(context.env) : [],
      fileEnvironment: readEnvironmentFiles(flags["set-env-file"], context.cwd),
      setEnvironment: [...flags["set-env"]].map(([name, value]) => ({ name, value })),
      caller: { uid: context.euid, gid: process.getegid?.() ?? 0 },
    },
  };
}

/** Variables whose names an app may not have (functions of bash, say) are not inherited. */
function inherited(env: Readonly<Record<string, string | undefined>>): EnvironmentVariable[] {
  const variables: EnvironmentVariable[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && /^[A-Za-z_][A-Za-z_0-9.-]*$/.test(name)) {
      variables.push({ name, value });
    }
  }
  return variables;
}

const MAX_ENVIRONMENT_FILE = 1024 * 1024;

function readEnvironmentFiles(files: readonly string[], cwd: string): EnvironmentVariable[] {
  const values = new Map<string, string>();
  for (const file of files) {
    const path = resolve(cwd, file);
    let text: string;
    try {
      if (statSync(path).size > MAX_ENVIRONMENT_FILE) refuse(`file ${quote(file)} is too large`);
      text = readFileSync(path, "utf8");
    } catch (error) {
      if (error instanceof RktError) throw error;
      throw new RktError("USAGE", `cannot read --set-env-file ${quote(file)}`, { cause: error });
    }
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
      checkEnvironmentName(name);
      values.set(name, line.slice(equals + 1));
    }
  }
  return [...values].map(([name, value]) => ({ name, value }));
}
