// SPDX-License-Identifier: Apache-2.0
// The way to the sigstore libraries: loaded only when there is a sigstore signature to check. What they throw is put
// into our words here.
import type * as BundleLibrary from "@sigstore/bundle";
import type * as CoreLibrary from "@sigstore/core";
import type * as VerifyLibrary from "@sigstore/verify";
import { once } from "../../lib/once.ts";
import { quote } from "../../lib/text.ts";
import { TrustError, type TrustErrorCode } from "../errors.ts";

export interface Sigstore {
  readonly bundle: typeof BundleLibrary;
  readonly core: typeof CoreLibrary;
  readonly verify: typeof VerifyLibrary;
}

export const loadSigstore: () => Promise<Sigstore> = once(async () => ({
  bundle: await import("@sigstore/bundle"),
  core: await import("@sigstore/core"),
  verify: await import("@sigstore/verify"),
}));

const SENTENCES: Readonly<Record<string, readonly [TrustErrorCode, string]>> = {
  SIGNATURE_ERROR: ["SIGNATURE_INVALID", "signature does not match what it was made for"],
  CERTIFICATE_ERROR: [
    "CERTIFICATE_INVALID",
    "the signature's certificate is not one of the trust root's",
  ],
  PUBLIC_KEY_ERROR: ["KEY_UNTRUSTED", "signature was made by another key"],
  TIMESTAMP_ERROR: ["TIMESTAMP_INVALID", "nobody trusted says when the signature was made"],
  TLOG_ERROR: ["LOG_INVALID", "the signature does not come with its place in a transparency log"],
  TLOG_MISSING_INCLUSION_ERROR: [
    "LOG_INVALID",
    "the signature does not come with its place in a transparency log",
  ],
  TLOG_INCLUSION_PROOF_ERROR: [
    "LOG_INVALID",
    "the proof that the transparency log has the signature is wrong",
  ],
  TLOG_INCLUSION_PROMISE_ERROR: [
    "LOG_INVALID",
    "the promise that the transparency log has the signature is not by a log of the trust root",
  ],
  TLOG_BODY_ERROR: ["LOG_INVALID", "the transparency log has another signature at that place"],
};

/** What the libraries threw, as a refusal; anything that is not theirs counts as a signature that cannot be read. */
export function asRefusal(error: unknown): TrustError {
  if (error instanceof TrustError) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const [ours, sentence] = SENTENCES[code] ?? [
    "SIGNATURE_MALFORMED" as const,
    "sigstore signature cannot be read",
  ];
  const words = error instanceof Error ? error.message : "";
  return new TrustError(ours, sentence, {
    details: { library: code, text: quote(words) },
    ...(error instanceof Error ? { cause: new Error(quote(words)) } : {}),
  });
}
