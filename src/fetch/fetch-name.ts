// SPDX-License-Identifier: Apache-2.0
// An image by name: the keys for the name, the place by discovery, then as from any URL (rkt-cli.md §2.3).
import type { ACIdentifier, ImageKey, Labels } from "../appc/index.ts";
import { RktError } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import type { FetchContext } from "./context.ts";
import { discoverEndpoints } from "./discovery.ts";
import { fetchUrl } from "./fetch-url.ts";
import { networkOf } from "./network.ts";
import { discoverPublicKeys, trustKeys } from "./pubkeys.ts";

export interface NameSource {
  readonly name: ACIdentifier;
  /** For the URL: with os and arch. */
  readonly labels: Labels;
  /** What the manifest must have. */
  readonly required: Labels;
  readonly latest: boolean;
  readonly signatureFile: string | undefined;
  readonly limit: number | undefined;
}

export async function fetchName(source: NameSource, context: FetchContext): Promise<ImageKey> {
  const { name, labels } = source;
  const { report, insecure, discoveryPort } = context;
  report.line("image", `searching for app image ${name}`);
  const { found, failures } = await discoverEndpoints(
    { name, labels },
    {
      network: networkOf(context),
      allowHttp: insecure.http,
      ...(discoveryPort === undefined ? {} : { port: discoveryPort }),
    },
  );
  for (const { prefix, error } of failures) {
    report.debug("image", `meta tag ac-discovery not found on ${prefix}: ${error}`);
  }
  const [endpoint] = found;
  if (endpoint === undefined) throw new Error("discovery without a result");
  if (source.signatureFile === undefined) await fetchKeys(name, context);
  return await fetchUrl(
    {
      url: normalize(endpoint.aci),
      signature:
        source.signatureFile === undefined
          ? { kind: "url", url: endpoint.asc, discovered: true }
          : { kind: "file", path: source.signatureFile },
      expected: { name, labels: source.required },
      latest: source.latest,
      limit: source.limit,
    },
    context,
  );
}

/** One image, one key in the store's records, however the template writes it. */
function normalize(url: string): string {
  return URL.parse(url)?.href ?? url;
}

/** Keys for a name that has none yet. It may fail: then the signature has the last word. */
async function fetchKeys(name: string, context: FetchContext): Promise<void> {
  const { keystore, insecure, report } = context;
  if (keystore === undefined) return;
  if (insecure.tls && !insecure.pubkey) {
    report.line("image", "TLS verification has been disabled, not fetching keys");
    return;
  }
  if (keystore.hasKeyFor(name)) {
    report.line("image", `keys already exist for prefix ${quote(name)}, not fetching again`);
    return;
  }
  const network = { context, allowHttp: false };
  try {
    await trustKeys({
      ...network,
      keystore,
      prefix: name,
      locations: await discoverPublicKeys(name, network),
      automatic: true,
      skipReview: false,
      trustKeysFromHttps: context.trustKeysFromHttps,
      review: context.review,
      say: (text) => report.line("pubkey", text),
    });
  } catch (error) {
    if (!(error instanceof RktError)) throw error;
    const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
    report.line("image", `cannot fetch the keys for ${quote(name)}: ${error.message}${cause}`);
  }
}
