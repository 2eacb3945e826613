// SPDX-License-Identifier: Apache-2.0
// Whether an OCI image may be used, by the policy for its name: before its config or any layer is fetched. One good
// signature by any method that the policy accepts is enough; of the attestations that it wants, each must be there.

import { once } from "../../lib/once.ts";
import { quote } from "../../lib/text.ts";
import type { OciSource, SourceManifest } from "../../oci/source.ts";
import {
  type AttestationRule,
  findPolicy,
  LOCAL_NAME,
  type TrustPolicy,
} from "../../oci/trust-policy.ts";
import type { Digest } from "../../oci/types.ts";
import { TrustError } from "../errors.ts";
import type { Keystore } from "../keystore.ts";
import type { CheckedAttestation, Verification } from "../verified-image.ts";
import { type Attached, readBundles, readCosignTag } from "./attached.ts";
import { readProvenance, refuseStatement, showRule } from "./attestations.ts";
import { prepareMethod, type ReadyMethod, readAttached, type Signer } from "./check-bundle.ts";
import { asRefusal } from "./library.ts";
import { checkLookaside, type Download } from "./lookaside.ts";
import { missingPolicy } from "./missing-policy.ts";
import {
  type Claim,
  matchClaim,
  readPayload,
  readStatement,
  type Statement,
  type Wanted,
} from "./statement.ts";

export interface OciPolicy {
  /** From the configuration. */
  readonly policies: ReadonlyMap<string, TrustPolicy>;
  /** Where the OpenPGP keys are. */
  readonly keystore: Keystore | undefined;
  /** Where a trusted_root.json may be, the first that exists counts. */
  readonly trustRoots: readonly string[];
  /** `--insecure-options=image`: nothing is asked, and this is recorded as the reason. */
  readonly unverified?: string | undefined;
  /** For lookasides that are URLs. */
  readonly download?: Download | undefined;
  /** Takes the bytes of each attestation that was checked, to be kept in the store under the digest. */
  readonly keep?: ((digest: Digest, bytes: Uint8Array) => void) | undefined;
}

export interface OciDecision {
  readonly source: OciSource;
  /** What the reference gave: an index or a manifest. */
  readonly resolved: SourceManifest;
  /** The platform's. */
  readonly manifest: SourceManifest;
}

/** Who vouches for the image; throws a TrustError when nobody does whom the policy knows. */
export async function decideOci(request: OciDecision, policy: OciPolicy): Promise<Verification> {
  const now = new Date().toISOString();
  if (policy.unverified !== undefined) {
    return { kind: "unverified", reason: policy.unverified, acceptedAt: now };
  }
  const name = request.source.repository ?? LOCAL_NAME;
  const found = findPolicy(policy.policies, name);
  if (found === undefined) throw missingPolicy(name);
  if (found.accept.length === 0) {
    return { kind: "policy", prefix: found.prefix, acceptedAt: now };
  }
  const wanted: Wanted = {
    digests: [...new Set([request.resolved.digest, request.manifest.digest])],
    repository: request.source.repository,
    tag: request.source.tag,
    rule: found.signedReference,
  };
  return await new Decision(request, policy, { found, wanted, name }).decide();
}

interface Statements {
  readonly attached: Attached;
  readonly statement: Statement;
  readonly digest: string;
}

class Decision {
  readonly #request: OciDecision;
  readonly #policy: OciPolicy;
  readonly #found: TrustPolicy;
  readonly #wanted: Wanted;
  readonly #name: string;
  readonly #refusals: TrustError[] = [];
  readonly #bundles = once(() => this.#forEachTarget((target) => this.#readBundles(target)));

  constructor(
    request: OciDecision,
    policy: OciPolicy,
    { found, wanted, name }: { found: TrustPolicy; wanted: Wanted; name: string },
  ) {
    this.#request = request;
    this.#policy = policy;
    this.#found = found;
    this.#wanted = wanted;
    this.#name = name;
  }

  async decide(): Promise<Verification> {
    const methods: ReadyMethod[] = [];
    for (const method of this.#found.accept) {
      if (method.type === "openpgp") continue;
      methods.push(await prepareMethod(method, this.#policy.trustRoots));
    }
    const signed = await this.#signature(methods);
    if (this.#found.attestations.length === 0) return signed;
    const attestations = await this.#attestations(methods);
    return signed.kind === "sigstore" ? { ...signed, attestations } : signed;
  }

  async #signature(methods: readonly ReadyMethod[]): Promise<Verification> {
    const verifiedAt = new Date().toISOString();
    const { prefix } = this.#found;
    if (methods.length > 0) {
      for (const read of [() => this.#cosign("sig"), this.#bundles]) {
        for (const attached of await read()) {
          const good = await this.#check(attached, methods);
          if (good === undefined) continue;
          const { signer, digest, signedReference } = good;
          return {
            kind: "sigstore",
            form: attached.form,
            digest,
            ...(signedReference === undefined ? {} : { signedReference }),
            ...signer,
            prefix,
            verifiedAt,
          };
        }
      }
    }
    for (const method of this.#found.accept) {
      if (method.type !== "openpgp") continue;
      try {
        const name = this.#name;
        const signer = await checkLookaside(method.lookaside, {
          keystore: this.#policy.keystore,
          download: this.#policy.download,
          wanted: this.#wanted,
          name,
        });
        return { kind: "openpgp", ...signer, prefix: name, verifiedAt };
      } catch (error) {
        this.#refuse(error);
      }
    }
    throw this.#unsigned();
  }

  /** Who signed it, when it is a signature that one of the methods accepts. */
  async #check(attached: Attached, methods: readonly ReadyMethod[]) {
    try {
      const { bundle, entity } = await readAttached(attached);
      const claim = claimOf(attached, bundle.content);
      const signer = firstSigner(methods, (method) => method(bundle, entity));
      if ("predicateType" in claim && !SIGNS.includes(claim.predicateType)) return undefined;
      return { signer, ...matchClaim(claim, this.#wanted) };
    } catch (error) {
      this.#refuse(error);
      return undefined;
    }
  }

  async #attestations(methods: readonly ReadyMethod[]): Promise<CheckedAttestation[]> {
    this.#refusals.length = 0;
    const good: Statements[] = [];
    for (const attached of [...(await this.#cosign("att")), ...(await this.#bundles())]) {
      try {
        const { bundle, entity } = await readAttached(attached);
        if (bundle.content.$case !== "dsseEnvelope") continue;
        const { payload, payloadType } = bundle.content.dsseEnvelope;
        const statement = readStatement(payload, payloadType);
        firstSigner(methods, (method) => method(bundle, entity));
        const { digest } = matchClaim(statement, {
          ...this.#wanted,
          rule: attestationRule(this.#wanted),
        });
        good.push({ attached, statement, digest });
      } catch (error) {
        this.#refuse(error);
      }
    }
    const kept = this.#found.attestations.map((rule) => this.#satisfy(rule, good));
    for (const { bytes, digest } of kept.map(({ attached }) => attached)) {
      this.#policy.keep?.(digest, bytes);
    }
    return kept.map(({ attached, statement }) => {
      const { builder, source } = readProvenance(statement);
      return {
        predicateType: statement.predicateType,
        digest: attached.digest,
        ...(builder === undefined ? {} : { builder }),
        ...(source === undefined ? {} : { source }),
      };
    });
  }

  #satisfy(rule: AttestationRule, good: readonly Statements[]): Statements {
    const reasons: string[] = [];
    for (const each of good) {
      const reason = refuseStatement(each.statement, rule);
      if (reason === undefined) return each;
      if (reason !== "unrelated") reasons.push(reason);
    }
    const [refusal] = this.#refusals;
    throw new TrustError(
      "ATTESTATION_MISSING",
      `the trust policy for ${quote(this.#found.prefix)} wants ${showRule(rule)}${reasons.length > 0 ? `, but ${reasons[0]}` : ", and no such signed statement is attached"}`,
      {
        remedy: `attach it with "cosign attest", or change the policy ("rkt trust --list" shows it)`,
        details: { rule },
        ...(refusal === undefined ? {} : { cause: refusal }),
      },
    );
  }

  #cosign(suffix: "sig" | "att"): Promise<Attached[]> {
    return this.#forEachTarget((target) =>
      readCosignTag(this.#request.source, target, { suffix, refuse: (e) => this.#refuse(e) }),
    );
  }

  #readBundles(target: SourceManifest): Promise<Attached[]> {
    return readBundles(this.#request.source, target, (error) => this.#refuse(error));
  }

  async #forEachTarget(read: (target: SourceManifest) => Promise<Attached[]>): Promise<Attached[]> {
    const { resolved, manifest } = this.#request;
    const first = await read(resolved);
    return resolved.digest === manifest.digest ? first : [...first, ...(await read(manifest))];
  }

  #refuse(error: unknown): void {
    this.#refusals.push(error instanceof TrustError ? error : asRefusal(error));
  }

  /** The first refusal's own sentence, where there was something to refuse. */
  #unsigned(): TrustError {
    const { prefix } = this.#found;
    const { digest } = this.#request.resolved;
    const [refusal] = this.#refusals;
    const remedy =
      refusal?.remedy ??
      `sign ${digest} as "rkt trust --list" says of ${quote(prefix)}, or let the policy accept who signed it; --insecure-options=image runs it unverified for this once`;
    if (refusal !== undefined) {
      const { code, message, details, cause } = refusal;
      return new TrustError(code, message, { remedy, details, cause });
    }
    return new TrustError(
      "SIGNATURE_MISSING",
      `nobody signed ${digest} in a way that the trust policy for ${quote(prefix)} accepts`,
      { remedy, details: { prefix, digests: this.#wanted.digests } },
    );
  }
}

/** The statements that are a signature and nothing else; others vouch for their predicate only. */
const SIGNS = ["https://sigstore.dev/cosign/sign/v1"];

/** A predicate's subject is often a name that is no reference; that the digest is ours is what counts. */
function attestationRule({ rule }: Wanted): Wanted["rule"] {
  return rule === "match" ? "ifGiven" : rule;
}

type Content = Awaited<ReturnType<typeof readAttached>>["bundle"]["content"];

function claimOf(attached: Attached, content: Content): Claim | Statement {
  if (content.$case === "dsseEnvelope") {
    return readStatement(content.dsseEnvelope.payload, content.dsseEnvelope.payloadType);
  }
  // Over the manifest's own bytes: it says which image, and nothing of a name.
  if (attached.payload === undefined) return { digests: [attached.target.digest], references: [] };
  return readPayload(attached.payload);
}

/** The first method's signer that holds; otherwise the first method's refusal, or a better one. */
function firstSigner(
  methods: readonly ReadyMethod[],
  check: (method: ReadyMethod) => Signer,
): Signer {
  const refusals: TrustError[] = [];
  for (const method of methods) {
    try {
      return check(method);
    } catch (error) {
      refusals.push(asRefusal(error));
    }
  }
  throw refusals[0] ?? new TrustError("SIGNATURE_MISSING", "no method accepts the signature");
}
