// SPDX-License-Identifier: Apache-2.0
// The versions of the CNI protocol that Rocket speaks, and which one a network runs with.

import { quote } from "../../lib/text.ts";
import { NetworkError } from "../errors.ts";
import type { NetworkConfig } from "../net-config.ts";

/** In rising order. */
export const CNI_VERSIONS = [
  "0.1.0",
  "0.2.0",
  "0.3.0",
  "0.3.1",
  "0.4.0",
  "1.0.0",
  "1.1.0",
] as const;

export type CniVersion = (typeof CNI_VERSIONS)[number];

export function isCniVersion(text: string): text is CniVersion {
  return (CNI_VERSIONS as readonly string[]).includes(text);
}

export function isAtLeast(version: CniVersion, than: CniVersion): boolean {
  return CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(than);
}

/**
 * The highest version that the configuration, Rocket and all plugins of the chain know. Plugins are asked
 * only when there is a choice: with one version, a plugin that does not know it says so itself.
 */
export async function selectVersion(
  network: NetworkConfig,
  askPlugins: () => Promise<readonly (readonly string[])[]>,
): Promise<CniVersion> {
  const ours = CNI_VERSIONS.filter((version) => network.versions.includes(version));
  const [first] = ours;
  if (first === undefined) {
    throw new NetworkError(
      "CNI_VERSION",
      `cannot use network ${quote(network.name)}: its CNI version ${network.versions.join(", ")} is not known`,
      { remedy: `set "cniVersion" in ${network.file} to one of ${CNI_VERSIONS.join(", ")}` },
    );
  }
  if (ours.length === 1) return first;
  const theirs = await askPlugins();
  const common = ours.findLast((version) => theirs.every((list) => list.includes(version)));
  if (common !== undefined) return common;
  throw new NetworkError(
    "CNI_VERSION",
    `cannot use network ${quote(network.name)}: its plugins have none of its CNI versions ${ours.join(", ")} in common`,
  );
}
