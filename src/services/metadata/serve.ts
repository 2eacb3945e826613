// SPDX-License-Identifier: Apache-2.0
// The metadata service at work: two servers over one registry, until a signal ends it.
import type { Reporter } from "../../lib/reporter.ts";
import { type ServerLimits, serveHttp } from "./http-server.ts";
import { limitedLog, requestLine } from "./log.ts";
import { dropEnded, loadPods } from "./pods-on-disk.ts";
import { answerPublic } from "./public.ts";
import { answerRegistration } from "./registration.ts";
import { Registry } from "./registry.ts";

export interface ServeOptions {
  /** Listening sockets. */
  readonly registration: number;
  readonly service: number;
  readonly key: Uint8Array;
  readonly dataDir: string;
  readonly port: number;
  readonly report: Reporter;
}

/** For pods. A request is a path, or a form with what is to be signed. */
const PUBLIC_LIMITS: ServerLimits = {
  connections: 512,
  perAddress: 64,
  deadlineMs: 5000,
  head: 16 * 1024,
  body: 1024 * 1024,
  memory: 32 * 1024 * 1024,
  memoryPerAddress: 8 * 1024 * 1024,
};

/** For rkt: a manifest at a time. */
const REGISTRATION_LIMITS: ServerLimits = {
  connections: 128,
  perAddress: 128,
  deadlineMs: 30_000,
  head: 16 * 1024,
  body: 16 * 1024 * 1024,
  memory: 64 * 1024 * 1024,
  memoryPerAddress: 64 * 1024 * 1024,
};

/** How long a pod that has ended may stay registered when nobody says that it has. */
const SWEEP_MS = 5000;

/** Returns when a signal ends the service. */
export async function serveMetadata(options: ServeOptions): Promise<number> {
  const { report, dataDir, key } = options;
  const warn = (text: string) => report.line("", text);
  const registry = new Registry();
  const count = loadPods(registry, dataDir, warn);
  const log = limitedLog(warn, () => performance.now());
  const refused = (status: number, reason: string) =>
    log.line(`refused a request: ${reason} - ${status}`);

  const registration = serveHttp(options.registration, REGISTRATION_LIMITS, {
    answer(request) {
      const response = answerRegistration(registry, request, options.port);
      const [path = ""] = request.target.split("?", 1);
      log.line(requestLine(request.method, path, response.status));
      return response;
    },
    refused,
    failed: (error) => warn(`internal error: ${String(error)}`),
  });
  const service = serveHttp(options.service, PUBLIC_LIMITS, {
    answer(request) {
      const { response, pod, path } = answerPublic(registry, key, request);
      log.line(requestLine(request.method, `${pod ?? "unknown pod"}${path}`, response.status));
      return response;
    },
    refused,
    failed: (error) => log.line(`internal error: ${String(error)}`),
  });
  const own = new Set(registry.uuids());
  const sweep = setInterval(() => {
    try {
      dropEnded(registry, dataDir, own);
    } catch (error) {
      warn(`cannot see which pods have ended: ${String(error)}`);
    }
  }, SWEEP_MS);
  report.line("", `Metadata service running, pods: ${count}`);

  await endSignal();
  clearInterval(sweep);
  service.stop();
  registration.stop();
  report.line("", "Metadata service exiting...");
  return 0;
}

function endSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
}
