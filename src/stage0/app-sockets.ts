// SPDX-License-Identifier: Apache-2.0
// Socket activation (rkt-runtime §18): whoever starts rkt listens, and the app gets the socket. Which one, its port
// says: that of the host where --port maps the app's, else the app's own.
import type { App, PodManifest } from "../appc/index.ts";
import type { Reporter } from "../lib/reporter.ts";
import { type PassedSocket, passedSockets } from "../sys/passed-sockets.ts";

/** What the environment says of sockets. */
export interface Activation {
  readonly pid: string;
  readonly count: string;
}

/** As many as stage1 takes. */
const MAX_SOCKETS = 64;

export interface AppSockets {
  /** In the order of their places. */
  readonly descriptors: readonly number[];
  readonly of: (appName: string) => readonly { readonly slot: number; readonly port: string }[];
}

interface Pod {
  readonly manifest: PodManifest;
  readonly apps: readonly { readonly name: string; readonly app: App }[];
}

/** Undefined: they are for another process, or none of TCP and UDP. */
export function appSockets(
  pod: Pod,
  activation: Activation,
  report: Reporter,
): AppSockets | undefined {
  if (activation.pid !== String(process.pid) || !/^\d{1,4}$/.test(activation.count)) {
    return undefined;
  }
  const passed = passedSockets(Number(activation.count)).slice(0, MAX_SOCKETS);
  const used = new Set<PassedSocket>();
  const found = new Map(
    pod.apps.map(({ name, app }) => {
      const own = app.ports.flatMap((port) => {
        if (!port.socketActivated) return [];
        const mapped = pod.manifest.ports.find((each) => each.name === port.name)?.hostPort;
        const slot = passed.findIndex(
          (socket) => socket.port === (mapped ?? port.port) && socket.protocol === port.protocol,
        );
        const socket = passed[slot];
        if (socket === undefined || used.has(socket)) return [];
        used.add(socket);
        return [{ slot, port: port.name }];
      });
      return [name, own.sort((a, b) => a.slot - b.slot)] as const;
    }),
  );
  for (const socket of passed) {
    if (used.has(socket)) continue;
    const { port, protocol } = socket;
    report.line("", `warning: no app has a socket-activated port ${port} of ${protocol}`);
  }
  return { descriptors: passed.map(({ fd }) => fd), of: (appName) => found.get(appName) ?? [] };
}
