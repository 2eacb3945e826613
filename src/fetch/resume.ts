// SPDX-License-Identifier: Apache-2.0
// Whether a partial download may be continued (rkt-cli.md §2.2): a pure decision about what the server says of
// the file now and what is known from when the download began.
import { isStrongEtag, type Origin } from "./partial-file.ts";

export interface RemoteFacts {
  readonly status: number;
  readonly acceptRanges: string | null;
  readonly etag: string | null;
  readonly lastModified: string | null;
  readonly length: number | undefined;
}

export type ResumeDecision =
  /** Continue; `validator` goes into If-Range, so that the server sends all of it if it changed since. */
  | { readonly kind: "resume"; readonly validator: string; readonly complete: boolean }
  | { readonly kind: "restart"; readonly reason: string };

export function decideResume(
  remote: RemoteFacts,
  partial: { readonly size: number; readonly origin: Origin | undefined },
): ResumeDecision {
  if (remote.status !== 200) {
    return restart(`bad HTTP status code from HEAD request: ${remote.status}`);
  }
  if (remote.acceptRanges?.trim().toLowerCase() !== "bytes") {
    return restart("cannot use cached partial download, range request unsupported.");
  }
  const validator = findValidator(remote, partial.origin);
  const { length } = remote;
  if (validator === undefined || (length !== undefined && length < partial.size)) {
    return restart("cannot use cached partial download, resource updated.");
  }
  return { kind: "resume", validator, complete: length === partial.size };
}

/** An ETag decides where both sides have one; else the file must be older than the download. */
function findValidator(remote: RemoteFacts, origin: Origin | undefined): string | undefined {
  if (origin === undefined) return undefined;
  const etag = remote.etag?.trim() ?? "";
  if (origin.etag !== "" && isStrongEtag(etag)) return etag === origin.etag ? etag : undefined;
  const modified = Date.parse(remote.lastModified ?? "");
  if (Number.isNaN(modified)) return undefined;
  // The header counts whole seconds: a change within the second in which the download began is not seen.
  return modified + 1000 <= origin.startedMs ? (remote.lastModified ?? undefined) : undefined;
}

function restart(reason: string): ResumeDecision {
  return { kind: "restart", reason };
}

/** First byte and total of `Content-Range: bytes FIRST-LAST/TOTAL`; undefined when it is malformed. */
export function parseContentRange(
  header: string | null,
):
  | { readonly first: number; readonly last: number; readonly total: number | undefined }
  | undefined {
  const match = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/([0-9]{1,15}|\*)$/.exec(header?.trim() ?? "");
  if (match === null) return undefined;
  const [first, last] = [Number(match[1]), Number(match[2])];
  const total = match[3] === "*" ? undefined : Number(match[3]);
  if (last < first || (total !== undefined && last >= total)) return undefined;
  return { first, last, total };
}
