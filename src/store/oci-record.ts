// SPDX-License-Identifier: Apache-2.0
// What the record of an OCI or Docker image says besides: which blobs it consists of. Checked by hand, like the rest
// of a record.
import type { Digest } from "../oci/types.ts";

export interface StoredLayer {
  /** Of the blob as it came. */
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** Of the tar in it. */
  readonly diffID: Digest;
}

export interface StoredOci {
  readonly reference: string;
  /** Of the image manifest. */
  readonly digest: Digest;
  readonly mediaType: string;
  /** `linux/amd64`. */
  readonly platform: string;
  readonly config: Digest;
  /** Lowest first. */
  readonly layers: readonly StoredLayer[];
}

const DIGEST = /^sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$/;

export const isDigest = (value: unknown): value is Digest =>
  typeof value === "string" && DIGEST.test(value);

/** Undefined when it is not what was written. */
export function asStoredOci(value: unknown): StoredOci | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const json: Readonly<Record<string, unknown>> = { ...value };
  const { reference, digest, mediaType, platform, config, layers } = json;
  if (typeof reference !== "string" || typeof mediaType !== "string") return undefined;
  if (typeof platform !== "string" || !isDigest(digest) || !isDigest(config)) return undefined;
  if (!Array.isArray(layers)) return undefined;
  const known = layers.map(asStoredLayer).filter((layer) => layer !== undefined);
  if (known.length !== layers.length) return undefined;
  return { reference, digest, mediaType, platform, config, layers: known };
}

function asStoredLayer(value: unknown): StoredLayer | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const json: Readonly<Record<string, unknown>> = { ...value };
  const { digest, mediaType, size, diffID } = json;
  if (!isDigest(digest) || !isDigest(diffID)) return undefined;
  if (typeof mediaType !== "string" || typeof size !== "number") return undefined;
  return { digest, mediaType, size, diffID };
}
