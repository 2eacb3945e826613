// SPDX-License-Identifier: Apache-2.0
// `rkt metadata-service`: the two servers over one registry, from the first socket to the signal that ends it.
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { isErrno } from "../../lib/errors.ts";
import type { Reporter } from "../../lib/reporter.ts";
import { REGISTRATION_SOCKET } from "../../pod/metadata.ts";
import { listenTcp4, listenUnix, makeNonBlocking } from "../../sys/listen.ts";
import { type Lock, tryLockFile } from "../../sys/lock.ts";
import { removeFile } from "../../sys/remove-file.ts";
import { MetadataError } from "./errors.ts";
import { type ServerLimits, serveHttp } from "./http-server.ts";
import { loadKey } from "./key.ts";
import { limitedLog, requestLine } from "./log.ts";
import { dropEnded, loadPods } from "./pods-on-disk.ts";
import { answerPublic } from "./public.ts";
import { answerRegistration } from "./registration.ts";
import { Registry } from "./registry.ts";

export interface ServiceOptions {
  readonly dataDir: string;
  readonly port: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly report: Reporter;
}

/** For pods. A request is a path, or a form with what is to be signed. */
const PUBLIC_LIMITS: ServerLimits = {
  connections: 1024,
  perAddress: 64,
  deadlineMs: 10_000,
  head: 16 * 1024,
  body: 1024 * 1024,
  memory: 32 * 1024 * 1024,
};

/** For rkt: a manifest at a time. */
const REGISTRATION_LIMITS: ServerLimits = {
  connections: 256,
  perAddress: 256,
  deadlineMs: 30_000,
  head: 16 * 1024,
  body: 16 * 1024 * 1024,
  memory: 64 * 1024 * 1024,
};

/** How long a pod that has ended may stay registered when nobody says that it has. */
const SWEEP_MS = 5000;

/** Returns when a signal ends the service. */
export async function serveMetadata(options: ServiceOptions): Promise<number> {
  const { report } = options;
  report.line("", "Metadata service starting...");
  using sockets = openSockets(options);
  const key = loadKey(options.dataDir);
  const registry = new Registry();
  const warn = (text: string) => report.line("", text);
  const count = loadPods(registry, options.dataDir, warn);
  const log = limitedLog(warn, () => performance.now());

  const registration = serveHttp(sockets.registration, REGISTRATION_LIMITS, (request) => {
    const response = answerRegistration(registry, request, options.port);
    const [path = ""] = request.target.split("?", 1);
    log.line(requestLine(request.method, path, response.status));
    return response;
  });
  const service = serveHttp(
    sockets.service,
    PUBLIC_LIMITS,
    (request) => {
      const { response, pod, path } = answerPublic(registry, key, request);
      log.line(requestLine(request.method, `${pod ?? "unknown pod"}${path}`, response.status));
      return response;
    },
    (status, reason) => log.line(`refused a request: ${reason} - ${status}`),
  );
  const own = new Set(registry.uuids());
  const sweep = setInterval(() => dropEnded(registry, options.dataDir, own), SWEEP_MS);
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

interface Sockets extends Disposable {
  readonly registration: number;
  readonly service: number;
}

/** systemd's socket for registrations when there is one (sd_listen_fds(3)), else one of our own. */
function openSockets({ port, env }: ServiceOptions): Sockets {
  const lock = takeLock();
  try {
    const passed = passedSocket(env);
    const registration = passed ?? listenUnix(REGISTRATION_SOCKET, 0o600);
    const service = listenPublic(port);
    return {
      registration,
      service,
      [Symbol.dispose]() {
        if (passed === undefined) removeFile(REGISTRATION_SOCKET);
        lock[Symbol.dispose]();
      },
    };
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

const FIRST_PASSED_FD = 3;

function passedSocket(env: ServiceOptions["env"]): number | undefined {
  const { LISTEN_FDS: count, LISTEN_PID: pid } = env;
  if (count === undefined || count === "" || (pid ?? String(process.pid)) !== String(process.pid)) {
    return undefined;
  }
  if (!/^[1-9]\d{0,3}$/.test(count)) {
    throw new MetadataError(
      "METADATA_SOCKET",
      "cannot use LISTEN_FDS: it is not a number of sockets",
    );
  }
  makeNonBlocking(FIRST_PASSED_FD);
  return FIRST_PASSED_FD;
}

function listenPublic(port: number): number {
  try {
    return listenTcp4(port);
  } catch (cause) {
    throw new MetadataError("METADATA_SOCKET", `cannot listen on port ${port}`, {
      cause,
      remedy: isErrno(cause, "EADDRINUSE") ? "choose another one with --listen-port" : undefined,
    });
  }
}

/** One service to a machine: its socket has one place. */
function takeLock(): Lock {
  mkdirSync(dirname(REGISTRATION_SOCKET), { recursive: true, mode: 0o755 });
  const lock = tryLockFile(`${REGISTRATION_SOCKET}.lock`, "exclusive", 0o600);
  if (lock !== undefined) return lock;
  throw new MetadataError("METADATA_RUNNING", "a metadata service is running already");
}
