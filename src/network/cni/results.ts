// SPDX-License-Identifier: Apache-2.0
// What an attachment needs to be undone: its configuration, arguments and result, one file for each, in the
// form and under the names of libcni's cache. They lie below Rocket's data directory rather than in
// /var/lib/cni, where the garbage collection of another engine takes them for its own lost containers.
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../lib/errors.ts";
import { quote } from "../../lib/text.ts";
import { writeFileDurable } from "../../sys/durable.ts";
import { removeFile } from "../../sys/remove-file.ts";
import { NetworkError } from "../errors.ts";
import { type NetworkConfig, parseNetworkConfig } from "../net-config.ts";
import type { CniArguments } from "./arguments.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface StoredAttachment {
  readonly uuid: string;
  readonly ifName: string;
  readonly network: NetworkConfig;
  readonly args: CniArguments;
  /** `/proc/PID/fd/N` of the rkt that attached it, which then is the pod's supervisor. */
  readonly netns: string;
  /** As the last plugin that ran printed it; undefined when none has come to its end. */
  readonly result: Fields | undefined;
}

export interface AttachmentKey {
  readonly networkName: string;
  readonly uuid: string;
  readonly ifName: string;
}

const KIND = "cniCacheV1";
const MAX_BYTES = 8 << 20;

function resultsDirectory(dataDirectory: string): string {
  return join(dataDirectory, "cni", "results");
}

function fileOf(dataDirectory: string, { networkName, uuid, ifName }: AttachmentKey): string {
  return join(resultsDirectory(dataDirectory), `${networkName}-${uuid}-${ifName}`);
}

/** Durable: it is written before ADD so that a crash during it is undone too. */
export function storeAttachment(dataDirectory: string, stored: StoredAttachment): void {
  mkdirSync(resultsDirectory(dataDirectory), { recursive: true, mode: 0o700 });
  const content = {
    kind: KIND,
    containerId: stored.uuid,
    config: Buffer.from(stored.network.text, "utf8").toString("base64"),
    configFile: stored.network.file,
    ifName: stored.ifName,
    networkName: stored.network.name,
    netns: stored.netns,
    cniArgs: stored.args.cniArgs,
    capabilityArgs: stored.args.capabilities,
    result: stored.result ?? null,
  };
  const key = { networkName: stored.network.name, uuid: stored.uuid, ifName: stored.ifName };
  writeFileDurable(fileOf(dataDirectory, key), JSON.stringify(content), 0o600);
}

export function findAttachment(
  dataDirectory: string,
  key: AttachmentKey,
): StoredAttachment | undefined {
  return readAttachment(fileOf(dataDirectory, key));
}

/** All of a pod, or all there are, the last interface first: the order in which they are undone. */
export function listAttachments(dataDirectory: string, uuid?: string): StoredAttachment[] {
  let names: string[];
  try {
    names = readdirSync(resultsDirectory(dataDirectory));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
  return names
    .filter((name) => !name.endsWith(".tmp") && (uuid === undefined || name.includes(`-${uuid}-`)))
    .map((name) => readAttachment(join(resultsDirectory(dataDirectory), name)))
    .filter((stored) => stored !== undefined && (uuid === undefined || stored.uuid === uuid))
    .filter((stored) => stored !== undefined)
    .sort((a, b) => interfaceNumber(b.ifName) - interfaceNumber(a.ifName));
}

function interfaceNumber(ifName: string): number {
  return Number(/\d+$/.exec(ifName)?.[0] ?? 0);
}

export function forgetAttachment(dataDirectory: string, key: AttachmentKey): void {
  removeFile(fileOf(dataDirectory, key));
}

function readAttachment(path: string): StoredAttachment | undefined {
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size === undefined) return undefined;
  try {
    if (size > MAX_BYTES) throw new SyntaxError("too large");
    const fields = JSON.parse(readFileSync(path, "utf8")) as Fields;
    const { kind, containerId, config, ifName, cniArgs, capabilityArgs, result } = fields;
    if (
      kind !== KIND ||
      typeof containerId !== "string" ||
      typeof config !== "string" ||
      typeof ifName !== "string"
    ) {
      throw new SyntaxError("not a stored attachment");
    }
    const { configFile, netns } = fields;
    const file = typeof configFile === "string" ? configFile : path;
    return {
      uuid: containerId,
      ifName,
      netns: typeof netns === "string" ? netns : "",
      network: parseNetworkConfig(Buffer.from(config, "base64").toString("utf8"), file),
      args: {
        cniArgs: (Array.isArray(cniArgs) ? cniArgs : []) as [string, string][],
        capabilities: (capabilityArgs ?? {}) as Fields,
      },
      result: (result ?? undefined) as Fields | undefined,
    };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new NetworkError("NETWORK_CONFIG", `stored network result ${quote(path)} is damaged`, {
      remedy: "remove the file; the network's addresses may have to be released by hand",
    });
  }
}
