// SPDX-License-Identifier: Apache-2.0
// The gate for OCI images: what the trust policies say of one, before its config or any layer is downloaded.
import { redactUrl } from "../lib/text.ts";
import type { Digest, OciSource, SourceManifest } from "../oci/index.ts";
import { findPolicy, LOCAL_NAME } from "../oci/trust-policy.ts";
import type { Verification } from "../trust/index.ts";
import { missingPolicy } from "../trust/oci/missing-policy.ts";
import type { FetchContext } from "./context.ts";
import { statusError } from "./http-status.ts";
import { networkOf } from "./network.ts";
import { readSmallBody } from "./read-small.ts";

export interface OciDecision {
  readonly source: OciSource;
  /** What the reference gave: an index or a manifest. */
  readonly resolved: SourceManifest;
  /** The platform's. */
  readonly manifest: SourceManifest;
}

export interface DecidedOci {
  readonly verification: Verification;
  /** The attestations that were checked, to be kept, by digest. */
  readonly kept: ReadonlyMap<Digest, Uint8Array>;
}

/** Throws a TrustError when no policy could let the image in: before a registry is asked for anything. */
export function requirePolicy({ repository }: OciSource, context: FetchContext): void {
  if (context.keystore === undefined) return;
  const name = repository ?? LOCAL_NAME;
  if (findPolicy(context.config.trustPolicies, name) === undefined) throw missingPolicy(name);
}

/** Throws a TrustError unless the policy for the image's name lets it in. */
export async function decideTrust(
  request: OciDecision,
  context: FetchContext,
): Promise<DecidedOci> {
  const kept = new Map<Digest, Uint8Array>();
  const { keystore, report } = context;
  if (keystore === undefined) {
    const acceptedAt = new Date().toISOString();
    return {
      verification: { kind: "unverified", reason: "--insecure-options=image", acceptedAt },
      kept,
    };
  }
  const { decideOci } = await import("../trust/oci/decide.ts");
  const policies = context.config.trustPolicies;
  const verification = await decideOci(request, {
    policies,
    keystore,
    trustRoots: context.trustRoots ?? [],
    download: (url, limit) => download(url, limit, context),
    keep: (digest, bytes) => kept.set(digest, bytes),
  });
  const name = request.source.repository ?? LOCAL_NAME;
  const prefix = findPolicy(policies, name)?.prefix ?? "";
  report.debug("image", `${name}: decided by the trust policy for "${prefix}"`);
  return { verification, kept };
}

async function download(
  url: string,
  limit: number,
  context: FetchContext,
): Promise<Uint8Array | undefined> {
  const { client, auth } = networkOf(context);
  context.report.debug("image", `looking for a signature at ${redactUrl(url)}`);
  const allowDowngrade = context.insecure.http;
  await using answer = await client.request(url, { auth, allowDowngrade });
  if (answer.status === 404 || answer.status === 410) return undefined;
  if (answer.status !== 200) throw statusError("signature", url, answer.status);
  return await readSmallBody(answer, limit);
}
