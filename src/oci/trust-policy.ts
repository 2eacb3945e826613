// SPDX-License-Identifier: Apache-2.0
// What has to vouch for OCI and Docker images, by name prefix: the configuration's kind `trustPolicy` as data. It is
// read by config and decided by trust, which do not know each other; both know this.

/** One way in which an image may be vouched for; any one way of a policy is enough. */
export type TrustMethod =
  | {
      readonly type: "openpgp";
      /** The directory, or https URL, with the signatures as podman and skopeo write them: `LOOKASIDE/REPOSITORY@ALG=HEX/signature-N`, the repository without its host. */
      readonly lookaside: string;
    }
  | {
      readonly type: "sigstoreKey";
      /** A PEM file's absolute path, or the SubjectPublicKeyInfo in base64. */
      readonly key: string;
      /** Given: the signature must be in a transparency log of this trust root, too. */
      readonly trustRoot: string | undefined;
    }
  | {
      readonly type: "sigstoreKeyless";
      readonly identity: { readonly exact: string } | { readonly regexp: string };
      readonly issuer: string;
      /** The absolute path of a trusted_root.json; undefined: the configuration's own. */
      readonly trustRoot: string | undefined;
    };

/** What has to be attached to an image and signed. */
export type AttestationRule =
  | {
      readonly type: "provenance";
      readonly builder: string | undefined;
      readonly source: string | undefined;
    }
  | { readonly type: "sbom"; readonly format: "spdx" | "cyclonedx" | undefined };

/**
 * What the signed reference must be. `match`: it must be there and name this image; `ifGiven`: a signature without
 * one will do (cosign 3 signs none); `any`: not looked at (a mirror).
 */
export type SignedReferenceRule = "match" | "ifGiven" | "any";

export interface TrustPolicy {
  /** Empty: every image. */
  readonly prefix: string;
  /** Empty: `nothing` is required. */
  readonly accept: readonly TrustMethod[];
  readonly attestations: readonly AttestationRule[];
  readonly signedReference: SignedReferenceRule;
}

/** The name under which images of a layout directory or an archive are looked up: they have no other. */
export const LOCAL_NAME = "local";

/**
 * The policy with the longest prefix of the name. A prefix ends where a part of the name ends: `example.com/foo` is for
 * `example.com/foo` and `example.com/foo/bar`, not for `example.com/foobar`. Images of files are never under the empty one.
 */
export function findPolicy(
  policies: ReadonlyMap<string, TrustPolicy>,
  name: string,
): TrustPolicy | undefined {
  let prefix = name;
  for (;;) {
    const found = policies.get(prefix);
    if (found !== undefined) return found;
    const slash = prefix.lastIndexOf("/");
    if (slash < 0) return name === LOCAL_NAME ? undefined : policies.get("");
    prefix = prefix.slice(0, slash);
  }
}
