// SPDX-License-Identifier: Apache-2.0
// What a signature says: of which digest, and under which name. The simple-signing payload of cosign and podman, and
// the in-toto statement.
import { quote } from "../../lib/text.ts";
import type { SignedReferenceRule } from "../../oci/trust-policy.ts";
import { TrustError } from "../errors.ts";
import { at, type Json, malformed, parseJson, textAt } from "./fields.ts";

export interface Claim {
  /** `sha256:HEX` and others. */
  readonly digests: readonly string[];
  readonly references: readonly string[];
}

const PAYLOAD_TYPES = ["cosign container image signature", "atomic container signature"];

/** The simple-signing payload. */
export function readPayload(bytes: Uint8Array): Claim {
  const payload = parseJson(bytes, "the signed payload");
  const type = textAt(payload, "critical", "type");
  if (type === undefined || !PAYLOAD_TYPES.includes(type)) {
    throw malformed(`the signed payload is of the unknown type ${quote(type ?? "")}`);
  }
  const digest = textAt(payload, "critical", "image", "docker-manifest-digest");
  if (digest === undefined) throw malformed("the signed payload names no digest");
  const reference = textAt(payload, "critical", "identity", "docker-reference");
  return { digests: [digest], references: reference ? [reference] : [] };
}

export interface Statement extends Claim {
  readonly predicateType: string;
  readonly predicate: Json;
}

export const IN_TOTO = "application/vnd.in-toto+json";
const STATEMENTS = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
const MAX_SUBJECTS = 1024;

/** The in-toto statement in an envelope. */
export function readStatement(bytes: Uint8Array, payloadType: string): Statement {
  if (payloadType !== IN_TOTO) {
    throw malformed(`the signed payload is of the unknown type ${quote(payloadType)}`);
  }
  const statement = parseJson(bytes, "the signed statement");
  const type = textAt(statement, "_type");
  if (type === undefined || !STATEMENTS.includes(type)) {
    throw malformed(`the signed statement is of the unknown type ${quote(type ?? "")}`);
  }
  const subjects = at(statement, "subject");
  if (!Array.isArray(subjects) || subjects.length === 0 || subjects.length > MAX_SUBJECTS) {
    throw malformed("the signed statement is about nothing, or about too much");
  }
  const digests: string[] = [];
  const references: string[] = [];
  for (const subject of subjects) {
    for (const algorithm of ["sha256", "sha512"]) {
      const hex = textAt(subject, "digest", algorithm);
      if (hex !== undefined) digests.push(`${algorithm}:${hex}`);
    }
    const name = textAt(subject, "name");
    // cosign 2 fills an unknown name with one of these.
    if (name !== undefined && name !== "" && name !== "_") references.push(name);
  }
  const predicate = at(statement, "predicate");
  return {
    digests,
    references,
    predicateType: textAt(statement, "predicateType") ?? "",
    predicate: typeof predicate === "object" && predicate !== null ? (predicate as Json) : {},
  };
}

export interface Wanted {
  /** Any of these may be signed: the index's and the manifest's. */
  readonly digests: readonly string[];
  /** `HOST/REPOSITORY`; undefined for an image of a file. */
  readonly repository: string | undefined;
  readonly tag: string | undefined;
  readonly rule: SignedReferenceRule;
}

/** What of the claim is ours; throws when it is about another image or another name. */
export function matchClaim(
  claim: Claim,
  wanted: Wanted,
): { readonly digest: string; readonly signedReference: string | undefined } {
  const digest = wanted.digests.find((each) => claim.digests.includes(each));
  if (digest === undefined) {
    throw new TrustError(
      "DIGEST_MISMATCH",
      `signature is of another image: ${quote(claim.digests.join(", "))} is signed`,
      { details: { signed: claim.digests, wanted: wanted.digests } },
    );
  }
  const given = claim.references[0];
  if (wanted.rule === "any") return { digest, signedReference: given };
  const { repository } = wanted;
  if (given === undefined) {
    if (wanted.rule === "ifGiven" || repository === undefined) {
      return { digest, signedReference: undefined };
    }
    throw new TrustError("REFERENCE_MISMATCH", "signature does not say under which name it signs", {
      remedy: 'let the policy say "signedReference": "ifGiven" if the digest is enough',
    });
  }
  if (repository === undefined) return { digest, signedReference: given };
  const fitting = claim.references.find((each) => fits(each, repository, wanted.tag));
  if (fitting !== undefined) return { digest, signedReference: fitting };
  throw new TrustError(
    "REFERENCE_MISMATCH",
    `signature is for the name ${quote(given)}, not for ${quote(repository)}`,
    {
      remedy: 'for a mirror, let the policy say "signedReference": "any"',
      details: { signed: claim.references, repository },
    },
  );
}

/** A signed tag must be ours where ours is known. */
function fits(reference: string, repository: string, tag: string | undefined): boolean {
  const { name, signedTag } = splitReference(reference);
  if (normalizeRepository(name) !== normalizeRepository(repository)) return false;
  return signedTag === undefined || tag === undefined || signedTag === tag;
}

function splitReference(reference: string): {
  readonly name: string;
  readonly signedTag: string | undefined;
} {
  const bare = reference.split("@", 1)[0] ?? "";
  const slash = bare.lastIndexOf("/");
  const colon = bare.indexOf(":", slash + 1);
  if (colon < 0) return { name: bare, signedTag: undefined };
  return { name: bare.slice(0, colon), signedTag: bare.slice(colon + 1) };
}

const DOCKER_HUB = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/** `HOST/REPOSITORY` with one name for Docker's registry, which has several. */
export function normalizeRepository(name: string): string {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost";
  const host = isHost ? first : "docker.io";
  const path = isHost ? name.slice(slash + 1) : name;
  if (!DOCKER_HUB.includes(host)) return `${host}/${path}`;
  return `docker.io/${path.includes("/") ? path : `library/${path}`}`;
}
