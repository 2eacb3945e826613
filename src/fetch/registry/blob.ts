// SPDX-License-Identifier: Apache-2.0
// One blob as a stream that survives a broken connection: it is continued where it broke off. The reader
// checks the digest, so a part of something else cannot go unnoticed.
import { quote } from "../../lib/text.ts";
import type { Descriptor } from "../../oci/index.ts";
import { FetchError } from "../errors.ts";
import type { HttpAnswer } from "../http.ts";
import { isStrongEtag } from "../partial-file.ts";
import { parseContentRange } from "../resume.ts";
import { pauseOrThrow, type Tries } from "./retry.ts";
import type { RegistrySession } from "./session.ts";

/** However much came in between: a server that gives a byte at a time is left. */
const MAX_BREAKS = 50;

export interface BlobOptions {
  /** Bytes that are there already. */
  readonly offset: number;
  /** The image, for sentences. */
  readonly name: string;
  readonly tries: Tries;
}

/** The bytes from `offset` to the end; exactly so many, or an error. */
export async function* readBlob(
  session: RegistrySession,
  descriptor: Descriptor,
  { offset, name, tries }: BlobOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  let at = offset;
  let etag: string | undefined;
  let failures = 0;
  for (let breaks = 0; ; breaks++) {
    try {
      await using answer = await session.get(`blobs/${descriptor.digest}`, {
        ...(at === 0 ? {} : { Range: `bytes=${at}-` }),
        ...(at === 0 || etag === undefined ? {} : { "If-Range": etag }),
      });
      if (answer.status !== 200 && answer.status !== 206) throw await session.refusal(answer, name);
      let skip = toSkip(answer, { at, descriptor, name });
      etag = strongEtag(answer);
      for await (const chunk of answer.body(descriptor.size)) {
        const rest = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - rest.length;
        if (rest.length === 0) continue;
        at += rest.length;
        failures = 0;
        if (at > descriptor.size) throw lengthError(name, descriptor, "more");
        yield rest;
      }
      if (at === descriptor.size) return;
      throw new FetchError(
        "BODY_SHORT",
        `cannot fetch ${quote(name)}: the registry sent ${at} of the ${descriptor.size} bytes of ${descriptor.digest}`,
      );
    } catch (error) {
      failures++;
      if (breaks >= MAX_BREAKS) throw error;
      await pauseOrThrow(failures, error, tries);
    }
  }
}

/** How many bytes of the answer are there already: none of the part that was asked for, else all of them. */
function toSkip(
  answer: HttpAnswer,
  wanted: { readonly at: number; readonly descriptor: Descriptor; readonly name: string },
): number {
  const { at, descriptor, name } = wanted;
  if (answer.status === 200) {
    if (answer.length !== undefined && answer.length !== descriptor.size) {
      throw lengthError(name, descriptor, `${answer.length}`);
    }
    return at;
  }
  const range = parseContentRange(answer.headers.get("content-range"));
  const isWanted =
    at > 0 && range?.first === at && (range.total === undefined || range.total === descriptor.size);
  if (!isWanted) {
    throw new FetchError(
      "HTTP_INVALID",
      `cannot fetch ${quote(name)}: the registry sent another part of ${descriptor.digest} than was asked for`,
    );
  }
  return 0;
}

function strongEtag({ headers }: HttpAnswer): string | undefined {
  const etag = headers.get("etag")?.trim() ?? "";
  return isStrongEtag(etag) ? etag : undefined;
}

function lengthError(name: string, { digest, size }: Descriptor, has: string): FetchError {
  return new FetchError(
    "REGISTRY_INVALID",
    `cannot fetch ${quote(name)}: the registry has ${has} bytes for ${digest}, which is ${size} long by the manifest`,
  );
}
