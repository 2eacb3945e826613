// SPDX-License-Identifier: Apache-2.0
// A pod at the metadata service (rkt-runtime §13). Not loaded on demand, little as it is: a module of its own that shares
// what a start needs would cut a start's one piece in three. rkt registers the pod before it starts. It is gone from the service when
// gc removes it, or as soon as the service sees that it has ended: what `rkt run` has become says nothing to it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../lib/errors.ts";
import type { Reporter } from "../lib/reporter.ts";
import type { NetworkMode } from "../network/net-list.ts";
import type { PodNetworks } from "../network/setup.ts";
import {
  forgetRegistration,
  isRegistered,
  METADATA_PORT,
  REGISTRATION_SOCKET,
  writeRegistration,
} from "../pod/metadata.ts";
import { POD_FILES } from "../pod/read.ts";
import { randomName } from "../sys/random-name.ts";
import { Stage0Error } from "./errors.ts";

interface Pod {
  readonly uuid: string;
  readonly path: string;
}

const TRIES = 3;
const RETRY_MS = 1000;
const TIMEOUT_MS = 5000;
const TOKEN_BYTES = 16;

interface PodToRegister extends Pod {
  readonly apps: readonly { readonly name: string }[];
}

/** Registers a pod that is about to start; AC_METADATA_URL for its apps, undefined for a pod that is not to be registered. */
export async function joinMetadataService(
  pod: PodToRegister,
  wanted: { readonly metadataService: boolean; readonly network: NetworkMode },
  networks: PodNetworks | undefined,
): Promise<string | undefined> {
  if (!wanted.metadataService) return undefined;
  const host = wanted.network === "host" ? "127.0.0.1" : networks?.gateway;
  if (host === undefined) {
    throw new Stage0Error(
      "METADATA_SERVICE",
      "cannot register the pod with the metadata service: its network has no gateway by which to reach it",
      { remedy: "--net=default or --net=host" },
    );
  }
  const token = randomName(TOKEN_BYTES);
  // First of all: whatever happens from here on, a service that is started again knows the pod, and gc removes it.
  writeRegistration(pod.path, { uuid: pod.uuid, token });
  for (let attempt = 1; ; attempt++) {
    try {
      const url = `http://${host}:${await register(pod, token)}/${token}`;
      // For `rkt enter`.
      writeRegistration(pod.path, { uuid: pod.uuid, token, url });
      return url;
    } catch (error) {
      if (attempt === TRIES) throw explain(error);
      await Bun.sleep(RETRY_MS);
    }
  }
}

/** The port on which the service answers pods. */
async function register(pod: PodToRegister, token: string): Promise<number> {
  const place = `/pods/${pod.uuid}`;
  const manifest = readFileSync(join(pod.path, POD_FILES.manifest));
  const { headers } = await ask("PUT", `${place}?token=${token}`, manifest);
  for (const { name } of pod.apps) {
    const image = readFileSync(join(pod.path, POD_FILES.appsInfo, name, "manifest"));
    await ask("PUT", `${place}/${name}`, image);
  }
  const port = Number(headers.get("metadata-port"));
  return port > 0 && port < 65_536 ? port : METADATA_PORT;
}

function explain(error: unknown): unknown {
  if (error instanceof RktError) return error;
  return new Stage0Error("METADATA_SERVICE", "could not reach the metadata service", {
    cause: nobodyListens(error) ? new Error(`nothing listens on ${REGISTRATION_SOCKET}`) : error,
    remedy:
      "make sure that it is running: rkt metadata-service, or systemctl start rkt-metadata.socket",
  });
}

/** No socket, or one that its service left behind: what fetch says of it is about addresses. */
const nobodyListens = (error: unknown): boolean =>
  ["ENOENT", "ECONNREFUSED", "ConnectionRefused", "FailedToOpenSocket"].includes(
    String((error as { readonly code?: unknown }).code),
  );

async function ask(method: string, path: string, body?: Uint8Array): Promise<Response> {
  const response = await fetch(`http://localhost${path}`, {
    method,
    unix: REGISTRATION_SOCKET,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(body !== undefined && { body }),
  });
  if (response.ok) return response;
  throw new Stage0Error("METADATA_SERVICE", `the metadata service answered ${response.status}`, {
    cause: new Error((await response.text()).trim()),
    details: { status: response.status },
  });
}

/** Nothing for a pod that is not registered; a failure is a warning. */
export async function leaveMetadataService(pod: Pod, report: Reporter): Promise<void> {
  if (!isRegistered(pod.path)) return;
  try {
    await ask("DELETE", `/pods/${pod.uuid}`);
  } catch (error) {
    // Unreachable: it does not run, and would not take an ended pod up again. 404: it does not know the pod.
    if (error instanceof RktError && error.details?.["status"] !== 404) {
      report.line(
        "",
        `cannot unregister pod "${pod.uuid}" from the metadata service: ${error.message}`,
      );
    }
  }
  forgetRegistration(pod.path);
}
