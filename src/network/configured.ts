// SPDX-License-Identifier: Apache-2.0
// The networks of the configuration directories, ready to be joined. Loaded only where there are any, or where
// somebody asks for one.
import { cniDriver, collectNetwork } from "./cni/driver.ts";
import { type CniHost, pluginDirectories } from "./cni/plugin.ts";
import type { NetworkDriver } from "./driver.ts";
import { type ChosenNetwork, chooseNetworks, readNetworks } from "./net-d.ts";
import type { NetworkRequest } from "./net-list.ts";

export interface NetworkPlaces {
  readonly dataDir: string;
  readonly localConfig: string;
  /** "" when there is none. */
  readonly userConfig: string;
  readonly warn: (text: string) => void;
}

export type JoinableNetwork =
  | Extract<ChosenNetwork, { kind: "built-in" }>
  | {
      readonly kind: "cni";
      readonly name: string;
      readonly args: string;
      readonly driver: NetworkDriver;
      readonly masquerade: boolean;
      /** What it takes to undo it later, from whatever directory rkt is then told to use. */
      readonly host: CniHost;
    };

/** `rkt gc`: has the plugins of networks that are rkt's alone drop what is left of pods that nobody knows. */
export async function collectNetworks(
  places: NetworkPlaces,
): Promise<readonly { readonly name: string; readonly error: unknown }[]> {
  const failures: { name: string; error: unknown }[] = [];
  const host = hostOf(places);
  for (const network of readNetworks(directoriesOf(places)).networks) {
    if (!network.collectable) continue;
    try {
      await collectNetwork(network, host);
    } catch (error) {
      failures.push({ name: network.name, error });
    }
  }
  return failures;
}

const directoriesOf = ({ localConfig, userConfig }: NetworkPlaces): string[] =>
  [localConfig, userConfig].filter((directory) => directory !== "");

const hostOf = ({ dataDir, localConfig }: NetworkPlaces): CniHost => ({
  dataDirectory: dataDir,
  pluginDirectories: pluginDirectories(localConfig),
});

/** What `--net` asks for, in the order of the pod's interfaces. */
export function joinableNetworks(
  requests: readonly NetworkRequest[],
  places: NetworkPlaces,
): JoinableNetwork[] {
  const { networks, warnings } = readNetworks(directoriesOf(places));
  for (const warning of warnings) places.warn(warning);
  const host = hostOf(places);
  return chooseNetworks(requests, networks).map((chosen) => {
    if (chosen.kind === "built-in") return chosen;
    const { name, args, config } = chosen;
    const masquerade = config.plugins.some(({ fields }) => fields["ipMasq"] === true);
    return { kind: "cni", name, args, driver: cniDriver(config, host), masquerade, host };
  });
}
