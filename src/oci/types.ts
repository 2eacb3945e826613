// SPDX-License-Identifier: Apache-2.0
// What an OCI or Docker image consists of, as data. Docker's schema 2 and OCI differ in media types only: both
// are these types. Only parse.ts makes them out of bytes.
import type { Brand } from "../lib/brand.ts";

/** `sha256:` and 64 hexadecimal digits, or `sha512:` and 128; lower case. Made by `parseDigest`. */
export type Digest = Brand<string, "Digest">;

/** In Go's words: `linux`, `amd64`, `v8`. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
  readonly osVersion?: string | undefined;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: Platform | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly artifactType?: string | undefined;
  /** The content itself, where it is embedded; not yet checked against the digest. */
  readonly data?: Uint8Array | undefined;
}

export interface OciManifest {
  readonly mediaType: string;
  readonly config: Descriptor;
  /** Lowest first. */
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly subject?: Descriptor | undefined;
  readonly artifactType?: string | undefined;
}

export interface OciIndex {
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

/** One step of how the image was made; only those that are not `emptyLayer` have a layer. */
export interface OciHistory {
  readonly created?: string | undefined;
  readonly createdBy?: string | undefined;
  readonly author?: string | undefined;
  readonly comment?: string | undefined;
  readonly emptyLayer: boolean;
}

/** Docker's health check; times in nanoseconds, 0 where the image leaves them to the engine. */
export interface OciHealthcheck {
  /** `["NONE"]`, `["CMD", …]`, `["CMD-SHELL", command]`, or empty: inherited. */
  readonly test: readonly string[];
  readonly interval: number;
  readonly timeout: number;
  readonly startPeriod: number;
  readonly startInterval: number;
  readonly retries: number;
}

/** The image config (`application/vnd.oci.image.config.v1+json`, Docker's container image config). */
export interface OciConfig {
  /** RFC 3339, as written. */
  readonly created?: string | undefined;
  readonly author?: string | undefined;
  readonly platform: Platform;
  readonly rootfs: {
    /** Digests of the uncompressed layers, lowest first. */
    readonly diffIDs: readonly Digest[];
  };
  readonly history: readonly OciHistory[];
  readonly config: OciExecution;
}

/** The part of the config that says how to run the image. Lists are undefined where the field is missing or null. */
export interface OciExecution {
  /** Empty: root. */
  readonly user: string;
  /** `80/tcp`, `80`. */
  readonly exposedPorts: readonly string[];
  /** `NAME=VALUE`. */
  readonly env: readonly string[];
  readonly entrypoint: readonly string[] | undefined;
  readonly cmd: readonly string[] | undefined;
  /** Absolute paths, as written. */
  readonly volumes: readonly string[];
  /** Empty: the root directory. */
  readonly workingDir: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `SIGTERM`, `15`; empty: the engine's default. */
  readonly stopSignal: string;
  readonly healthcheck: OciHealthcheck | undefined;
  /** For `CMD-SHELL` and shell forms; undefined: `/bin/sh -c`. */
  readonly shell: readonly string[] | undefined;
}
