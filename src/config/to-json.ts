// SPDX-License-Identifier: Apache-2.0
// The merged configuration in the form of its files, for `rkt config`.
import { assertNever } from "../lib/assert-never.ts";
import { trustPolicyToJson } from "./trust-policy.ts";
import type { Auth, Config } from "./types.ts";

/**
 * `{"stage0": […]}`: one entry per auth domain and docker registry, by name, then always one `paths` and
 * one `stage1`. Holds the credentials.
 */
export function toJson(config: Config): { readonly stage0: readonly object[] } {
  const { paths, stage1 } = config;
  return {
    stage0: [
      ...sorted(config.auth).map(([domain, auth]) => ({
        ...header("auth"),
        domains: [domain],
        type: auth.kind,
        credentials: credentials(auth),
      })),
      ...sorted(config.dockerAuth).map(([registry, login]) => ({
        ...header("dockerAuth"),
        registries: [registry],
        credentials: { user: login.user, password: login.password },
      })),
      {
        ...header("paths"),
        data: paths.data ?? "",
        "stage1-images": paths.stage1Images ?? "",
      },
      {
        ...header("stage1"),
        name: stage1.name ?? "",
        version: stage1.version ?? "",
        location: stage1.location ?? "",
      },
      ...sorted(config.trustPolicies).map(([, policy]) => trustPolicyToJson(policy)),
    ],
  };
}

function header(kind: string) {
  return { rktVersion: "v1", rktKind: kind };
}

function sorted<T>(map: ReadonlyMap<string, T>): (readonly [string, T])[] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

function credentials(auth: Auth): object {
  switch (auth.kind) {
    case "basic":
      return { user: auth.user, password: auth.password };
    case "oauth":
      return { token: auth.token };
    case "aws":
      return {
        accessKeyID: auth.accessKeyID,
        secretAccessKey: auth.secretAccessKey,
        ...(auth.region === undefined ? {} : { awsRegion: auth.region }),
      };
    default:
      return assertNever(auth);
  }
}
