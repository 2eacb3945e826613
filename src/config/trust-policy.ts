// SPDX-License-Identifier: Apache-2.0
// The kind `trustPolicy`: what has to vouch for the OCI and Docker images of some prefixes. Strict: a field that this
// version does not know could be a requirement that it does not check.
import { quote } from "../lib/text.ts";
import type {
  AttestationRule,
  SignedReferenceRule,
  TrustMethod,
  TrustPolicy,
} from "../oci/trust-policy.ts";
import { FieldError, type Fields, fieldsOf, text, textList } from "./fields.ts";

const MAX_METHODS = 32;
/** An administrator's pattern runs on a certificate's text: long ones are mistakes. */
const MAX_PATTERN = 1000;

const PREFIX = /^[a-z0-9](?:[a-zA-Z0-9._:-]*[a-zA-Z0-9])?(?:\/[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)*$/;

/** The policies that one file gives, one for each of its prefixes. */
export function parseTrustPolicy(file: Fields): readonly TrustPolicy[] {
  only(file, "a trust policy", [
    "rktKind",
    "rktVersion",
    "prefixes",
    "accept",
    "attestations",
    "signedReference",
  ]);
  const prefixes = textList(file, "prefixes");
  if (prefixes.length === 0) throw new FieldError("no prefixes specified");
  const methods = objects(file, "accept");
  if (methods.length === 0) {
    throw new FieldError('nothing to accept is specified; to require nothing, say "nothing"');
  }
  const nothing = methods.some((method) => method["type"] === "nothing");
  if (nothing && methods.length > 1) throw new FieldError('"nothing" must stand alone');
  const accept = nothing ? [] : methods.map(parseMethod);
  if (nothing) for (const method of methods) only(method, '"nothing"', ["type"]);
  const attestations = objects(file, "attestations").map(parseAttestation);
  if (attestations.length > 0 && !accept.some(({ type }) => type !== "openpgp")) {
    throw new FieldError("attestations need a sigstore key or identity that signs them");
  }
  const signedReference = parseReferenceRule(text(file, "signedReference"));
  return prefixes.map((prefix) => {
    checkPrefix(prefix);
    return { prefix, accept, attestations, signedReference };
  });
}

/** Throws a FieldError unless the text can be a policy's prefix; empty: every image. */
export function checkPrefix(prefix: string): void {
  if (prefix === "" || (prefix.length <= 1024 && PREFIX.test(prefix))) return;
  throw new FieldError(
    `prefix ${quote(prefix)} is not HOST[/REPOSITORY] without a scheme, tag or digest`,
  );
}

function parseMethod(method: Fields): TrustMethod {
  const type = text(method, "type");
  switch (type) {
    case "openpgp": {
      only(method, "openpgp", ["type", "lookaside"]);
      return { type, lookaside: place(needed(method, "lookaside"), "lookaside") };
    }
    case "sigstoreKey": {
      only(method, "sigstoreKey", ["type", "key", "trustRoot"]);
      const key = needed(method, "key");
      if (!key.startsWith("/") && !/^[A-Za-z0-9+/]+={0,2}$/.test(key)) {
        throw new FieldError("key must be an absolute path or a public key in base64");
      }
      return { type, key, trustRoot: trustRoot(method) };
    }
    case "sigstoreKeyless": {
      only(method, "sigstoreKeyless", [
        "type",
        "identity",
        "identityRegexp",
        "issuer",
        "trustRoot",
      ]);
      const exact = text(method, "identity");
      const regexp = text(method, "identityRegexp");
      if ((exact === "") === (regexp === "")) {
        throw new FieldError("one of identity and identityRegexp must be specified");
      }
      if (regexp !== "") checkPattern(regexp);
      return {
        type,
        identity: exact === "" ? { regexp } : { exact },
        issuer: needed(method, "issuer"),
        trustRoot: trustRoot(method),
      };
    }
    case "":
      throw new FieldError("a method to accept has no type");
    default:
      throw new FieldError(`unknown method to accept: ${quote(type)}`);
  }
}

function checkPattern(pattern: string): void {
  if (pattern.length > MAX_PATTERN) throw new FieldError("identityRegexp is too long");
  try {
    new RegExp(pattern, "u");
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new FieldError(`identityRegexp ${quote(pattern)} is not a regular expression`);
  }
}

function parseAttestation(rule: Fields): AttestationRule {
  const type = text(rule, "type");
  switch (type) {
    case "provenance":
      only(rule, "provenance", ["type", "builder", "source"]);
      return { type, builder: optional(rule, "builder"), source: optional(rule, "source") };
    case "sbom": {
      only(rule, "sbom", ["type", "format"]);
      const format = optional(rule, "format");
      if (format !== undefined && format !== "spdx" && format !== "cyclonedx") {
        throw new FieldError(`unknown SBOM format: ${quote(format)}`);
      }
      return { type, format };
    }
    default:
      throw new FieldError(`unknown attestation: ${quote(type)}`);
  }
}

function parseReferenceRule(rule: string): SignedReferenceRule {
  switch (rule) {
    case "":
    case "match":
      return "match";
    case "ifGiven":
    case "any":
      return rule;
    default:
      throw new FieldError(`signedReference must be match, ifGiven or any, not ${quote(rule)}`);
  }
}

function trustRoot(method: Fields): string | undefined {
  const path = optional(method, "trustRoot");
  return path === undefined ? undefined : absolute(path, "trustRoot");
}

/** An absolute path, or an https URL below which there are files. */
function place(text: string, name: string): string {
  if (text.startsWith("/")) return text;
  const url = URL.parse(text);
  if (text.startsWith("https://") && url?.href.startsWith(`${url.origin}/`)) {
    if (url.search === "" && url.hash === "") return text;
  }
  throw new FieldError(
    `${name} must be an absolute path or an https URL without credentials and query`,
  );
}

function absolute(path: string, name: string): string {
  if (path.startsWith("/")) return path;
  throw new FieldError(`${name} must be an absolute path`);
}

function needed(fields: Fields, name: string): string {
  const value = text(fields, name);
  if (value === "") throw new FieldError(`${name} not specified`);
  return value;
}

function optional(fields: Fields, name: string): string | undefined {
  const value = text(fields, name);
  return value === "" ? undefined : value;
}

function objects(fields: Fields, name: string): readonly Fields[] {
  const value = fields[name] ?? [];
  if (!Array.isArray(value)) throw new FieldError(`${name} must be a list`);
  if (value.length > MAX_METHODS) {
    throw new FieldError(`${name} has more than ${MAX_METHODS} entries`);
  }
  return value.map((item: unknown) => fieldsOf(item, `an entry of ${name}`));
}

function only(fields: Fields, what: string, known: readonly string[]): void {
  for (const name of Object.keys(fields)) {
    if (!known.includes(name)) throw new FieldError(`${what} has no field ${quote(name)}`);
  }
}

/** A policy as a configuration file has it. */
export function trustPolicyToJson(policy: TrustPolicy): object {
  return {
    rktVersion: "v1",
    rktKind: "trustPolicy",
    prefixes: [policy.prefix],
    accept: policy.accept.length === 0 ? [{ type: "nothing" }] : policy.accept.map(methodToJson),
    ...(policy.attestations.length === 0 ? {} : { attestations: policy.attestations }),
    signedReference: policy.signedReference,
  };
}

function methodToJson(method: TrustMethod): object {
  if (method.type !== "sigstoreKeyless") return method;
  const { identity, type, issuer, trustRoot: root } = method;
  return {
    type,
    ...("exact" in identity ? { identity: identity.exact } : { identityRegexp: identity.regexp }),
    issuer,
    ...(root === undefined ? {} : { trustRoot: root }),
  };
}
