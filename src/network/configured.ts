// SPDX-License-Identifier: Apache-2.0
// The networks of the configuration directories, ready to be joined. Loaded only where there are any, or where
// somebody asks for one.
import { cniDriver } from "./cni/driver.ts";
import { type CniHost, pluginDirectories } from "./cni/plugin.ts";
import type { NetworkDriver } from "./driver.ts";
import { type BuiltInNetwork, chooseNetworks, readNetworks } from "./net-d.ts";
import type { NetworkRequest } from "./net-list.ts";

export interface NetworkPlaces {
  readonly dataDir: string;
  readonly localConfig: string;
  /** "" when there is none. */
  readonly userConfig: string;
  readonly warn: (text: string) => void;
}

export type JoinableNetwork =
  | { readonly kind: "built-in"; readonly name: BuiltInNetwork; readonly args: string }
  | {
      readonly kind: "cni";
      readonly name: string;
      readonly args: string;
      readonly driver: NetworkDriver;
      readonly masquerade: boolean;
      /** What it takes to undo it later, from whatever directory rkt is then told to use. */
      readonly host: CniHost;
    };

/** What `--net` asks for, in the order of the pod's interfaces. */
export function joinableNetworks(
  requests: readonly NetworkRequest[],
  places: NetworkPlaces,
): JoinableNetwork[] {
  const { networks, warnings } = readNetworks(
    [places.localConfig, places.userConfig].filter((directory) => directory !== ""),
  );
  for (const warning of warnings) places.warn(warning);
  const host: CniHost = {
    dataDirectory: places.dataDir,
    pluginDirectories: pluginDirectories(places.localConfig),
  };
  return chooseNetworks(requests, networks).map((chosen) => {
    if (chosen.kind === "built-in") return chosen;
    const { name, args, config } = chosen;
    const masquerade = config.plugins.some(({ fields }) => fields["ipMasq"] === true);
    return { kind: "cni", name, args, driver: cniDriver(config, host), masquerade, host };
  });
}
