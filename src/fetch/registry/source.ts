// SPDX-License-Identifier: Apache-2.0
// A repository of a registry as a source of images: OCI's distribution specification and Docker's registry
// protocol, version 2. Mirrors are asked first, in the order of registries.conf; the registry itself last.
import { createHash } from "node:crypto";
import { quote } from "../../lib/text.ts";
import {
  type Descriptor,
  type Digest,
  isIndexType,
  MAX_DOCUMENT_BYTES,
  MEDIA_TYPES,
  type OciSource,
  parseDigest,
  parseIndex,
  type SourceManifest,
} from "../../oci/index.ts";
import type { NetworkContext } from "../context.ts";
import type { DockerReference } from "../docker-reference.ts";
import { FetchError } from "../errors.ts";
import type { HttpAnswer } from "../http.ts";
import { readSmallBody } from "../read-small.ts";
import { readBlob } from "./blob.ts";
import { endpointsOf, loadRegistriesConf } from "./registries-conf.ts";
import { type Tries, withTries } from "./retry.ts";
import { openSession, type RegistrySession } from "./session.ts";

/** Manifests and indexes; also what artifacts come as. Docker's schema 1 is not asked for. */
const ACCEPT = [
  MEDIA_TYPES.index,
  MEDIA_TYPES.manifest,
  MEDIA_TYPES.dockerList,
  MEDIA_TYPES.dockerManifest,
].join(", ");

const MAX_REFERRER_PAGES = 20;
const MAX_REFERRERS = 1000;

/** Whoever waits longer is told why. */
const LONG_PAUSE = 3000;

/** Asks nobody before a method is called. Throws REGISTRY_BLOCKED and REGISTRIES_CONF_INVALID. */
export function registrySource(reference: DockerReference, context: NetworkContext): OciSource {
  const { registry, repository, tag, digest } = reference;
  const name = `docker://${registry}/${repository}`;
  const full = `${name}${tag === "" ? "" : `:${tag}`}${digest === "" ? "" : `@${digest}`}`;
  const env = context.env ?? process.env;
  const rules = loadRegistriesConf(env, process.getuid?.() === 0, (text) =>
    context.report.line("image", text),
  );
  const sessions = endpointsOf(reference, rules).map((endpoint) =>
    openSession(endpoint, context, full),
  );
  const away = new Set<RegistrySession>();
  const tries: Tries = {
    pause: context.pause ?? Bun.sleep,
    onPause: (text, milliseconds) =>
      context.report[milliseconds < LONG_PAUSE ? "debug" : "line"]("image", text),
  };

  /** Mirrors that failed are not asked again; the registry itself, the last, always is. */
  const present = (): readonly RegistrySession[] => sessions.filter((each) => !away.has(each));

  function giveUp(session: RegistrySession, error: unknown): void {
    if (!session.endpoint.mirror || !(error instanceof FetchError)) throw error;
    away.add(session);
    context.report.debug("image", `mirror ${session.endpoint.host} is left out: ${error.message}`);
  }

  /** The first answer that `read` takes; it gives undefined for "not here". */
  async function ask<T>(
    path: string,
    accept: string,
    read: (answer: HttpAnswer, session: RegistrySession) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    for (const session of present()) {
      try {
        const found = await withTries(
          async () => {
            await using answer = await session.get(path, { Accept: accept });
            return await read(answer, session);
          },
          session.endpoint.mirror ? { ...tries, most: 2 } : tries,
        );
        if (found !== undefined) return found;
      } catch (error) {
        giveUp(session, error);
      }
    }
    return undefined;
  }

  const askManifest = async (reference: string, wanted: Digest | undefined, optional: boolean) =>
    await ask(`manifests/${reference}`, ACCEPT, async (answer, session) => {
      if (answer.status === 404 && (optional || session.endpoint.mirror)) return undefined;
      const shown = optional ? `${name}${wanted === undefined ? ":" : "@"}${reference}` : full;
      if (answer.status !== 200) throw await session.refusal(answer, shown);
      return await readManifest(answer, { shown, wanted });
    });

  async function askReferrers(digest: Digest): Promise<readonly Descriptor[] | undefined> {
    const found: Descriptor[] = [];
    let query = "";
    for (let page = 0; page < MAX_REFERRER_PAGES; page++) {
      const path = `referrers/${digest}${query}`;
      const next = await ask(path, MEDIA_TYPES.index, async (answer, session) => {
        const mediaType = typeOf(answer);
        // A registry without this interface says 404, or something that is no index.
        if (answer.status === 404 || answer.status === 400 || answer.status === 405) {
          return undefined;
        }
        if (answer.status !== 200) throw await session.refusal(answer, `${name}@${digest}`);
        if (isIndexType(mediaType) !== true) return undefined;
        const bytes = await readSmallBody(answer, MAX_DOCUMENT_BYTES);
        found.push(...parseIndex(bytes, mediaType).manifests);
        return nextPage(answer.headers.get("link"), answer.url);
      });
      if (next === undefined) return page === 0 ? undefined : found;
      if (next === "" || found.length >= MAX_REFERRERS) break;
      query = next;
    }
    return found.slice(0, MAX_REFERRERS);
  }

  return {
    reference: full,
    repository: `${registry}/${repository}`,
    tag: tag === "" ? undefined : tag,
    async resolve() {
      const wanted = digest === "" ? undefined : parseDigest(digest);
      const found = await askManifest(wanted ?? tag, wanted, false);
      if (found === undefined) throw new Error("the registry itself was not asked");
      return found;
    },
    manifest: async (wanted) => await askManifest(wanted, wanted, true),
    async tagged(other) {
      if (!/^\w[\w.-]{0,127}$/.test(other)) return undefined;
      return await askManifest(other, undefined, true);
    },
    async referrers(subject) {
      const found = await askReferrers(subject);
      if (found !== undefined) return found;
      const index = await askManifest(subject.replace(":", "-"), undefined, true);
      if (index === undefined || isIndexType(index.mediaType) !== true) return [];
      return parseIndex(index.bytes, index.mediaType).manifests.slice(0, MAX_REFERRERS);
    },
    async *blob(descriptor) {
      let offset = 0;
      for (const session of present()) {
        try {
          for await (const chunk of readBlob(session, descriptor, { offset, name: full, tries })) {
            offset += chunk.length;
            yield chunk;
          }
          return;
        } catch (error) {
          giveUp(session, error);
        }
      }
    },
    async close() {},
  };
}

async function readManifest(
  answer: HttpAnswer,
  { shown, wanted }: { readonly shown: string; readonly wanted: Digest | undefined },
): Promise<SourceManifest> {
  const bytes = await readSmallBody(answer, MAX_DOCUMENT_BYTES);
  const digest = digestOf(bytes, wanted);
  const invalid = (why: string): FetchError =>
    new FetchError("REGISTRY_INVALID", `cannot fetch ${quote(shown)}: ${why}`);
  if (wanted !== undefined && digest !== wanted) {
    throw invalid("the registry sent a manifest with another digest");
  }
  const said = answer.headers.get("docker-content-digest")?.trim();
  if (said !== undefined && /^sha(?:256|512):/.test(said) && digestOf(bytes, said) !== said) {
    throw invalid("the manifest does not have the digest that the registry says it has");
  }
  return { bytes, mediaType: typeOf(answer) || ownType(bytes), digest };
}

function digestOf(bytes: Uint8Array, like: string | undefined): Digest {
  const algorithm = like?.startsWith("sha512:") === true ? "sha512" : "sha256";
  return parseDigest(`${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`);
}

/** Empty where the server says nothing of use. */
function typeOf({ headers }: HttpAnswer): string {
  const type = (headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return /^(?:application\/(?:json|octet-stream)|text\/.*)$/.test(type) ? "" : type;
}

/** What the document calls itself; what is wrong with it is for its parser to say. */
function ownType(bytes: Uint8Array): string {
  try {
    const { mediaType, manifests } = JSON.parse(Buffer.from(bytes).toString("utf8")) ?? {};
    if (typeof mediaType === "string") return mediaType;
    return Array.isArray(manifests) ? MEDIA_TYPES.index : MEDIA_TYPES.manifest;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return "";
  }
}

/** The query of `Link: <URL>; rel="next"`; empty when there is none. Only the query: the place stays. */
function nextPage(link: string | null, url: string): string {
  const target = /<([^<>]{1,4096})>\s*;\s*rel="?next"?/.exec(link ?? "")?.[1];
  return target === undefined ? "" : (URL.parse(target, url)?.search ?? "");
}
