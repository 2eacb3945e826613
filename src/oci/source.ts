// SPDX-License-Identifier: Apache-2.0
// Where an OCI or Docker image comes from: a registry, a layout directory, an archive. Nothing that a source
// gives is trusted: the caller checks every digest.
import type { Descriptor, Digest } from "./types.ts";

export interface SourceManifest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly digest: Digest;
}

export interface OciSource {
  /** As it is recorded and shown: `docker://registry-1.docker.io/library/busybox:latest`, `oci:/dir:ref`, `docker-archive:/file:name:tag`. */
  readonly reference: string;
  /** `HOST/REPOSITORY` for trust policies; undefined for a local source. */
  readonly repository: string | undefined;
  readonly tag: string | undefined;
  /** The manifest or index that the reference stands for. */
  resolve(): Promise<SourceManifest>;
  /** A manifest, index or artifact manifest by digest; undefined when there is none. */
  manifest(digest: Digest): Promise<SourceManifest | undefined>;
  /** A manifest by another tag of the same repository (cosign's sha256-HEX.sig); undefined when there is none. */
  tagged(tag: string): Promise<SourceManifest | undefined>;
  /** What refers to a manifest (OCI 1.1 referrers, with the fallback tag); empty when there is none. */
  referrers(digest: Digest): Promise<readonly Descriptor[]>;
  /** The bytes of a blob as they come, at most `descriptor.size` of them. Resumes by itself. A chunk is good until the next is asked for. */
  blob(descriptor: Descriptor): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}
