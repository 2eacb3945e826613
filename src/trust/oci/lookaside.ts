// SPDX-License-Identifier: Apache-2.0
// Simple signing with OpenPGP, as podman and skopeo do it: `LOOKASIDE/REPOSITORY@sha256=HEX/signature-N`, without the host, each an
// OpenPGP message that holds its payload. The keys are those of `rkt trust`.
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { isErrno } from "../../lib/errors.ts";
import { quote } from "../../lib/text.ts";
import { dockerIdentifier } from "../../oci/to-app.ts";
import { checkImage } from "../check-image.ts";
import { TrustError } from "../errors.ts";
import type { Keystore } from "../keystore.ts";
import { loadLibrary, type SignaturePacket, settings } from "../openpgp.ts";
import { parseSignature } from "../parse-signature.ts";
import { malformed } from "./fields.ts";
import { matchClaim, readPayload, type Wanted } from "./statement.ts";

const MAX_SIGNATURES = 32;
const MAX_MESSAGE = 64 * 1024;

export interface OpenPgpSigner {
  readonly fingerprint: string;
  readonly identities: readonly string[];
}

/** Bytes from an https URL; undefined when there are none. */
export type Download = (url: string, limit: number) => Promise<Uint8Array | undefined>;

/** Who signed the image by its files in a lookaside, a directory or an https URL. */
export async function checkLookaside(
  lookaside: string,
  by: {
    readonly keystore: Keystore | undefined;
    readonly download: Download | undefined;
    readonly wanted: Wanted;
    readonly name: string;
  },
): Promise<OpenPgpSigner> {
  const { keystore, download, wanted, name } = by;
  if (keystore === undefined) throw new Error("a policy was asked without a keystore");
  if (wanted.repository === undefined || wanted.repository.split("/").includes("..")) {
    throw new TrustError("SIGNATURE_MISSING", "an image of a file has no place in a lookaside");
  }
  const refusals: TrustError[] = [];
  for (const digest of wanted.digests) {
    const image = `${pathOf(wanted.repository)}@${digest.replace(":", "=")}`;
    for (let n = 1; n <= MAX_SIGNATURES; n++) {
      const place = `${lookaside.replace(/\/+$/, "")}/${image}/signature-${n}`;
      const message = await readMessage(place, download);
      if (message === undefined) break;
      try {
        return await checkMessage(message, { keystore, wanted, name });
      } catch (error) {
        if (!(error instanceof TrustError)) throw error;
        refusals.push(error);
      }
    }
  }
  throw (
    refusals[0] ??
    new TrustError("SIGNATURE_MISSING", `no signature of ${quote(name)} is in ${quote(lookaside)}`)
  );
}

/** The repository without its host: a lookaside is of one registry. */
function pathOf(repository: string): string {
  return repository.slice(repository.indexOf("/") + 1);
}

async function readMessage(
  place: string,
  download: Download | undefined,
): Promise<Uint8Array | undefined> {
  try {
    if (!place.startsWith("/")) {
      if (download === undefined) throw new Error("nothing may be downloaded here");
      return await download(place, MAX_MESSAGE);
    }
    if (statSync(place).size > MAX_MESSAGE) {
      throw malformed(`signature ${quote(place)} is too large`);
    }
    return readFileSync(place);
  } catch (cause) {
    if (cause instanceof TrustError) throw cause;
    if (isErrno(cause, "ENOENT", "ENOTDIR")) return undefined;
    throw new TrustError("SIGNATURE_MISSING", `cannot read the signature ${quote(place)}`, {
      cause,
    });
  }
}

async function checkMessage(
  bytes: Uint8Array,
  by: { readonly keystore: Keystore; readonly wanted: Wanted; readonly name: string },
): Promise<OpenPgpSigner> {
  const { payload, signature } = await takeApart(bytes);
  const hash = (algorithm: string) => Promise.resolve(createHash(algorithm).update(payload));
  const { fingerprint, identities } = await checkImage({
    raw: { path: "the signed payload", fd: -1, size: payload.length, hash },
    signature: await parseSignature(signature),
    keys: await by.keystore.keysFor(dockerIdentifier(by.name) ?? by.name),
    prefix: by.name,
  });
  matchClaim(readPayload(payload), by.wanted);
  return { fingerprint, identities };
}

/** A signed message as its text and a detached signature of it: the latter we know how to check. */
async function takeApart(
  bytes: Uint8Array,
): Promise<{ readonly payload: Uint8Array; readonly signature: Uint8Array }> {
  const pgp = await loadLibrary();
  try {
    const config = settings(pgp);
    const message = await pgp.readMessage({ binaryMessage: bytes, config });
    const payload = message.getLiteralData();
    const { packets } = message.unwrapCompressed();
    // The library keeps what it read of the message in a list beside the packets, which is not in its types.
    const read: unknown = Reflect.get(packets, "stream");
    const list = new pgp.PacketList<SignaturePacket>();
    if (Array.isArray(read)) list.push(...(read as readonly SignaturePacket[]));
    const signatures = list.filterByTag(pgp.enums.packet.signature);
    if (payload === null) throw malformed("the signature holds no payload");
    return { payload, signature: Uint8Array.from(signatures.write()) };
  } catch (error) {
    if (error instanceof TrustError) throw error;
    throw malformed("the OpenPGP message cannot be read");
  }
}
