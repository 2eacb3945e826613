// SPDX-License-Identifier: Apache-2.0
// What a network does for a pod: the built-in ones by netlink, all others as CNI plugins.
export interface NetworkTarget {
  /** The pod's UUID: CNI_CONTAINERID. */
  readonly uuid: string;
  /** The pod's network namespace, an open descriptor of this process; `/proc/self/fd/N` and `/proc/PID/fd/N` name it. */
  readonly netnsFd: number;
  readonly netnsPath: string;
  /** eth0, eth1 … */
  readonly ifName: string;
}

export interface PortMapping {
  readonly hostIP: string | undefined;
  readonly hostPort: number;
  readonly podPort: number;
  readonly protocol: "tcp" | "udp";
}

export interface NetworkArguments {
  /** As given after the colon: "K=V;K=V". */
  readonly args: string;
  readonly ports: readonly PortMapping[];
}

export interface Attachment {
  readonly netName: string;
  readonly ifName: string;
  readonly addresses: readonly {
    readonly address: string;
    readonly prefix: number;
    readonly gateway: string | undefined;
  }[];
  readonly dns: {
    readonly servers: readonly string[];
    readonly domain: string;
    readonly search: readonly string[];
    readonly options: readonly string[];
  };
  /** For net-info.json: configuration file, plugin path, arguments. */
  readonly netConf: string;
  readonly pluginPath: string;
  readonly args: string;
}

export interface NetworkDriver {
  attach(target: NetworkTarget, options: NetworkArguments): Promise<Attachment>;
  /** Idempotent; `target.netnsFd` may be -1 and netnsPath "" when the namespace is gone. */
  detach(target: NetworkTarget, options: NetworkArguments): Promise<void>;
}
