// SPDX-License-Identifier: Apache-2.0
// A CNI network behind the contract of ../driver.ts, and the undoing of networks whose pods or
// configurations are gone.
import { mkdirSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../lib/errors.ts";
import { type Lock, type LockKind, lockDirectory } from "../../sys/lock.ts";
import { dropForwardings } from "../apply-rules.ts";
import type {
  Attachment,
  NetworkArguments,
  NetworkDriver,
  NetworkTarget,
  PortMapping,
} from "../driver.ts";
import { hasLink } from "../host-links.ts";
import type { NetworkConfig } from "../net-config.ts";
import { lockNetworks } from "../network-lock.ts";
import {
  checkPorts,
  collide,
  type Forwarding,
  forgetForwardings,
  forwarding,
  listForwardings,
  noteForwardings,
  type PluginPort,
} from "../ports.ts";
import { cniArguments } from "./arguments.ts";
import { addChain, type Chain, checkChain, collectChain, deleteChain } from "./chain.ts";
import { type CniHost, findPlugin } from "./plugin.ts";
import {
  findAttachment,
  forgetAttachment,
  listAttachments,
  type StoredAttachment,
  storeAttachment,
} from "./results.ts";

const GONE = { netnsFd: -1, netnsPath: "" } as const;

export interface CniDriver extends NetworkDriver {
  /** Throws CNI_PLUGIN_FAILED when the attachment is no longer as `attach` left it. */
  check(target: NetworkTarget): Promise<void>;
}

/**
 * After `attach` threw, nothing is left; if undoing failed too, the sentence says so and `detach` or
 * `detachPod` does it again. `detach` undoes what was attached, with the configuration of then.
 */
export function cniDriver(network: NetworkConfig, host: CniHost): CniDriver {
  return {
    attach: async (target, asked) =>
      attach({ network, args: cniArguments(network, asked), target, host }, asked),
    detach: (target, asked) => detach(network, target, asked, host),
    check: async (target) => {
      const stored = findAttachment(host.dataDirectory, keyOf(network, target));
      if (stored?.result !== undefined) {
        await checkChain(chainOf(stored, target, host), stored.result);
      }
    },
  };
}

async function attach(chain: Chain, asked: NetworkArguments): Promise<Attachment> {
  const { network, args, target, host } = chain;
  const { dataDirectory } = host;
  // All are looked up before the first runs: a missing one must not leave the others to be undone.
  const [pluginPath = ""] = network.plugins.map(({ type }) =>
    findPlugin(type, host.pluginDirectories),
  );
  const { uuid, ifName, netnsPath: netns } = target;
  using _lock = lockAttachments(host, "shared");
  const store = (result: StoredAttachment["result"]) =>
    storeAttachment(dataDirectory, { uuid, ifName, netns, network, args, result });
  store(undefined);
  try {
    if (asked.ports.length > 0) await claimPorts(asked.ports, target, host);
    const { addresses, dns } = await addChain(chain, store);
    return {
      netName: network.name,
      ifName: target.ifName,
      addresses,
      dns,
      netConf: network.file,
      pluginPath,
      args: asked.args,
    };
  } catch (error) {
    // What addChain could not undo is left to gc, which goes by the stored file.
    const left = (error as { details?: { left?: unknown } }).details?.left === true;
    if (!left) forget({ network, args }, target, host);
    throw error;
  }
}

/** Throws PORT_CONFLICT when somebody has one of the ports; else they are the pod's, before a plugin maps them. */
async function claimPorts(ports: readonly PortMapping[], target: NetworkTarget, host: CniHost) {
  const { uuid, ifName, netnsPath } = target;
  const plugins: PluginPort = { pid: process.pid, netns: readlinkSync(netnsPath), host };
  const wanted = ports.map((port) => forwarding(port, { podIP: "", uuid, ifName, plugins }));
  using _lock = lockNetworks();
  await reclaimPorts(wanted);
  checkPorts(wanted, listForwardings());
  noteForwardings(wanted);
}

/**
 * Takes those of the ports that a plugin mapped from pods that have ended: their rules stand before new ones and lead
 * nowhere. Ports of the built-in networks need it not: our rules are replaced as a whole. The networks' lock is held.
 */
export async function reclaimPorts(wanted: readonly Forwarding[]): Promise<void> {
  for (const entry of listForwardings()) {
    const { plugins, uuid, ifName } = entry;
    if (!wanted.some((port) => collide(entry, port))) continue;
    if (plugins === undefined) {
      if (!hasLink(entry))
        dropForwardings((other) => other.uuid === uuid && other.ifName === ifName);
      continue;
    }
    if (isAlive(plugins)) continue;
    for (const stored of listAttachments(plugins.host.dataDirectory, uuid)) {
      if (stored.ifName === ifName) {
        await deleteChain(chainOf(stored, { ...GONE, uuid, ifName }, plugins.host), stored.result);
      }
    }
    forgetForwardings((other) => other.uuid === uuid && other.ifName === ifName);
  }
}

/** rkt has the namespace open, and is in it as soon as it is the supervisor. Neither is true of a pid's next process. */
function isAlive({ pid, netns }: PluginPort): boolean {
  return [`/proc/${pid}/ns/net`, ...openFiles(pid)].some((path) => linkTarget(path) === netns);
}

function openFiles(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES")) return [];
    throw error;
  }
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES")) return undefined;
    throw error;
  }
}

/** Without a stored file, the configuration of now is tried: a plugin's DEL of what it does not know succeeds. */
async function detach(
  network: NetworkConfig,
  target: NetworkTarget,
  asked: NetworkArguments,
  host: CniHost,
): Promise<void> {
  const stored = findAttachment(host.dataDirectory, keyOf(network, target));
  if (stored !== undefined) return detachStored(stored, target, host);
  await deleteChain({ network, args: cniArguments(network, asked), target, host }, undefined);
}

async function detachStored(
  stored: StoredAttachment,
  target: NetworkTarget,
  host: CniHost,
): Promise<void> {
  await deleteChain(chainOf(stored, target, host), stored.result);
  forget(stored, target, host);
}

/** The file last: it is what gc goes by. */
function forget(
  { network, args }: Pick<StoredAttachment, "network" | "args">,
  target: NetworkTarget,
  host: CniHost,
): void {
  const { uuid, ifName } = target;
  if ("portMappings" in args.capabilities) {
    using _lock = lockNetworks();
    forgetForwardings((entry) => entry.uuid === uuid && entry.ifName === ifName);
  }
  forgetAttachment(host.dataDirectory, keyOf(network, target));
}

/**
 * Undoes all CNI networks of a pod by what was stored, whatever became of their configuration. `netns` is
 * where its namespace still is, or -1 and "". All are tried; the first error is thrown at the end.
 */
export async function detachPod(
  pod: Pick<NetworkTarget, "uuid" | "netnsFd" | "netnsPath">,
  host: CniHost,
): Promise<void> {
  const errors: unknown[] = [];
  if (listAttachments(host.dataDirectory, pod.uuid).length > 0) {
    const { endPluginsOf } = await import("./leftover-plugins.ts");
    await endPluginsOf(pod.uuid);
  }
  for (const stored of listAttachments(host.dataDirectory, pod.uuid)) {
    try {
      await detachStored(stored, { ...pod, ifName: stored.ifName }, host);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

/**
 * Has the plugins of a network drop what is not of an attachment that is stored: those of pods that run, and of pods
 * that gc has yet to undo. Only for networks that nobody else uses: his containers are not among those named.
 */
export async function collectNetwork(network: NetworkConfig, host: CniHost): Promise<void> {
  using _lock = lockAttachments(host, "exclusive");
  const own = listAttachments(host.dataDirectory).filter(
    (each) => each.network.name === network.name,
  );
  await collectChain(network, own, host);
}

/** A pod that is added while plugins drop what they were not told of would lose what it just got. */
function lockAttachments(host: CniHost, kind: LockKind): Lock {
  const directory = join(host.dataDirectory, "cni");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return lockDirectory(directory, kind);
}

function chainOf(stored: StoredAttachment, target: NetworkTarget, host: CniHost): Chain {
  return { network: stored.network, args: stored.args, target, host };
}

function keyOf(network: NetworkConfig, { uuid, ifName }: NetworkTarget) {
  return { networkName: network.name, uuid, ifName };
}
