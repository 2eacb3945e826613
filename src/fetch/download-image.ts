// SPDX-License-Identifier: Apache-2.0
// One image file from one URL into its partial file, continued where an earlier attempt broke off, hashed on
// the way (rkt-cli.md §2.2). Nothing here looks into the image beyond its first bytes.
import { dirname } from "node:path";
import type { Progress, Reporter } from "../lib/reporter.ts";
import { quote, redactUrl } from "../lib/text.ts";
import type { HashName, RawImage } from "../trust/index.ts";
import { parseMaxAge } from "./cache-control.ts";
import { FetchError } from "./errors.ts";
import { checkSpace, type Hashes, HashWriter, hashExisting, newHashes } from "./hash-writer.ts";
import type { HttpAnswer } from "./http.ts";
import { statusError } from "./http-status.ts";
import type { Network } from "./network.ts";
import type { PartialFile } from "./partial-file.ts";
import { hashesFor, rawFile } from "./raw-file.ts";
import { decideResume, parseContentRange } from "./resume.ts";

export interface DownloadOptions {
  readonly network: Network;
  /** Locked by the caller, who disposes it. After a failure that leaves something worth keeping, `keep` is set. */
  readonly file: PartialFile;
  /** Of the copy in the store, for If-None-Match; undefined when there is none. */
  readonly etag: string | undefined;
  readonly hashNames: readonly HashName[];
  readonly limit: number;
  readonly allowDowngrade: boolean;
  readonly report: Reporter;
}

export type Download =
  | { readonly kind: "not-modified" }
  | {
      readonly kind: "complete";
      readonly raw: RawImage;
      readonly etag: string;
      readonly maxAge: number;
    };

export async function downloadImage(url: string, options: DownloadOptions): Promise<Download> {
  try {
    return await download(url, options);
  } catch (error) {
    options.file.keep = isWorthKeeping(error);
    throw error;
  }
}

/**
 * Whether a later attempt may continue from the file. A server that is away or confused says nothing against
 * what it sent before; a full disk is not helped by it.
 */
function isWorthKeeping(error: unknown): boolean {
  if (!(error instanceof FetchError)) return false;
  return error.code !== "DISK_FULL" && error.code !== "TOO_LARGE" && error.code !== "HTTP_INVALID";
}

async function download(url: string, options: DownloadOptions): Promise<Download> {
  const { file } = options;
  let resume = file.size() > 0 ? await askToResume(url, options) : undefined;
  if (resume?.complete === true) {
    const hashes = existingHashes(options);
    return {
      kind: "complete",
      raw: rawFile(file, hashes),
      etag: resume.etag,
      maxAge: resume.maxAge,
    };
  }
  for (;;) {
    await using answer = await options.network.client.request(url, {
      auth: options.network.auth,
      allowDowngrade: options.allowDowngrade,
      headers: {
        ...(options.etag === undefined ? {} : { "If-None-Match": options.etag }),
        ...(resume === undefined
          ? {}
          : { Range: `bytes=${resume.offset}-`, "If-Range": resume.validator }),
      },
    });
    switch (answer.status) {
      case 304:
        if (options.etag === undefined)
          throw invalid(url, "it says 304 to an unconditional request");
        file.keep = false;
        return { kind: "not-modified" };
      case 416:
        if (resume === undefined) throw statusError("ACI", url, 416);
        resume = undefined;
        break;
      case 206:
        return await receive(url, answer, options, checkRange(url, answer, resume));
      case 200:
        return await receive(url, answer, options, undefined);
      default:
        throw statusError("ACI", url, answer.status);
    }
  }
}

interface Resume {
  readonly offset: number;
  readonly validator: string;
  readonly complete: boolean;
  readonly etag: string;
  readonly maxAge: number;
}

async function askToResume(
  url: string,
  { network, file, report, allowDowngrade }: DownloadOptions,
): Promise<Resume | undefined> {
  await using answer = await network.client.request(url, {
    method: "HEAD",
    auth: network.auth,
    allowDowngrade,
  });
  const { headers } = answer;
  const offset = file.size();
  const decision = decideResume(
    {
      status: answer.status,
      acceptRanges: headers.get("accept-ranges"),
      etag: headers.get("etag"),
      lastModified: headers.get("last-modified"),
      length: answer.length,
    },
    { size: offset, origin: file.origin() },
  );
  if (decision.kind === "restart") {
    report.line("image", decision.reason);
    return undefined;
  }
  return {
    offset,
    validator: decision.validator,
    complete: decision.complete,
    etag: headers.get("etag") ?? "",
    maxAge: parseMaxAge(headers.get("cache-control")),
  };
}

interface Range {
  readonly offset: number;
  readonly total: number | undefined;
}

/** The answer to a range request must be that very range. */
function checkRange(url: string, answer: HttpAnswer, resume: Resume | undefined): Range {
  const range = parseContentRange(answer.headers.get("content-range"));
  if (resume === undefined) throw invalid(url, "it sent a part though all was asked for");
  if (range === undefined || range.first !== resume.offset) {
    throw invalid(url, "it sent another part than was asked for");
  }
  if (range.total !== undefined && range.last !== range.total - 1) {
    throw invalid(url, "it sent a shorter part than was asked for");
  }
  return { offset: range.first, total: range.total };
}

async function receive(
  url: string,
  answer: HttpAnswer,
  options: DownloadOptions,
  range: Range | undefined,
): Promise<Download> {
  const { file, limit, report } = options;
  const etag = answer.headers.get("etag") ?? "";
  const offset = range?.offset ?? 0;
  const total = range === undefined ? answer.length : range.total;
  if (total !== undefined && total > limit) throw tooLarge(url, limit);
  if (range === undefined) file.restart(etag);
  if (total !== undefined) checkSpace(dirname(file.path), total - offset);
  const progress = report.progress("ACI", total);
  try {
    const hashes = await write(answer, options, { offset, progress });
    if (total !== undefined && file.size() !== total)
      throw invalid(url, "its lengths do not agree");
    const maxAge = parseMaxAge(answer.headers.get("cache-control"));
    return { kind: "complete", raw: rawFile(file, hashes), etag, maxAge };
  } finally {
    progress.finish();
  }
}

/** Appends the body to the file; what was received before an error is on disk when it throws. */
async function write(
  answer: HttpAnswer,
  options: DownloadOptions,
  { offset, progress }: { readonly offset: number; readonly progress: Progress },
): Promise<Hashes> {
  const { file } = options;
  let writer = offset === 0 ? undefined : new HashWriter(file, existingHashes(options), offset);
  let hashes = writer?.hashes ?? newHashes([]);
  try {
    for await (const chunk of answer.body(options.limit - offset)) {
      if (writer === undefined) {
        hashes = newHashes(hashesFor(chunk, options.hashNames));
        writer = new HashWriter(file, hashes);
      }
      await writer.write(chunk);
      progress.update(writer.position);
    }
  } finally {
    await writer?.finish();
  }
  return hashes;
}

function existingHashes({ file, hashNames }: DownloadOptions): Hashes {
  // Too little is there to see whether it is compressed: sha512 in vain is cheaper than a second pass.
  const hashes = newHashes([...hashNames, "sha512"]);
  hashExisting(file.fd, file.size(), hashes);
  return hashes;
}

function invalid(url: string, why: string): FetchError {
  return new FetchError(
    "HTTP_INVALID",
    `error downloading the ACI from ${quote(redactUrl(url))}: the server misbehaves: ${why}`,
  );
}

function tooLarge(url: string, limit: number): FetchError {
  return new FetchError(
    "TOO_LARGE",
    `error downloading the ACI from ${quote(redactUrl(url))}: it is larger than ${limit} bytes`,
  );
}
