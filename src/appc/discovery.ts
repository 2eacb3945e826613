// SPDX-License-Identifier: Apache-2.0
// Meta discovery without the network: which hosts and paths to ask, what their meta tags say, how a template
// becomes a URL. (appc.md section 5)

import { getLabel } from "./labels.ts";
import type { ACIdentifier, Labels } from "./types.ts";

/** The name itself, then each parent down to the host: the order in which they are asked. */
export function discoveryPrefixes(name: string): string[] {
  const parts = name.split("/");
  return parts.map((_, dropped) => parts.slice(0, parts.length - dropped).join("/"));
}

/** A `<meta name=… content="PREFIX URL">` of a discovery page. */
export interface DiscoveryMeta {
  readonly name: string;
  readonly prefix: string;
  readonly url: string;
}

/** Undefined for a tag that is not about discovery, or is not complete. */
export function parseMeta(name: string, content: string): DiscoveryMeta | undefined {
  const trimmed = content.trim();
  const space = trimmed.indexOf(" ");
  const url = trimmed.slice(space + 1).trim();
  if (!name.startsWith("ac-") || space < 1 || url === "") return undefined;
  return { name, prefix: trimmed.slice(0, space), url };
}

export interface Endpoint {
  readonly aci: string;
  readonly asc: string;
}

export interface DiscoveryResult {
  readonly endpoints: readonly Endpoint[];
  readonly publicKeys: readonly string[];
}

/** What a page's tags offer for this image, in their order; templates that stay incomplete are dropped. */
export function matchMeta(
  metas: readonly DiscoveryMeta[],
  name: string,
  labels: Labels,
): DiscoveryResult {
  const relevant = metas.filter((meta) => name.startsWith(meta.prefix));
  const endpoints = relevant
    .filter((meta) => meta.name === "ac-discovery")
    .flatMap(({ url }) => {
      const aci = renderTemplate(url, { name, labels, ext: "aci" });
      const asc = renderTemplate(url, { name, labels, ext: "aci.asc" });
      return aci === undefined || asc === undefined ? [] : [{ aci, asc }];
    });
  const publicKeys = relevant
    .filter((meta) => meta.name === "ac-discovery-pubkeys")
    .map((meta) => meta.url);
  return { endpoints, publicKeys };
}

export interface TemplateValues {
  readonly name: string;
  readonly labels: Labels;
  readonly ext: "aci" | "aci.asc";
}

/** Plain substitution: `{name}`, then the labels, then `{ext}`. Undefined when a `{…}` remains. */
export function renderTemplate(template: string, values: TemplateValues): string | undefined {
  const { name, labels, ext } = values;
  const variables = [
    ["name", name],
    ...withVersion(labels).map((label) => [label.name, label.value]),
    ["ext", ext],
  ];
  const url = variables.reduce(
    // A function as replacement: in a string `$` would have a meaning.
    (text, [key, value = ""]) => text.replaceAll(`{${key}}`, () => value),
    template,
  );
  return /\{.*?\}/.test(url) ? undefined : url;
}

function withVersion(labels: Labels): Labels {
  if (getLabel(labels, "version")) return labels;
  const others = labels.filter((label) => label.name !== "version");
  return [...others, { name: "version" as ACIdentifier, value: "latest" }];
}
