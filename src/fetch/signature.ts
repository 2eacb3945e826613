// SPDX-License-Identifier: Apache-2.0
// An image's detached signature: from beside it, from where discovery says, or from the file of --signature.
import { quote, redactUrl } from "../lib/text.ts";
import { parseSignature, type Signature, TrustError } from "../trust/index.ts";
import type { FetchContext } from "./context.ts";
import { statusError } from "./http-status.ts";
import { networkOf } from "./network.ts";
import { readSmallBody, readSmallFile } from "./read-small.ts";

const MAX_SIGNATURE = 256 * 1024;

export type SignatureSource =
  | { readonly kind: "file"; readonly path: string }
  /** `discovered`: made from a name, which may be wrong; otherwise from the URL of the image. */
  | { readonly kind: "url"; readonly url: string; readonly discovered: boolean };

/** `X.aci` → `X.aci.asc`. */
export function signatureBeside(path: string): string {
  return `${path}.asc`;
}

/** The same on the path of a URL; a query stays. */
export function signatureUrlBeside(imageUrl: string): string {
  const url = new URL(imageUrl);
  url.pathname = signatureBeside(url.pathname);
  return url.href;
}

/** "deferred": the server asks to download the image first (202, rkt-cli.md §2.2). */
export async function readSignature(
  source: SignatureSource,
  context: FetchContext,
): Promise<Signature | "deferred"> {
  return source.kind === "file"
    ? await parseSignature(readSignatureFile(source.path))
    : await downloadSignature(source, context);
}

function readSignatureFile(path: string): Uint8Array {
  try {
    return readSmallFile(path, MAX_SIGNATURE);
  } catch (cause) {
    throw new TrustError("SIGNATURE_MISSING", `error opening signature file ${quote(path)}`, {
      cause,
      remedy: "--signature=FILE, or --insecure-options=image to go without a signature",
      details: { path },
    });
  }
}

async function downloadSignature(
  { url, discovered }: Extract<SignatureSource, { readonly kind: "url" }>,
  context: FetchContext,
): Promise<Signature | "deferred"> {
  const { client, auth } = networkOf(context);
  context.report.debug("image", `downloading signature from ${redactUrl(url)}`);
  await using answer = await client.request(url, {
    auth,
    allowDowngrade: context.insecure.http,
  });
  if (answer.status === 202) return "deferred";
  if (answer.status === 404 || answer.status === 410) {
    throw new TrustError(
      "SIGNATURE_MISSING",
      `error downloading the signature file from ${quote(redactUrl(url))}: bad HTTP status code: ${answer.status}`,
      {
        remedy: `check the ${discovered ? "name and version" : "URL"}; the signature must be published beside the image`,
        details: { status: answer.status, url: redactUrl(url) },
      },
    );
  }
  if (answer.status !== 200) throw statusError("signature file", url, answer.status);
  const progress = context.report.progress("signature", answer.length);
  return await parseSignature(await readSmallBody(answer, MAX_SIGNATURE, progress));
}
