// SPDX-License-Identifier: Apache-2.0
// cas/imageRecord/sha512/AB/KEY: what the store has to remember about an image and cannot work out again
// from its bytes: the full image ID, when and how it came, and who vouched for it. The index is made from
// these files and can be made again; a record that is lost is lost, and the image counts as not verified.
// Checked by hand, not by a schema: this is on the way of every `rkt run`.
import { readFileSync } from "node:fs";
import type { ImageID, ImageKey } from "../appc/index.ts";
import { isErrno } from "../lib/errors.ts";
import type {
  CheckedAttestation,
  SigstoreVerification,
  Verification,
} from "../trust/verified-image.ts";
import { keyedPath } from "./keys.ts";
import { asStoredOci, isDigest, type StoredOci } from "./oci-record.ts";

/** `unknown`: the record is missing (or the image came from a store of rkt 1.x, which kept none). */
export type ImageVerification = Verification | { readonly kind: "unknown" };

export interface StoredRecord {
  readonly id: ImageID;
  /** Of the blob, in bytes: another size on disk is what a power failure left of it. */
  readonly size: number;
  readonly importTime: Date;
  readonly latest: boolean;
  readonly verification: Verification;
  /** Of an OCI or Docker image: what its layers are. */
  readonly oci?: StoredOci | undefined;
}

/** The text of a record file. */
export function serializeRecord(record: StoredRecord): string {
  return `${JSON.stringify({
    version: 1,
    id: record.id,
    size: record.size,
    importTime: record.importTime.toISOString(),
    latest: record.latest,
    verification: record.verification,
    oci: record.oci,
  })}\n`;
}

const MAX_RECORD = 1024 * 1024;

/** Parses a record for `key`; undefined when it is damaged, too new or another image's. */
export function parseRecord(text: string, key: ImageKey): StoredRecord | undefined {
  const json = text.length > MAX_RECORD ? undefined : parseObject(text);
  if (json === undefined || json["version"] !== 1) return undefined;
  const { id, latest, size } = json;
  const time = json["importTime"];
  const verification = asVerification(json["verification"]);
  if (
    typeof id !== "string" ||
    !/^sha512-[0-9a-f]{128}$/.test(id) ||
    !id.startsWith(key) ||
    typeof size !== "number" ||
    typeof time !== "string" ||
    Number.isNaN(Date.parse(time)) ||
    verification === undefined
  ) {
    return undefined;
  }
  const oci = json["oci"] === undefined ? undefined : asStoredOci(json["oci"]);
  if (json["oci"] !== undefined && oci === undefined) return undefined;
  return {
    id: id as ImageID,
    size,
    importTime: new Date(time),
    latest: latest === true,
    verification,
    ...(oci === undefined ? {} : { oci }),
  };
}

/** The record of an image; undefined when there is none that can be believed. */
export function readRecord(records: string, key: ImageKey): StoredRecord | undefined {
  let text: string;
  try {
    text = readFileSync(keyedPath(records, key), "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  return parseRecord(text, key);
}

/** The index's column back as a value; anything odd is unknown. */
export function parseVerification(text: string | null): ImageVerification {
  return (text === null ? undefined : asVerification(parseObject(text))) ?? { kind: "unknown" };
}

/** A signature that was checked once stays true of these bytes when they come again without one. */
export function strongest(before: Verification | undefined, now: Verification): Verification {
  return before !== undefined && RANK[before.kind] > RANK[now.kind] ? before : now;
}

const RANK = { unverified: 0, policy: 1, openpgp: 2, sigstore: 2 } as const;

type JsonObject = Readonly<Record<string, unknown>>;

function parseObject(text: string): JsonObject | undefined {
  try {
    return asObject(JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function asObject(value: unknown): JsonObject | undefined {
  return typeof value === "object" && value !== null ? { ...value } : undefined;
}

function asVerification(value: unknown): Verification | undefined {
  const json = asObject(value);
  if (json === undefined) return undefined;
  const text = (name: string): string | undefined => {
    const field = json[name];
    return typeof field === "string" ? field : undefined;
  };
  if (json["kind"] === "openpgp") {
    const [fingerprint, prefix, verifiedAt] = [
      text("fingerprint"),
      text("prefix"),
      text("verifiedAt"),
    ];
    const identities = json["identities"];
    if (fingerprint === undefined || prefix === undefined || verifiedAt === undefined)
      return undefined;
    if (!Array.isArray(identities) || !identities.every((name) => typeof name === "string")) {
      return undefined;
    }
    return { kind: "openpgp", fingerprint, identities, prefix, verifiedAt };
  }
  if (json["kind"] === "sigstore") return asSigstore(json);
  if (json["kind"] === "policy") {
    const [prefix, acceptedAt] = [text("prefix"), text("acceptedAt")];
    if (prefix === undefined || acceptedAt === undefined) return undefined;
    return { kind: "policy", prefix, acceptedAt };
  }
  if (json["kind"] === "unverified") {
    const [reason, acceptedAt] = [text("reason"), text("acceptedAt")];
    if (reason === undefined || acceptedAt === undefined) return undefined;
    return { kind: "unverified", reason, acceptedAt };
  }
  return undefined;
}

const MAX_ATTESTATIONS = 64;

function asSigstore(json: JsonObject): SigstoreVerification | undefined {
  const { form, digest, prefix, verifiedAt } = json;
  const extra = optionalTexts(json, [
    "key",
    "identity",
    "issuer",
    "signedReference",
    "logIndex",
    "loggedAt",
  ]);
  const attestations = asAttestations(json["attestations"] ?? []);
  if (
    (form !== "cosign" && form !== "bundle") ||
    typeof digest !== "string" ||
    typeof prefix !== "string" ||
    typeof verifiedAt !== "string" ||
    extra === undefined ||
    attestations === undefined
  ) {
    return undefined;
  }
  const byKey = extra["key"] !== undefined;
  const byCertificate = extra["identity"] !== undefined && extra["issuer"] !== undefined;
  if (byKey === byCertificate) return undefined;
  return {
    kind: "sigstore",
    form,
    digest,
    prefix,
    verifiedAt,
    ...extra,
    ...(attestations.length === 0 ? {} : { attestations }),
  };
}

function asAttestations(value: unknown): CheckedAttestation[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_ATTESTATIONS) return undefined;
  const attestations: CheckedAttestation[] = [];
  for (const item of value as readonly unknown[]) {
    const json = asObject(item) ?? {};
    const { predicateType, digest } = json;
    const extra = optionalTexts(json, ["builder", "source"]);
    if (typeof predicateType !== "string" || !isDigest(digest) || extra === undefined) {
      return undefined;
    }
    attestations.push({ predicateType, digest, ...extra });
  }
  return attestations;
}

/** The fields that are there; undefined when one of them is no text. */
function optionalTexts(
  json: JsonObject,
  names: readonly string[],
): Readonly<Record<string, string>> | undefined {
  const texts: Record<string, string> = {};
  for (const name of names) {
    const value = json[name];
    if (value === undefined) continue;
    if (typeof value !== "string") return undefined;
    texts[name] = value;
  }
  return texts;
}
