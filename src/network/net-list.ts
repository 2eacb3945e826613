// SPDX-License-Identifier: Apache-2.0
// The value of --net (rkt-runtime §10.1): which networks a pod joins. Pure.
import { quote } from "../lib/text.ts";
import { NetworkError } from "./errors.ts";

export interface NetworkRequest {
  readonly name: string;
  /** What stood after the colon, for the network's plugin. */
  readonly args: string;
}

/** Parses `name[:args],name…`. */
export function parseNetList(text: string): NetworkRequest[] {
  const networks: NetworkRequest[] = [];
  for (const part of text.split(",")) {
    const [name = "", args = "", ...rest] = part.split(":");
    if (name === "") throw new NetworkError("NETWORK_LIST", "netname must not be empty");
    if (rest.length > 0) {
      throw new NetworkError(
        "NETWORK_LIST",
        `network ${quote(name)} provided with invalid arguments: ${part.slice(name.length + 1)}`,
      );
    }
    if (args !== "" && (name === "all" || name === "host")) {
      throw new NetworkError(
        "NETWORK_LIST",
        `arguments are not supported by special netname ${quote(name)}`,
      );
    }
    if (networks.some((network) => network.name === name)) {
      throw new NetworkError("NETWORK_LIST", `found duplicate netname ${quote(name)}`);
    }
    networks.push({ name, args });
  }
  return networks;
}

/** "own": a namespace with the networks that were asked for. */
export type NetworkMode = "none" | "host" | "own";

/** `host` anywhere means the host's network, else `none` anywhere loopback only. */
export function networkMode(networks: readonly NetworkRequest[]): NetworkMode {
  if (networks.some(({ name }) => name === "host")) return "host";
  if (networks.some(({ name }) => name === "none")) return "none";
  return "own";
}
