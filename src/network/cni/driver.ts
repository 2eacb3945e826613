// SPDX-License-Identifier: Apache-2.0
// A CNI network behind the contract of ../driver.ts, and the undoing of networks whose pods or
// configurations are gone.
import { existsSync } from "node:fs";
import type {
  Attachment,
  NetworkArguments,
  NetworkDriver,
  NetworkTarget,
  PortMapping,
} from "../driver.ts";
import type { NetworkConfig } from "../net-config.ts";
import { checkPorts, collide, type Forwarding, forwarding, listForwardings } from "../ports.ts";
import { cniArguments, portMappings } from "./arguments.ts";
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
  if (asked.ports.length > 0) await claimPorts(asked.ports, target.uuid, host);
  const { uuid, ifName, netnsPath: netns } = target;
  const store = (result: StoredAttachment["result"]) =>
    storeAttachment(dataDirectory, { uuid, ifName, netns, network, args, result });
  store(undefined);
  try {
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
    if (!left) forgetAttachment(dataDirectory, keyOf(network, target));
    throw error;
  }
}

/**
 * Throws PORT_CONFLICT when somebody has one of the ports. Those of pods that have ended are taken from them: their
 * rules stand before the new ones and lead nowhere.
 */
async function claimPorts(ports: readonly PortMapping[], uuid: string, host: CniHost) {
  const wanted = ports.map((port) => forwarding(port, { podIP: "", uuid, link: "" }));
  const held: Forwarding[] = [];
  for (const stored of listAttachments(host.dataDirectory)) {
    const theirs = forwardingsOf(stored);
    if (!theirs.some((port) => wanted.some((other) => collide(port, other)))) continue;
    if (hasSupervisor(stored)) held.push(...theirs);
    else await detachStored(stored, { ...GONE, uuid: stored.uuid, ifName: stored.ifName }, host);
  }
  checkPorts(wanted, [...listForwardings(), ...held]);
}

function forwardingsOf({ args, uuid }: StoredAttachment): Forwarding[] {
  return portMappings(args).map((port) => forwarding(port, { podIP: "", uuid, link: "" }));
}

/** A number that another process has by now makes a pod look alive: the ports are then refused until gc. */
function hasSupervisor({ netns }: StoredAttachment): boolean {
  const process = /^\/proc\/\d+/.exec(netns)?.[0];
  return process !== undefined && existsSync(process);
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
  forgetAttachment(host.dataDirectory, keyOf(stored.network, target));
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
 * Cleans up a network: undoes the attachments of pods that are not among `pods`, then lets plugins that
 * know GC drop what else is not of a pod. Only for networks that no other engine shares: its containers
 * are not among those named.
 */
export async function collectNetwork(
  network: NetworkConfig,
  pods: ReadonlySet<string>,
  host: CniHost,
): Promise<void> {
  const own = listAttachments(host.dataDirectory).filter(
    (each) => each.network.name === network.name,
  );
  for (const stored of own.filter(({ uuid }) => !pods.has(uuid))) {
    const target = { ...GONE, uuid: stored.uuid, ifName: stored.ifName };
    await detachStored(stored, target, host);
  }
  await collectChain(
    network,
    own.filter(({ uuid }) => pods.has(uuid)),
    host,
  );
}

function chainOf(stored: StoredAttachment, target: NetworkTarget, host: CniHost): Chain {
  return { network: stored.network, args: stored.args, target, host };
}

function keyOf(network: NetworkConfig, { uuid, ifName }: NetworkTarget) {
  return { networkName: network.name, uuid, ifName };
}
