// SPDX-License-Identifier: Apache-2.0
// The pods that are registered: by UUID for rkt, by token for the pods themselves.
import { createHash, timingSafeEqual } from "node:crypto";
import type { ImageManifest, PodManifest } from "../../appc/index.ts";

export interface RegisteredPod {
  readonly uuid: string;
  readonly manifest: PodManifest;
  /** As it is given to the pod. */
  readonly manifestText: string;
  readonly images: ReadonlyMap<string, RegisteredImage>;
}

export interface RegisteredImage {
  readonly manifest: ImageManifest;
  readonly text: string;
}

interface Entry extends RegisteredPod {
  readonly digest: Buffer;
  readonly images: Map<string, RegisteredImage>;
}

const digestOf = (token: string): Buffer => createHash("sha256").update(token).digest();

export class Registry {
  readonly #byUuid = new Map<string, Entry>();
  /** By the token's digest, so that the time that a wrong guess takes says nothing about a right one. */
  readonly #byDigest = new Map<string, Entry>();

  uuids(): readonly string[] {
    return [...this.#byUuid.keys()];
  }

  has(uuid: string): boolean {
    return this.#byUuid.has(uuid);
  }

  /** False when another pod has this token. A pod that is registered again is replaced. */
  add(token: string, pod: Omit<RegisteredPod, "images">): boolean {
    const digest = digestOf(token);
    const other = this.#byDigest.get(digest.toString("hex"));
    if (other !== undefined && other.uuid !== pod.uuid) return false;
    this.remove(pod.uuid);
    const entry = { ...pod, digest, images: new Map() };
    this.#byUuid.set(pod.uuid, entry);
    this.#byDigest.set(digest.toString("hex"), entry);
    return true;
  }

  /** False for a pod that is not registered. */
  addImage(uuid: string, app: string, image: RegisteredImage): boolean {
    const entry = this.#byUuid.get(uuid);
    entry?.images.set(app, image);
    return entry !== undefined;
  }

  remove(uuid: string): boolean {
    const entry = this.#byUuid.get(uuid);
    if (entry === undefined) return false;
    this.#byUuid.delete(uuid);
    this.#byDigest.delete(entry.digest.toString("hex"));
    return true;
  }

  byToken(token: string): RegisteredPod | undefined {
    const digest = digestOf(token);
    const entry = this.#byDigest.get(digest.toString("hex"));
    return entry !== undefined && timingSafeEqual(entry.digest, digest) ? entry : undefined;
  }
}
