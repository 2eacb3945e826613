// SPDX-License-Identifier: Apache-2.0
// The flags that `run` and `prepare` share → what stage0 is asked for (rkt-cli §5.1). The order of the
// checks is the reference's: a script sees the same first complaint.
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import type { PullPolicy } from "../fetch/index.ts";
import { RktError } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import type { HostsEntry } from "../network/dns.ts";
import { type NetworkRequest, networkMode } from "../network/net-list.ts";
import { hostOverlayProblem } from "../stage0/overlay.ts";
import type { PodSource } from "../stage0/prepare.ts";
import type { StartOptions } from "../stage0/start.ts";
import type { Invocation } from "./command.ts";
import type { Context } from "./context.ts";
import type { prepareFlags } from "./flag-sets.ts";
import { inheritedEnvironment, readEnvironmentFiles } from "./pod-environment.ts";

type Words = Pick<Invocation<typeof prepareFlags>, "context" | "images" | "mounts"> & {
  readonly flags: Omit<Invocation<typeof prepareFlags>["flags"], "quiet">;
  given(name: string): boolean;
};

function refuse(message: string, remedy?: string): never {
  throw new RktError("USAGE", message, { remedy });
}

/** The pull policy after the deprecated flags had their say. */
export function pullPolicyOf(flags: {
  readonly "pull-policy": PullPolicy;
  readonly "store-only": boolean;
  readonly "no-store": boolean;
}): PullPolicy {
  if (flags["store-only"] && flags["no-store"]) {
    refuse("both --store-only and --no-store specified");
  }
  return flags["store-only"] ? "never" : flags["no-store"] ? "update" : flags["pull-policy"];
}

/** Refuses what this version cannot do, before anything is fetched. */
export function refuseUnavailable({ given }: Words): void {
  for (const kind of ["url", "path", "name", "hash", "from-dir"] as const) {
    if (given(`stage1-${kind}`)) {
      refuse(
        `--stage1-${kind}: stage1 images are not available in this version`,
        "leave the flag out to use the built-in stage1",
      );
    }
  }
}

/** --private-users: refuses where it could only fail later. */
export async function checkPrivateUsers(): Promise<void> {
  const { requireUserNamespaces } = await import("../stage0/user-namespace.ts");
  requireUserNamespaces();
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
      inheritedEnvironment: flags["inherit-env"] ? inheritedEnvironment(context.env) : [],
      fileEnvironment: readEnvironmentFiles(flags["set-env-file"], context.cwd),
      setEnvironment: [...flags["set-env"]].map(([name, value]) => ({ name, value })),
      caller: { uid: context.euid, gid: process.getegid?.() ?? 0 },
    },
  };
}

interface StartFlags {
  readonly dns: readonly (readonly string[])[];
  readonly "dns-search": readonly string[];
  readonly "dns-opt": readonly string[];
  readonly "dns-domain": string;
  readonly "hosts-entry": readonly ("host" | readonly HostsEntry[])[];
  readonly interactive: boolean;
  readonly hostname: string;
  readonly ipc: string;
  readonly "log-prefix": string;
  readonly "mds-register": boolean;
  readonly strict: boolean;
}

/** What cannot go together, and what this version cannot start. */
export function checkStartFlags(
  flags: Pick<StartFlags, "mds-register" | "ipc"> & { readonly port: readonly unknown[] },
  networks: readonly NetworkRequest[],
): void {
  const joins = (name: string) => networks.some((network) => network.name === name);
  for (const name of ["none", "host"]) {
    if (flags.port.length > 0 && joins(name)) {
      refuse(`--port flag does not work with '${name}' networking`);
    }
  }
  if (flags["mds-register"] && joins("none")) {
    refuse(
      "--mds-register flag does not work with --net=none. Please use 'host', 'default' or an equivalent network",
    );
  }
  if (!["", "auto", "private"].includes(flags.ipc)) {
    refuse(
      flags.ipc === "parent"
        ? "--ipc=parent is not available in this version"
        : `unknown value for --ipc parameter: ${quote(flags.ipc).slice(1, -1)}`,
    );
  }
}

export function startOptions(
  context: Context,
  flags: StartFlags,
  networks: readonly NetworkRequest[],
): StartOptions {
  const prefix = flags["log-prefix"];
  return {
    commandName: context.commandName,
    network: networkMode(networks),
    networks,
    networkConfig: context.globals,
    hostname: flags.hostname,
    interactive: flags.interactive && { terminal: context.isTTY(0) },
    insecure: context.globals.insecure,
    logPrefix: prefix === "always" || prefix === "never" ? prefix : "auto",
    dns: {
      servers: flags.dns.flat(),
      search: flags["dns-search"],
      options: flags["dns-opt"],
      domain: flags["dns-domain"],
    },
    hosts: flags["hosts-entry"],
    strict: flags.strict,
    activation: activationOf(context.env),
    metadataService: flags["mds-register"],
  };
}

function activationOf(env: Context["env"]): StartOptions["activation"] {
  const count = env["LISTEN_FDS"];
  return count === undefined ? undefined : { pid: env["LISTEN_PID"] ?? "", count };
}

/** Overlay unless the user or the machine says otherwise. */
export async function overlayWanted(context: Context, noOverlay: boolean): Promise<boolean> {
  if (noOverlay) return false;
  await context.store();
  const problem = hostOverlayProblem(await context.dataDir());
  if (problem !== undefined) context.reporter.line("", `disabling overlay support: "${problem}"`);
  return problem === undefined;
}

/** --uuid-file-save: the canonical UUID and nothing else, as soon as there is one. */
export function saveUuid(context: Context, file: string, uuid: string): void {
  if (file === "") return;
  try {
    writeFileSync(resolve(context.cwd, file), uuid, { mode: 0o644 });
  } catch (error) {
    throw new RktError("UUID_FILE", `cannot save the UUID to ${quote(file)}`, { cause: error });
  }
}
