// SPDX-License-Identifier: Apache-2.0
// cas/oci: the blobs of OCI images as they came, and their layers unpacked, each once. A digest is checked before it
// becomes part of a path.
import { chmodSync, mkdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import type { Digest } from "../oci/types.ts";
import { type KeyLock, tryLockKey } from "./key-lock.ts";
import { makeSharedDirectory, type StorePaths } from "./layout.ts";

/** `sha256/HEX`: where a layer lies below cas/oci/layer. */
export type LayerName = string & { readonly brand: "LayerName" };

export interface OciPaths {
  readonly root: string;
  readonly blobs: string;
  readonly layers: string;
  readonly locks: string;
  /** An empty directory: overlayfs mounts no single one. */
  readonly empty: string;
}

export function ociPaths({ cas }: Pick<StorePaths, "cas">): OciPaths {
  const root = join(cas, "oci");
  return {
    root,
    blobs: join(root, "blob"),
    layers: join(root, "layer"),
    locks: join(root, "locks"),
    empty: join(root, "empty"),
  };
}

/** Makes what is missing; the layers are root's alone, like trees. */
export function ensureOciLayout(paths: StorePaths): OciPaths {
  const oci = ociPaths(paths);
  if (statSync(oci.empty, { throwIfNoEntry: false }) !== undefined) return oci;
  for (const path of [oci.root, oci.blobs, oci.locks]) makeSharedDirectory(path);
  for (const [path, mode] of [
    [oci.layers, 0o700],
    [oci.empty, 0o755],
  ] as const) {
    try {
      mkdirSync(path, { mode });
      chmodSync(path, mode);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
  }
  return oci;
}

const DIGEST = /^(sha256|sha512):([0-9a-f]{64}|[0-9a-f]{128})$/;

export function blobPath(oci: OciPaths, digest: Digest): string {
  const match = DIGEST.exec(digest);
  if (match === null) throw new Error("not a digest");
  return join(oci.blobs, match[1] ?? "", match[2] ?? "");
}

/** The directory of a blob, made. */
export function makeBlobDirectory(oci: OciPaths, digest: Digest): string {
  const path = blobPath(oci, digest);
  makeSharedDirectory(dirname(path));
  return path;
}

export function layerName(digest: Digest): LayerName {
  const match = DIGEST.exec(digest);
  if (match === null) throw new Error("not a digest");
  return `${match[1]}/${match[2]}` as LayerName;
}

/** A line of a tree's `layers` as a name; undefined when it is something else. */
export function parseLayerName(text: string): LayerName | undefined {
  return /^(?:sha256\/[0-9a-f]{64}|sha512\/[0-9a-f]{128})$/.test(text)
    ? (text as LayerName)
    : undefined;
}

/** What overlayfs mounts. */
export function layerFiles(oci: OciPaths, name: LayerName): string {
  return join(oci.layers, name, "diff");
}

/** The name of the lock of everything that has this digest. */
export function lockName(digest: Digest): string {
  return digest.replace(":", "-");
}

const PATIENT_MS = 20;

/**
 * A lock that is held over awaits. It never blocks this process: who waits looks again, because the holder may be
 * another fetch in the same process.
 */
export async function waitForLock(
  directory: string,
  name: string,
  kind: "shared" | "exclusive",
): Promise<KeyLock> {
  for (;;) {
    const lock = tryLockKey(directory, name, kind);
    if (lock !== undefined) return lock;
    await new Promise((resolve) => setTimeout(resolve, PATIENT_MS));
  }
}

/** Held shared by whoever brings blobs and layers that no record names yet; gc takes it exclusively or goes away. */
export const BUSY = "busy";

/**
 * What stands for each layer and all below it, lowest first: its chain ID. The lowest layer's would be its diffID, which
 * stands for the layer wherever it lies: it has another, so that no image decides how a layer looks in another image.
 */
export function stackIDs(diffIDs: readonly Digest[]): readonly Digest[] {
  return chainIDs(diffIDs).map((id, i) => (i === 0 ? sha256(`lowest ${id}`) : id));
}

const sha256 = (text: string): Digest =>
  `sha256:${new Bun.CryptoHasher("sha256").update(text).digest("hex")}` as Digest;

/** The chain IDs of layers (OCI image specification, "Layer ChainID"), lowest first. */
function chainIDs(diffIDs: readonly Digest[]): readonly Digest[] {
  const chain: Digest[] = [];
  for (const diffID of diffIDs) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffID : sha256(`${below} ${diffID}`));
  }
  return chain;
}
