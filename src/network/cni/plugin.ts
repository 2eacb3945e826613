// SPDX-License-Identifier: Apache-2.0
// Finds a plugin's executable and runs it once: CNI specification, section 2.
import { accessSync, constants, statSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../lib/errors.ts";
import { quote } from "../../lib/text.ts";
import { type ProgramOutcome, runProgram } from "../../sys/run-program.ts";
import type { NetworkTarget } from "../driver.ts";
import { NetworkError } from "../errors.ts";
import { excerpt, OutputError, parseFailure, parseVersions } from "./result.ts";

export type CniCommand = "ADD" | "CHECK" | "DEL" | "GC" | "VERSION";

export interface CniHost {
  /** Rocket's data directory; results are kept in `cni/results` below it. */
  readonly dataDirectory: string;
  /** Where plugins are looked for, in order; see `pluginDirectories`. */
  readonly pluginDirectories: readonly string[];
  /** A plugin that takes longer is killed. Default: two minutes, as a DHCP server may need one. */
  readonly timeoutMs?: number;
}

export interface CniCall {
  readonly command: CniCommand;
  readonly networkName: string;
  readonly type: string;
  /** The configuration, without GC's and VERSION's need for a target. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly target: NetworkTarget | undefined;
  readonly args: string;
}

/** Rocket's own directories (rkt-runtime §10.3), then those of CNI and of the distributions. */
export function pluginDirectories(localConfig: string): readonly string[] {
  return [
    join(localConfig, "net.d"),
    "/usr/lib/rkt/plugins/net",
    "/opt/cni/bin",
    "/usr/lib/cni",
    "/usr/libexec/cni",
  ];
}

const TIMEOUT_MS = 120_000;
const MAX_OUTPUT = 1 << 20;
/** Plugins call iptables, nft, ip and sysctl by name. */
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** The specification's code for a version that the plugin does not know. */
const INCOMPATIBLE_VERSION = 1;

export function findPlugin(type: string, directories: readonly string[]): string {
  for (const directory of directories) {
    const path = join(directory, type);
    if (statSync(path, { throwIfNoEntry: false })?.isFile() && isExecutable(path)) return path;
  }
  throw new NetworkError("CNI_PLUGIN_MISSING", `could not find plugin ${quote(type)}`, {
    remedy: `install the CNI plugins (Debian: containernetworking-plugins); looked in ${directories.join(", ")}`,
    details: { type },
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch (error) {
    if (isErrno(error, "EACCES")) return false;
    throw error;
  }
}

/** What the plugin printed on success. Throws CNI_PLUGIN_FAILED with one sentence otherwise. */
export async function callPlugin(call: CniCall, host: CniHost): Promise<string> {
  const outcome = await execute(call, host);
  const { end } = outcome;
  if (end.kind === "exited" && end.status === 0) return outcome.stdout;
  const failure = end.kind === "exited" ? parseFailure(outcome.stdout) : undefined;
  if (failure?.code === INCOMPATIBLE_VERSION)
    throw await incompatible(call, host, failure.sentence);
  throw pluginFailed(call, failure?.sentence ?? describeEnd(outcome, host), failure?.code);
}

/** The versions that a plugin knows; one that does not answer is of before the question (0.2.0). */
export async function askVersions(
  type: string,
  networkName: string,
  host: CniHost,
): Promise<readonly string[]> {
  const config = { cniVersion: "1.0.0" };
  const call: CniCall = {
    command: "VERSION",
    networkName,
    type,
    config,
    target: undefined,
    args: "",
  };
  const { end, stdout } = await execute(call, host);
  const answered = end.kind === "exited" && end.status === 0 ? parseVersions(stdout) : undefined;
  return answered ?? ["0.1.0"];
}

/** Makes the sentence for output that breaks the protocol; passes all other errors on. */
export function namingPlugin(call: CniCall, error: unknown): unknown {
  return error instanceof OutputError ? pluginFailed(call, error.message) : error;
}

async function execute(call: CniCall, host: CniHost): Promise<ProgramOutcome> {
  const path = findPlugin(call.type, host.pluginDirectories);
  const { target } = call;
  const env: Record<string, string> = {
    PATH,
    CNI_COMMAND: call.command,
    CNI_PATH: host.pluginDirectories.join(":"),
  };
  if (target !== undefined) {
    env["CNI_CONTAINERID"] = target.uuid;
    env["CNI_NETNS"] = target.netnsPath;
    env["CNI_IFNAME"] = target.ifName;
    env["CNI_ARGS"] = call.args;
  }
  try {
    return await runProgram({
      path,
      env,
      stdin: JSON.stringify(call.config),
      timeoutMs: host.timeoutMs ?? TIMEOUT_MS,
      maxStdout: MAX_OUTPUT,
    });
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
    throw pluginFailed(call, "it could not be started", undefined, error);
  }
}

function describeEnd({ end, stdout, stderr }: ProgramOutcome, host: CniHost): string {
  switch (end.kind) {
    case "timeout":
      return `it did not end within ${(host.timeoutMs ?? TIMEOUT_MS) / 1000} s and was killed`;
    case "too-much-output":
      return `it printed more than ${MAX_OUTPUT} bytes and was killed`;
    case "signaled":
      return `it was ended by ${end.signal}`;
    case "exited": {
      const said = excerpt(stderr.trim() === "" ? stdout : stderr);
      return `exit status ${end.status}${said === "" ? "" : `: ${said}`}`;
    }
  }
}

async function incompatible(call: CniCall, host: CniHost, sentence: string): Promise<NetworkError> {
  const known = await askVersions(call.type, call.networkName, host);
  return new NetworkError("CNI_VERSION", failedSentence(call, sentence), {
    remedy: `the plugin knows ${known.join(", ")}: set the network's "cniVersion" to one of them`,
    details: { type: call.type, command: call.command },
  });
}

function pluginFailed(call: CniCall, reason: string, code?: number, cause?: unknown): NetworkError {
  return new NetworkError("CNI_PLUGIN_FAILED", failedSentence(call, reason), {
    details: { type: call.type, command: call.command, code },
    cause,
  });
}

const VERBS: Readonly<Record<CniCommand, string>> = {
  ADD: "adding",
  CHECK: "checking",
  DEL: "removing",
  GC: "cleaning up",
  VERSION: "asking",
};

function failedSentence(call: CniCall, reason: string): string {
  return `error ${VERBS[call.command]} network ${quote(call.networkName)}: plugin ${quote(call.type)}: ${reason}`;
}
