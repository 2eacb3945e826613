// SPDX-License-Identifier: Apache-2.0
// Runs the plugins of one network for one pod: CNI specification, section 3. ADD and CHECK go down the
// chain, DEL goes up.
import type { NetworkTarget } from "../driver.ts";
import { NetworkError } from "../errors.ts";
import type { NetworkConfig, PluginConfig } from "../net-config.ts";
import { type CniArguments, cniArgsText } from "./arguments.ts";
import {
  askVersions,
  type CniCall,
  type CniCommand,
  type CniHost,
  callPlugin,
  namingPlugin,
} from "./plugin.ts";
import { asPrevResult, type CniResult, parseResult } from "./result.ts";
import type { StandIn } from "./stand-in.ts";
import { type CniVersion, isAtLeast, isCniVersion, selectVersion } from "./versions.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface Chain {
  readonly network: NetworkConfig;
  readonly args: CniArguments;
  readonly target: NetworkTarget;
  readonly host: CniHost;
}

/**
 * Adds the pod to the network. `keep` is given what CHECK and DEL need, after each plugin: it names the version
 * that was chosen. When a plugin or `keep` fails, those that ran are undone, it among them.
 */
export async function addChain(chain: Chain, keep: (result: Fields) => void): Promise<CniResult> {
  const { network } = chain;
  const version = await versionOf(chain, undefined);
  let last: CniResult | undefined;
  for (const [index, plugin] of network.plugins.entries()) {
    const call = callOf(chain, "ADD", plugin, { version, prevResult: last?.raw });
    try {
      last = await added(call, chain.host);
      keep(asPrevResult(last.raw, version));
    } catch (error) {
      const ran = network.plugins.slice(0, index + 1);
      throw await undone(chain, ran, { version, prevResult: last?.raw }, error);
    }
  }
  if (last === undefined) throw new Error("a network without plugins");
  return last;
}

async function added(call: CniCall, host: CniHost): Promise<CniResult> {
  const text = await callPlugin(call, host);
  try {
    return parseResult(text);
  } catch (error) {
    throw namingPlugin(call, error);
  }
}

/** The error of ADD. That undoing failed as well is part of its sentence. */
async function undone(
  chain: Chain,
  plugins: readonly PluginConfig[],
  state: CallState,
  error: unknown,
): Promise<unknown> {
  try {
    await deletePlugins(chain, plugins, state);
    return error;
  } catch (second) {
    if (!(error instanceof NetworkError && second instanceof NetworkError)) throw second;
    // A plugin that is missing did nothing.
    if (second.code === "CNI_PLUGIN_MISSING") return error;
    return new NetworkError(error.code, `${error.message}; then ${second.message}`, {
      remedy: error.remedy ?? "rkt gc tries again to undo what is left",
      details: { ...error.details, left: true },
      cause: error.cause,
    });
  }
}

/** Undoes ADD: also when it was undone before, when it never ended, and when the namespace is gone. */
export async function deleteChain(chain: Chain, result: Fields | undefined): Promise<void> {
  const version = await versionOf(chain, result);
  using standIn = await standInFor(chain, result);
  await deletePlugins(chain, chain.network.plugins, { version, prevResult: result, standIn });
}

/** Only where a plugin masquerades: others do better without a namespace than with one that is not the pod's. */
async function standInFor({ network, target }: Chain, result: Fields | undefined) {
  if (target.netnsPath !== "" || result === undefined || !network.plugins.some(masquerades)) {
    return undefined;
  }
  const { makeStandIn } = await import("./stand-in.ts");
  return makeStandIn(target.ifName, parseResult(JSON.stringify(result)).addresses);
}

function masquerades(plugin: PluginConfig): boolean {
  return plugin.fields["ipMasq"] === true;
}

/** From the last to the first. One that fails does not keep those before it; its error comes at the end. */
async function deletePlugins(
  chain: Chain,
  plugins: readonly PluginConfig[],
  state: CallState,
): Promise<void> {
  const errors: unknown[] = [];
  for (const plugin of plugins.toReversed()) {
    try {
      await deletePlugin(chain, plugin, state);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

async function deletePlugin(chain: Chain, plugin: PluginConfig, state: CallState): Promise<void> {
  if (state.standIn !== undefined && masquerades(plugin)) {
    const target = { ...chain.target, ...state.standIn };
    try {
      await callPlugin(callOf({ ...chain, target }, "DEL", plugin, state), chain.host);
      return;
    } catch (error) {
      // The rules are gone when an earlier try got this far; to release the rest takes no namespace.
      if (!(error instanceof NetworkError)) throw error;
    }
  }
  await callPlugin(callOf(chain, "DEL", plugin, state), chain.host);
}

/** Asks the plugins whether the network still is as ADD left it. Nothing is asked before 0.4.0. */
export async function checkChain(chain: Chain, result: Fields): Promise<void> {
  const version = await versionOf(chain, result);
  if (chain.network.disableCheck || !isAtLeast(version, "0.4.0")) return;
  for (const plugin of chain.network.plugins) {
    await callPlugin(callOf(chain, "CHECK", plugin, { version, prevResult: result }), chain.host);
  }
}

/**
 * Tells the plugins which attachments there are, so that they drop all others. `false`: the network's
 * version has no GC, or its configuration forbids it.
 */
export async function collectChain(
  network: NetworkConfig,
  valid: readonly { readonly uuid: string; readonly ifName: string }[],
  host: CniHost,
): Promise<boolean> {
  const version = await selectVersion(network, () => askAll(network, host));
  if (network.disableGC || !isAtLeast(version, "1.1.0")) return false;
  const list = valid.map(({ uuid, ifName }) => ({ containerID: uuid, ifname: ifName }));
  for (const plugin of network.plugins) {
    const config = {
      ...requestOf(network, plugin, version),
      "cni.dev/valid-attachments": list,
    };
    const { type } = plugin;
    const call = { networkName: network.name, type, config, target: undefined, args: "" };
    await callPlugin({ command: "GC", ...call }, host);
  }
  return true;
}

interface CallState {
  readonly version: CniVersion;
  readonly prevResult: Fields | undefined;
  readonly standIn?: StandIn | undefined;
}

function callOf(
  chain: Chain,
  command: CniCommand,
  plugin: PluginConfig,
  state: CallState,
): CniCall {
  const { network, args, target } = chain;
  const { version, prevResult } = state;
  const request: Record<string, unknown> = requestOf(network, plugin, version);
  const asked = plugin.capabilities.filter((name) => name in args.capabilities);
  if (asked.length > 0) {
    request["runtimeConfig"] = Object.fromEntries(
      asked.map((name) => [name, args.capabilities[name]]),
    );
  }
  // Chains came with 0.3.0, the previous result for DEL with 0.4.0.
  const since = command === "DEL" ? "0.4.0" : "0.3.0";
  if (prevResult !== undefined && isAtLeast(version, since)) {
    request["prevResult"] = asPrevResult(prevResult, version);
  }
  return {
    command,
    networkName: network.name,
    type: plugin.type,
    config: request,
    target,
    args: cniArgsText(args.cniArgs),
  };
}

/** "Deriving execution configuration" of section 3. */
function requestOf(
  network: NetworkConfig,
  plugin: PluginConfig,
  version: CniVersion,
): Record<string, unknown> {
  const {
    capabilities: _capabilities,
    cniVersions: _cniVersions,
    runtimeConfig: _runtimeConfig,
    prevResult: _prevResult,
    ...fields
  } = plugin.fields;
  return { ...fields, name: network.name, cniVersion: version };
}

/** That of the stored result, so that DEL speaks as ADD did. */
async function versionOf(chain: Chain, result: Fields | undefined): Promise<CniVersion> {
  const stored = result?.["cniVersion"];
  if (typeof stored === "string" && isCniVersion(stored)) return stored;
  return selectVersion(chain.network, () => askAll(chain.network, chain.host));
}

function askAll(network: NetworkConfig, host: CniHost): Promise<(readonly string[])[]> {
  return Promise.all(network.plugins.map(({ type }) => askVersions(type, network.name, host)));
}
