// SPDX-License-Identifier: Apache-2.0
// From a name to URLs: asks the web servers that the name speaks of, from the whole name down to its host, for
// their ac-discovery meta tags (appc.md §5.3).
import {
  type DiscoveryMeta,
  type DiscoveryResult,
  discoveryPrefixes,
  type Endpoint,
  type Labels,
  matchMeta,
} from "../appc/index.ts";
import { RktError } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { FetchError } from "./errors.ts";
import type { HttpAnswer } from "./http.ts";
import { readMetaTags } from "./meta-tags.ts";
import type { Network } from "./network.ts";

const MAX_HTML = 1 << 20;

export interface FailedAttempt {
  readonly prefix: string;
  readonly error: string;
}

export interface Discovered<T> {
  /** At least one. */
  readonly found: readonly T[];
  /** The prefixes that were asked in vain before. */
  readonly failures: readonly FailedAttempt[];
}

export interface DiscoveryOptions {
  readonly network: Network;
  /** Ask again over plain http where https fails. */
  readonly allowHttp: boolean;
  readonly port?: number;
}

const NO_IMAGE =
  "rkt image list shows the images that are here; a file's name ends in .aci, a Docker image's begins with docker://";

/** The places of an image, in the order of the page. Throws DISCOVERY_FAILED when there are none. */
export function discoverEndpoints(
  app: { readonly name: string; readonly labels: Labels },
  options: DiscoveryOptions,
): Promise<Discovered<Endpoint>> {
  return walk(app, options, (result) => result.endpoints, NO_IMAGE);
}

/** The URLs of the public keys for a name. */
export function discoverKeyUrls(
  prefix: string,
  options: DiscoveryOptions,
): Promise<Discovered<string>> {
  return walk({ name: prefix, labels: [] }, options, (result) => result.publicKeys);
}

async function walk<T>(
  { name, labels }: { readonly name: string; readonly labels: Labels },
  options: DiscoveryOptions,
  choose: (result: DiscoveryResult) => readonly T[],
  remedy?: string,
): Promise<Discovered<T>> {
  const failures: FailedAttempt[] = [];
  for (const prefix of discoveryPrefixes(name)) {
    try {
      const found = choose(matchMeta(await readPage(prefix, options), name, labels));
      if (found.length > 0) return { found, failures };
      failures.push({ prefix, error: "no matching meta tag" });
    } catch (error) {
      if (!(error instanceof RktError)) throw error;
      failures.push({ prefix, error: error.message });
    }
  }
  const list = failures.map(({ prefix, error }) => `${quote(prefix)}: ${error}`).join("; ");
  throw new FetchError("DISCOVERY_FAILED", `discovery failed for ${quote(name)}: ${list}`, {
    details: { name, failures },
    remedy,
  });
}

async function readPage(prefix: string, options: DiscoveryOptions): Promise<DiscoveryMeta[]> {
  try {
    return await readPageOver("https", prefix, options);
  } catch (error) {
    if (!options.allowHttp || !(error instanceof RktError)) throw error;
    return await readPageOver("http", prefix, options);
  }
}

async function readPageOver(
  scheme: "https" | "http",
  prefix: string,
  { network, allowHttp, port }: DiscoveryOptions,
): Promise<DiscoveryMeta[]> {
  await using answer = await network.client.request(discoveryUrl(scheme, prefix, port), {
    auth: network.discoveryAuth,
    allowDowngrade: allowHttp,
  });
  if (answer.status !== 200) {
    throw new FetchError("HTTP_STATUS", `expected a 200 OK got ${answer.status}`);
  }
  return readMetaTags(await readText(answer));
}

function discoveryUrl(scheme: string, prefix: string, port: number | undefined): string {
  const [host = "", ...rest] = prefix.split("/");
  const at = port === undefined ? host : `${host}:${port}`;
  return `${scheme}://${[at, ...rest].join("/")}?ac-discovery=1`;
}

/** At most 1 MiB of the page: the head of a longer one is read, its rest does not matter. */
async function readText(answer: HttpAnswer): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body(Number.MAX_SAFE_INTEGER)) {
    chunks.push(chunk.subarray(0, MAX_HTML - size));
    size += chunk.length;
    if (size >= MAX_HTML) break;
  }
  return Buffer.concat(chunks).toString("utf8");
}
