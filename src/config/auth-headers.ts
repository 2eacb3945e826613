// SPDX-License-Identifier: Apache-2.0
// The headers that authenticate a request. Credentials go to exactly the hosts that they are configured
// for, and never over an unencrypted connection.
import { assertNever } from "../lib/assert-never.ts";
import { guessAwsRegion, signAwsRequest } from "./aws-signature.ts";
import type { Auth, Config } from "./types.ts";

export interface AuthOptions {
  /** Discovery requests take no AWS signature. */
  readonly purpose?: "discovery" | "download";
  /** The present when left out; an AWS signature is valid for some minutes around it. */
  readonly date?: Date;
}

/**
 * Headers to add to a request, none when nothing is configured for its host. Call it again for each
 * redirect and retry: the answer depends on host and time.
 */
export function authHeaders(
  config: Config,
  url: string | URL,
  method: string,
  options: AuthOptions = {},
): Record<string, string> {
  const target = typeof url === "string" ? new URL(url) : url;
  if (target.protocol !== "https:") return {};
  const auth = findAuth(config, target);
  if (auth === undefined) return {};
  switch (auth.kind) {
    case "basic": {
      const login = Buffer.from(`${auth.user}:${auth.password}`).toString("base64");
      return { Authorization: `Basic ${login}` };
    }
    case "oauth":
      return { Authorization: `Bearer ${auth.token}` };
    case "aws": {
      if (options.purpose === "discovery") return {};
      const region = auth.region ?? guessAwsRegion(target.host);
      const date = options.date ?? new Date();
      return signAwsRequest({ method, url: target, region, date }, auth);
    }
    default:
      return assertNever(auth);
  }
}

/** `host:443` and `host` are the same place over https. */
function findAuth(config: Config, url: URL): Auth | undefined {
  const direct = config.auth.get(url.host);
  if (direct !== undefined || url.port !== "") return direct;
  return config.auth.get(`${url.hostname}:443`);
}
