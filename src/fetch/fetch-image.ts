// SPDX-License-Identifier: Apache-2.0
// From an image argument to an image in the store. What the store can answer is answered here; what needs the
// network or reads image files is loaded only then, because `rkt run` of a stored image passes through here.
import { formatAppString, type ImageKey } from "../appc/index.ts";
import { assertNever } from "../lib/assert-never.ts";
import { redactUrl } from "../lib/text.ts";
import type { Store } from "../store/index.ts";
import type { FetchContext, LocalContext } from "./context.ts";
import type { DockerReference } from "./docker-reference.ts";
import { notFound } from "./not-found.ts";
import {
  type DockerImageReference,
  type FetchableReference,
  type NameReference,
  parseReference,
  type UrlReference,
} from "./reference.ts";

export interface ImageOptions {
  /** --signature: a local file. */
  readonly signature?: string | undefined;
}

/** As `rkt fetch` takes it: a hash is not special. Dependencies are fetched too where the context says so. */
export async function fetchImage(
  text: string,
  context: FetchContext,
  options: ImageOptions = {},
): Promise<ImageKey> {
  return await obtain(parseReference(text, { hash: false }), context, options);
}

/**
 * As run, prepare and the stage1 flags take it: a hash first, which only the store can answer. `fetch` gives
 * what fetching needs, and is called only for an image that the store does not have.
 */
export async function findImage(
  text: string,
  local: LocalContext,
  fetch: () => Promise<FetchContext>,
  options: ImageOptions = {},
): Promise<ImageKey> {
  const reference = parseReference(text, { hash: true });
  if (reference.kind === "hash") return local.store.resolveKey(reference.hash);
  const isHere = reference.kind === "file" || reference.kind === "oci";
  const key = isHere ? undefined : obtainLocally(reference, local);
  const complete =
    key !== undefined &&
    (!local.dependencies || local.store.manifest(key).dependencies.length === 0);
  return complete ? key : await obtain(reference, await fetch(), options);
}

async function obtain(
  reference: FetchableReference,
  context: FetchContext,
  options: ImageOptions,
): Promise<ImageKey> {
  const key = await obtainAlone(reference, context, options);
  if (context.dependencies && context.store.manifest(key).dependencies.length > 0) {
    const { fetchDependencies } = await import("./dependencies.ts");
    await fetchDependencies(key, context);
  }
  return key;
}

async function obtainAlone(
  reference: FetchableReference,
  context: FetchContext,
  { signature }: ImageOptions,
): Promise<ImageKey> {
  switch (reference.kind) {
    case "file": {
      const { fetchFile } = await import("./fetch-file.ts");
      return await fetchFile(reference.path, signature, context);
    }
    case "url":
      return obtainLocally(reference, context) ?? (await obtainUrl(reference, signature, context));
    case "name":
      return obtainLocally(reference, context) ?? (await obtainName(reference, signature, context));
    case "docker":
      return (
        obtainLocally(reference, context) ?? (await obtainDocker(reference.reference, context))
      );
    case "oci": {
      const { fetchLocalOci } = await import("./fetch-local-oci.ts");
      return await fetchLocalOci(reference, context);
    }
    default:
      return assertNever(reference);
  }
}

/** The store's answer where the policy takes it; undefined when the image has to be fetched. */
function obtainLocally(
  reference: UrlReference | NameReference | DockerImageReference,
  context: LocalContext,
): ImageKey | undefined {
  const { store, pullPolicy, report } = context;
  if (pullPolicy === "update") return undefined;
  if (reference.kind === "name") {
    const key = store.findByName(reference.name, reference.labels, {
      preferVerified: !context.insecure.image,
    });
    if (key !== undefined) {
      report.debug("image", `using image from local store for image name ${reference.name}`);
      return key;
    }
    if (pullPolicy === "never") throw notFound("image name", formatAppString(reference));
    return undefined;
  }
  const url = reference.kind === "url" ? reference.url : dockerUrl(reference.reference, context);
  const record = store.remote(url);
  if (
    record !== undefined &&
    store.verification(record.key).kind !== "unknown" &&
    (reference.kind === "url" || context.insecure.image || isOf(record.key, reference, store))
  ) {
    report.debug("image", `using image from local store for url ${redactUrl(url)}`);
    return record.key;
  }
  if (pullPolicy === "never") throw notFound(reference.kind === "url" ? "URL" : "docker URL", url);
  return undefined;
}

/**
 * Whether the image has the name of this repository still. The same bytes that came from elsewhere since were let in by
 * the policy for that place, which is not ours.
 */
function isOf(key: ImageKey, { reference }: DockerImageReference, store: Store): boolean {
  const repository = `docker://${reference.registry}/${reference.repository}`;
  const from = store.ociImage(key)?.reference ?? "";
  return from.startsWith(repository) && /^(?:[:@]|$)/.test(from.slice(repository.length));
}

/** The key of what is known of a Docker reference: the platform is part of it where one was asked for. */
function dockerUrl({ friendly }: DockerReference, { platform }: LocalContext): string {
  return `docker://${friendly}${platform === undefined ? "" : `#${platform}`}`;
}

/**
 * What was last fetched by `docker:REFERENCE` for this machine, for commands that only look; undefined when there is
 * none or it has been removed.
 */
export function findStoredDocker(text: string, store: Store): ImageKey | undefined {
  const reference = parseReference(text, { hash: false });
  return reference.kind === "docker"
    ? store.remote(`docker://${reference.reference.friendly}`)?.key
    : undefined;
}

async function obtainDocker(reference: DockerReference, context: FetchContext): Promise<ImageKey> {
  const [{ registrySource }, { fetchOci }] = await Promise.all([
    import("./registry/source.ts"),
    import("./fetch-oci.ts"),
  ]);
  const key = await fetchOci(registrySource(reference, context), context);
  context.store.putRemote({
    url: dockerUrl(reference, context),
    signatureUrl: "",
    etag: "",
    maxAge: 0,
    key,
    downloadTime: new Date(),
  });
  return key;
}

async function obtainUrl(
  { url }: UrlReference,
  signature: string | undefined,
  context: FetchContext,
): Promise<ImageKey> {
  const [{ fetchUrl }, { signatureUrlBeside }] = await Promise.all([
    import("./fetch-url.ts"),
    import("./signature.ts"),
  ]);
  return await fetchUrl(
    {
      url,
      signature:
        signature === undefined
          ? { kind: "url", url: signatureUrlBeside(url), discovered: false }
          : { kind: "file", path: signature },
      expected: undefined,
      latest: false,
      limit: undefined,
    },
    context,
  );
}

async function obtainName(
  { name, labels, latest }: NameReference,
  signature: string | undefined,
  context: FetchContext,
): Promise<ImageKey> {
  const { fetchName } = await import("./fetch-name.ts");
  return await fetchName(
    { name, labels, required: labels, latest, signatureFile: signature, limit: undefined },
    context,
  );
}
