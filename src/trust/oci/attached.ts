// SPDX-License-Identifier: Apache-2.0
// What is attached to an image: signatures and attestations in cosign's tags (`sha256-HEX.sig`, `.att`), and Sigstore
// bundles that refer to it. Everything is fetched by digest and checked against it, and there is a bound to all.
import { createHash } from "node:crypto";
import { quote } from "../../lib/text.ts";
import { parseManifest } from "../../oci/parse.ts";
import type { OciSource, SourceManifest } from "../../oci/source.ts";
import type { Descriptor, Digest } from "../../oci/types.ts";
import { TrustError } from "../errors.ts";
import { at, base64, malformed, parseJson, pemToDer, textAt } from "./fields.ts";

/** Something signed, in the form of a Sigstore bundle: cosign's own form is put into it. */
export interface Attached {
  readonly form: "cosign" | "bundle";
  /** For errors. */
  readonly where: string;
  /** A Sigstore bundle's JSON. */
  readonly bundle: unknown;
  /** The bytes that a message signature is about; undefined: the image's manifest itself. */
  readonly payload: Uint8Array | undefined;
  /** The bytes as they were attached, and their digest. */
  readonly bytes: Uint8Array;
  readonly digest: Digest;
  /** To whose digest it is attached. */
  readonly target: SourceManifest;
}

const BUNDLE_TYPE =
  /^application\/vnd\.dev\.sigstore\.bundle(?:\.v0\.3)?\+json(?:;version=0\.[123])?$/;
/** Where a registry has no referrers API, cosign 2 writes its config's type into the list of them. */
const EMPTY_TYPE = "application/vnd.oci.empty.v1+json";
const SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE = "application/vnd.dsse.envelope.v1+json";
const ANNOTATION = "dev.cosignproject.cosign/signature";
const CERTIFICATE = "dev.sigstore.cosign/certificate";
const LOG_ENTRY = "dev.sigstore.cosign/bundle";

const MAX_ATTACHED = 64;
const MAX_SIGNATURE = 1024 * 1024;
/** A list of a large image's parts is long. */
const MAX_ATTESTATION = 32 * 1024 * 1024;

/** The signatures of one digest in cosign's tag; those that cannot be read are handed to `refuse`. */
export async function readCosignTag(
  source: OciSource,
  target: SourceManifest,
  { suffix, refuse }: { suffix: "sig" | "att"; refuse: (error: unknown) => void },
): Promise<Attached[]> {
  const tag = `${target.digest.replace(":", "-")}.${suffix}`;
  const found = await source.tagged(tag);
  if (found === undefined) return [];
  const wanted = suffix === "sig" ? SIMPLE_SIGNING : ENVELOPE;
  const layers = layersOf(found).filter(({ mediaType }) => mediaType === wanted);
  const attached: Attached[] = [];
  for (const layer of layers.slice(0, MAX_ATTACHED)) {
    try {
      const bytes = await readBlob(
        source,
        layer,
        suffix === "sig" ? MAX_SIGNATURE : MAX_ATTESTATION,
      );
      const bundle =
        suffix === "sig" ? signatureBundle(layer, bytes) : envelopeBundle(layer, bytes);
      const payload = suffix === "sig" ? bytes : undefined;
      attached.push({
        form: "cosign",
        where: `tag ${tag}`,
        bundle,
        payload,
        bytes,
        digest: layer.digest,
        target,
      });
    } catch (error) {
      refuse(error);
    }
  }
  return attached;
}

/** The Sigstore bundles that refer to one digest. */
export async function readBundles(
  source: OciSource,
  target: SourceManifest,
  refuse: (error: unknown) => void,
): Promise<Attached[]> {
  const referrers = await source.referrers(target.digest);
  const likely = referrers.filter(
    ({ artifactType: type }) => type === undefined || type === EMPTY_TYPE || BUNDLE_TYPE.test(type),
  );
  const attached: Attached[] = [];
  for (const referrer of likely.slice(0, MAX_ATTACHED)) {
    try {
      const found = await source.manifest(referrer.digest);
      if (found === undefined) continue;
      const manifest = parseManifest(checked(found), found.mediaType);
      const layer = manifest.layers.find(({ mediaType }) => BUNDLE_TYPE.test(mediaType));
      if (layer === undefined) continue;
      if (manifest.subject?.digest !== target.digest) {
        throw new TrustError(
          "DIGEST_MISMATCH",
          `signature ${referrer.digest} is attached to another image`,
        );
      }
      const bytes = await readBlob(source, layer, MAX_ATTESTATION);
      attached.push({
        form: "bundle",
        where: `bundle ${referrer.digest}`,
        bundle: parseJson(bytes, "the Sigstore bundle"),
        payload: undefined,
        bytes,
        digest: layer.digest,
        target,
      });
    } catch (error) {
      refuse(error);
    }
  }
  return attached;
}

function layersOf(found: SourceManifest): readonly Descriptor[] {
  return parseManifest(checked(found), found.mediaType).layers;
}

/** The bytes of a manifest that a source says has this digest. */
function checked(found: SourceManifest): Uint8Array {
  if (digestOf(found.bytes, found.digest) !== found.digest) {
    throw new TrustError("DIGEST_MISMATCH", `what came for ${found.digest} has another digest`);
  }
  return found.bytes;
}

function digestOf(bytes: Uint8Array, like: Digest): string {
  const algorithm = like.startsWith("sha512:") ? "sha512" : "sha256";
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

async function readBlob(source: OciSource, blob: Descriptor, most: number): Promise<Buffer> {
  if (blob.size > most) {
    throw malformed(`signature ${blob.digest} is too large: ${blob.size} bytes`);
  }
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of source.blob(blob)) {
    size += part.length;
    if (size > blob.size) break;
    parts.push(Buffer.from(part));
  }
  const bytes = Buffer.concat(parts);
  if (size !== blob.size || digestOf(bytes, blob.digest) !== blob.digest) {
    throw new TrustError("DIGEST_MISMATCH", `what came for ${blob.digest} has another digest`);
  }
  return bytes;
}

/** cosign's signature of a simple-signing payload, as a bundle. */
function signatureBundle(layer: Descriptor, payload: Uint8Array): object {
  const signature = layer.annotations?.[ANNOTATION];
  if (base64(signature) === undefined) {
    throw malformed(`signature layer ${layer.digest} has no signature in base64`);
  }
  const digest = createHash("sha256").update(payload).digest("base64");
  return {
    mediaType: "application/vnd.dev.sigstore.bundle+json;version=0.1",
    verificationMaterial: material(layer),
    messageSignature: { messageDigest: { algorithm: "SHA2_256", digest }, signature },
  };
}

/** cosign's attestation, as a bundle. */
function envelopeBundle(layer: Descriptor, bytes: Uint8Array): object {
  return {
    mediaType: "application/vnd.dev.sigstore.bundle+json;version=0.1",
    verificationMaterial: material(layer),
    dsseEnvelope: parseJson(bytes, "the attestation"),
  };
}

function material({ annotations = {} }: Descriptor): object {
  const pem = annotations[CERTIFICATE];
  const entry = annotations[LOG_ENTRY];
  const tlogEntries = entry === undefined ? [] : [logEntry(entry)];
  if (pem === undefined) return { publicKey: { hint: "" }, tlogEntries };
  const der = pemToDer(pem);
  if (der === undefined) throw malformed("the signature's certificate is not PEM");
  return {
    x509CertificateChain: { certificates: [{ rawBytes: der.toString("base64") }] },
    tlogEntries,
  };
}

/** cosign's annotation `bundle`: what the log promised. */
function logEntry(text: string): object {
  const json = parseJson(text, "the signature's log entry");
  const body = textAt(json, "Payload", "body");
  const set = textAt(json, "SignedEntryTimestamp");
  const logID = textAt(json, "Payload", "logID");
  const index = at(json, "Payload", "logIndex");
  const time = at(json, "Payload", "integratedTime");
  const entry = base64(body);
  if (
    entry === undefined ||
    base64(set) === undefined ||
    logID === undefined ||
    !/^[0-9a-f]{64}$/.test(logID) ||
    !isCount(index) ||
    !isCount(time)
  ) {
    throw malformed(`the signature's log entry is incomplete: ${quote(text.slice(0, 80))}`);
  }
  const content = parseJson(entry, "the log entry's body");
  return {
    logIndex: String(index),
    logId: { keyId: Buffer.from(logID, "hex").toString("base64") },
    kindVersion: { kind: textAt(content, "kind"), version: textAt(content, "apiVersion") },
    integratedTime: String(time),
    inclusionPromise: { signedEntryTimestamp: set },
    canonicalizedBody: body,
  };
}

function isCount(value: unknown): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
