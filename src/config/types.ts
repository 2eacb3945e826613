// SPDX-License-Identifier: Apache-2.0
// The configuration as the rest of Rocket sees it: parsed, checked and merged.
import type { TrustPolicy } from "../oci/trust-policy.ts";

export type { TrustPolicy };

export interface BasicCredentials {
  readonly user: string;
  readonly password: string;
}

/** How to authenticate to a host. */
export type Auth =
  | ({ readonly kind: "basic" } & BasicCredentials)
  | { readonly kind: "oauth"; readonly token: string }
  | {
      readonly kind: "aws";
      readonly accessKeyID: string;
      readonly secretAccessKey: string;
      /** undefined: guessed from the host. */
      readonly region: string | undefined;
    };

export interface Paths {
  readonly data?: string;
  readonly stage1Images?: string;
}

/** The stage1 image to use when no flag names one. `name` and `version` come together. */
export interface Stage1Default {
  readonly name?: string;
  readonly version?: string;
  readonly location?: string;
}

/**
 * The merged configuration. Each part is read when it is first asked for, and throws its ConfigError then:
 * a command that needs no credentials also works where it may not read them.
 */
export interface Config {
  /** By lower-case `host` or `host:port`. */
  readonly auth: ReadonlyMap<string, Auth>;
  /** By registry as written. */
  readonly dockerAuth: ReadonlyMap<string, BasicCredentials>;
  readonly paths: Paths;
  readonly stage1: Stage1Default;
  /** What has to vouch for OCI and Docker images, by prefix. */
  readonly trustPolicies: ReadonlyMap<string, TrustPolicy>;
}
