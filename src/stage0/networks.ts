// SPDX-License-Identifier: Apache-2.0
// A pod's networks, from the flags to the links and back. What does it is loaded only for pods that have some.
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { App, ExposedPort, PodManifest } from "../appc/index.ts";
import type { IdRange } from "../lib/id-range.ts";
import type { Reporter } from "../lib/reporter.ts";
import { quote } from "../lib/text.ts";
import type { NetworkPlaces } from "../network/configured.ts";
import type { PortMapping } from "../network/driver.ts";
import type { NetworkMode, NetworkRequest } from "../network/net-list.ts";
import { isPlainRequest } from "../network/plain-request.ts";
import type { PodNetworks } from "../network/setup.ts";
import { POD_FILES } from "../pod/read.ts";
import type { AppSockets } from "./app-sockets.ts";
import { Stage0Error } from "./errors.ts";

interface PodToJoin {
  readonly uuid: string;
  readonly path: string;
  readonly manifest: PodManifest;
  readonly userNamespace?: IdRange | undefined;
  readonly apps: readonly { readonly name: string; readonly app: App }[];
}

interface Wanted {
  readonly network: NetworkMode;
  readonly networks: readonly NetworkRequest[];
  readonly networkConfig: Pick<NetworkPlaces, "localConfig" | "userConfig">;
}

/** Throws, before anything is fetched or made, when --net names a network that nothing defines. */
export async function checkNetworks({ network, networks, networkConfig }: Wanted): Promise<void> {
  if (network !== "own" || isPlainRequest(networks, networkConfig)) return;
  const { joinableNetworks } = await import("../network/configured.ts");
  // What there is to warn of is said when they are joined.
  joinableNetworks(networks, { ...networkConfig, dataDir: "", warn: () => undefined });
}

/** Undefined for `none` and `host`. When it throws, `leaveNetworks` undoes what was done. */
export async function joinNetworks(
  pod: PodToJoin,
  wanted: Wanted,
  context: {
    readonly dataDir: string;
    readonly report: Reporter;
    readonly sockets?: AppSockets | undefined;
  },
): Promise<PodNetworks | undefined> {
  if (wanted.network !== "own") return undefined;
  const given = pod.apps.flatMap(({ name }) => context.sockets?.of(name) ?? []);
  const ports = pod.manifest.ports
    // A socket of the host needs no rule.
    .filter(({ name }) => !given.some(({ port }) => port === name))
    .map((port) => portMapping(port, pod.apps));
  const { setUpNetworks } = await import("../network/setup.ts");
  const warn = (text: string) => context.report.line("", text);
  const places = { ...wanted.networkConfig, dataDir: context.dataDir, warn };
  const namespaces =
    pod.userNamespace === undefined
      ? undefined
      : await (await import("./pod-namespaces.ts")).makePodNamespaces(pod.userNamespace);
  return setUpNetworks(
    { uuid: pod.uuid, path: pod.path, namespaces },
    wanted.networks,
    ports,
    places,
  );
}

/** Takes a pod that is not running out of its networks; nothing for one without. */
export async function leaveNetworks(pod: {
  readonly uuid: string;
  readonly path: string;
}): Promise<void> {
  if (!existsSync(join(pod.path, POD_FILES.networks))) return;
  const { tearDownNetworks } = await import("../network/setup.ts");
  await tearDownNetworks(pod);
}

/**
 * As `leaveNetworks`, for a pod that could not be started: why it could not is what matters then. False when
 * something is left; the note of it stays, and gc tries again and says what is wrong.
 */
export async function tryLeaveNetworks(pod: Parameters<typeof leaveNetworks>[0]): Promise<boolean> {
  try {
    await leaveNetworks(pod);
    return true;
  } catch {
    return false;
  }
}

/** Lets the plugins of configured networks clean up; those that could not are named. */
export async function collectNetworks(places: {
  readonly localConfig: string;
  readonly userConfig: string;
  readonly dataDir: string;
}): Promise<readonly { readonly error: unknown }[]> {
  const directories = [places.localConfig, places.userConfig].filter((path) => path !== "");
  if (!directories.some((directory) => existsSync(join(directory, "net.d")))) return [];
  const configured = await import("../network/configured.ts");
  try {
    return await configured.collectNetworks({ ...places, warn: () => undefined });
  } catch (error) {
    // A file that is no network: said like the rest, and what else there is to collect is collected.
    return [{ error }];
  }
}

function portMapping(exposed: ExposedPort, apps: PodToJoin["apps"]): PortMapping {
  const port =
    exposed.podPort ??
    apps.flatMap(({ app }) => app.ports).find(({ name }) => name === exposed.name);
  if (port === undefined) {
    throw new Stage0Error("PORT", `port name "${exposed.name}" could not be found in any apps`);
  }
  if (port.socketActivated) {
    throw new Stage0Error(
      "PORT",
      `cannot map port "${exposed.name}": it is socket-activated, and rkt was given no socket for it`,
      { remedy: `start rkt by a systemd socket unit that listens on ${exposed.hostPort}` },
    );
  }
  const { hostIP, hostPort } = exposed;
  const { protocol } = port;
  if (protocol !== "tcp" && protocol !== "udp") {
    throw new Stage0Error(
      "PORT",
      `cannot map port "${exposed.name}": its protocol is ${quote(protocol)}, not tcp or udp`,
    );
  }
  return {
    hostIP: hostIP === "0.0.0.0" ? undefined : hostIP,
    hostPort,
    podPort: port.port,
    protocol,
  };
}
