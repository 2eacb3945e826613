// SPDX-License-Identifier: Apache-2.0
// Everything below an image that is in the store: its dependencies, and theirs. Each is fetched by name and
// verified like an image that a person asked for.
import {
  type Dependency,
  formatLabels,
  type ImageKey,
  imageKey,
  shortID,
  withHostLabels,
} from "../appc/index.ts";
import { quote } from "../lib/text.ts";
import type { FetchContext } from "./context.ts";
import { FetchError } from "./errors.ts";
import { fetchName } from "./fetch-name.ts";
import { MAX_DEPENDENCIES, MAX_DEPENDENCY_DEPTH } from "./limits.ts";
import { notFound } from "./not-found.ts";
import { findStored } from "./stored.ts";

export async function fetchDependencies(key: ImageKey, context: FetchContext): Promise<void> {
  const done = new Set<ImageKey>();
  const resolved = new Map<string, ImageKey>();

  async function visit(image: ImageKey, path: readonly ImageKey[]): Promise<void> {
    if (path.length > MAX_DEPENDENCY_DEPTH) {
      throw new FetchError(
        "DEPENDENCY_LIMIT",
        `dependencies are nested more than ${MAX_DEPENDENCY_DEPTH} deep`,
        { details: { image: key } },
      );
    }
    for (const dependency of context.store.manifest(image).dependencies) {
      const found = await resolveOnce(dependency);
      if (path.includes(found)) throw cycle(path, found);
      if (!done.has(found)) await visit(found, [...path, found]);
    }
    done.add(image);
  }

  async function resolveOnce(dependency: Dependency): Promise<ImageKey> {
    const id = `${dependency.imageName}\n${formatLabels(dependency.labels)}\n${dependency.imageID ?? ""}`;
    const known = resolved.get(id);
    if (known !== undefined) return known;
    if (resolved.size >= MAX_DEPENDENCIES) {
      throw new FetchError("DEPENDENCY_LIMIT", `more than ${MAX_DEPENDENCIES} dependencies`, {
        details: { image: key },
      });
    }
    const found = await resolve(dependency, context);
    resolved.set(id, found);
    return found;
  }

  function cycle(path: readonly ImageKey[], again: ImageKey): FetchError {
    const names = [...path.slice(path.indexOf(again)), again].map((image) =>
      quote(context.store.manifest(image).name),
    );
    return new FetchError("DEPENDENCY_CYCLE", `dependency cycle: ${names.join(" needs ")}`, {
      details: { image: key },
    });
  }

  await visit(key, [key]);
}

async function resolve(dependency: Dependency, context: FetchContext): Promise<ImageKey> {
  const { imageName, imageID, labels, size } = dependency;
  const { store, pullPolicy } = context;
  const pinned = imageID === undefined ? undefined : imageKey(imageID);
  // The ID says which bytes: another download could only give the same.
  if (pinned !== undefined && findStored(store, pinned) !== undefined) return pinned;
  if (pinned === undefined && pullPolicy !== "update") {
    const local = store.findByName(imageName, labels, { preferVerified: !context.insecure.image });
    if (local !== undefined) return local;
  }
  if (pullPolicy === "never") throw notFound("image name", imageName);
  const key = await fetchName(
    {
      name: imageName,
      labels: withHostLabels(labels, { platform: process.platform, arch: process.arch }),
      required: labels,
      latest: !labels.some((label) => label.name === "version"),
      signatureFile: undefined,
      limit: size > 0 ? size : undefined,
    },
    context,
  );
  if (pinned !== undefined && key !== pinned) {
    throw new FetchError(
      "DEPENDENCY_MISMATCH",
      `dependency ${quote(imageName)} doesn't match hash: ${shortID(pinned)} expected but ${shortID(key)} found`,
      { details: { name: imageName, expected: pinned, found: key } },
    );
  }
  return key;
}
