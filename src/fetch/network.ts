// SPDX-License-Identifier: Apache-2.0
// The HTTP client of one context, made once, with the warning that belongs to it.
import { authHeaders } from "../config/index.ts";
import type { NetworkContext } from "./context.ts";
import { type HttpClient, type HttpRequest, openHttp } from "./http.ts";

export interface Network {
  readonly client: HttpClient;
  readonly auth: NonNullable<HttpRequest["auth"]>;
  readonly discoveryAuth: NonNullable<HttpRequest["auth"]>;
}

const networks = new WeakMap<NetworkContext, Network>();

export function networkOf(context: NetworkContext): Network {
  const known = networks.get(context);
  if (known !== undefined) return known;
  if (context.insecure.tls) {
    context.report.line("image", "warning: TLS verification has been disabled");
  }
  const network = openNetwork(context, context.insecure.tls);
  networks.set(context, network);
  return network;
}

/** A client of its own, for a caller with a rule of its own about certificates. */
export function openNetwork(context: NetworkContext, insecureTls: boolean): Network {
  return {
    client: openHttp({
      version: context.version,
      insecureTls,
      ...(context.env === undefined ? {} : { env: context.env }),
      ...(context.timeouts === undefined ? {} : { timeouts: context.timeouts }),
    }),
    auth: (url, method) => authHeaders(context.config, url, method),
    discoveryAuth: (url, method) =>
      authHeaders(context.config, url, method, { purpose: "discovery" }),
  };
}
