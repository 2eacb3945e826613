// SPDX-License-Identifier: Apache-2.0
// Whether one signature is good by one method of a policy. The mathematics, the certificate's chain and the log's
// proofs are the libraries'; which key, identity and issuer count, and that the log has this very key, is decided here.
import { createHash, type KeyObject, X509Certificate } from "node:crypto";
import type { Bundle } from "@sigstore/bundle";
import type { SignedEntity, TrustMaterial, Verifier } from "@sigstore/verify";
import { quote } from "../../lib/text.ts";
import type { TrustMethod } from "../../oci/trust-policy.ts";
import { TrustError } from "../errors.ts";
import type { Attached } from "./attached.ts";
import { at, base64, malformed, parseJson, pemToDer, textAt } from "./fields.ts";
import { asRefusal, loadSigstore, type Sigstore } from "./library.ts";
import { checkStrength, readKey, readTrustRoot } from "./trust-root.ts";

/** Who signed, as it is recorded. */
export interface Signer {
  readonly key?: string;
  readonly identity?: string;
  readonly issuer?: string;
  readonly logIndex?: string;
  readonly loggedAt?: string;
}

export type SigstoreMethod = Exclude<TrustMethod, { readonly type: "openpgp" }>;

/** A method with its key or trust root read. */
export type ReadyMethod = (bundle: Bundle, entity: SignedEntity) => Signer;

/** Reads what a method needs from the disk. `roots`: where the trust root is when the method names none. */
export async function prepareMethod(
  method: SigstoreMethod,
  roots: readonly string[],
): Promise<ReadyMethod> {
  const library = await loadSigstore();
  if (method.type === "sigstoreKey") {
    const key = readKey(method.key);
    checkStrength(key);
    const root =
      method.trustRoot === undefined ? undefined : await readTrustRoot([method.trustRoot]);
    return (bundle, entity) => byKey({ library, key, root }, bundle, entity);
  }
  const root = await readTrustRoot(method.trustRoot === undefined ? roots : [method.trustRoot]);
  const verifier = new library.verify.Verifier(root);
  return (bundle, entity) => byIdentity(verifier, method, { bundle, entity, library });
}

/** `sha256:HEX` of the SubjectPublicKeyInfo. */
export function keyID(key: KeyObject): string {
  const der = key.export({ format: "der", type: "spki" });
  return `sha256:${createHash("sha256").update(der).digest("hex")}`;
}

/** The bundle, and what the verifier wants of it. */
export async function readAttached(
  attached: Attached,
): Promise<{ readonly bundle: Bundle; readonly entity: SignedEntity }> {
  const { bundle: bundles, verify } = await loadSigstore();
  try {
    const bundle = bundles.bundleFromJSON(attached.bundle);
    checkLogEntries(bundle);
    const artifact = Buffer.from(attached.payload ?? attached.target.bytes);
    return { bundle, entity: verify.toSignedEntity(bundle, artifact) };
  } catch (error) {
    throw asRefusal(error);
  }
}

/**
 * The library makes a regular expression of the name in a checkpoint, which a stranger chose: only names that
 * are harmless as one go on.
 */
function checkLogEntries({ verificationMaterial }: Bundle): void {
  if (verificationMaterial.tlogEntries.length > 8) throw malformed("too many log entries");
  for (const { inclusionProof } of verificationMaterial.tlogEntries) {
    const note = inclusionProof?.checkpoint?.envelope ?? "";
    if (note.length > 64 * 1024) throw malformed("the log's checkpoint is too long");
    for (const line of note.split("\n")) {
      if (!line.startsWith("\u2014 ")) continue;
      if (!/^[A-Za-z0-9./:_-]{1,200}$/.test(line.slice(2).split(/\s/, 1)[0] ?? "")) {
        throw malformed("the log's checkpoint has a name that is none");
      }
    }
  }
}

function byKey(
  by: {
    readonly library: Sigstore;
    readonly key: KeyObject;
    readonly root: TrustMaterial | undefined;
  },
  bundle: Bundle,
  entity: SignedEntity,
): Signer {
  const { library, key, root } = by;
  if (entity.key.$case !== "public-key") {
    throw new TrustError("KEY_UNTRUSTED", "signature was made with a certificate, not by the key");
  }
  const logs = root === undefined ? 0 : 1;
  const trust: TrustMaterial = {
    certificateAuthorities: [],
    timestampAuthorities: root?.timestampAuthorities ?? [],
    tlogs: root?.tlogs ?? [],
    ctlogs: [],
    publicKey: () => ({ publicKey: key, validFor: () => true }),
  };
  const verifier = new library.verify.Verifier(trust, {
    tlogThreshold: logs,
    timestampThreshold: 0,
  });
  run(() => verifier.verify(logs === 0 ? { ...entity, tlogEntries: [], timestamps: [] } : entity));
  const der = key.export({ format: "der", type: "spki" });
  return { key: keyID(key), ...(logs === 0 ? {} : logged(bundle, der)) };
}

function byIdentity(
  verifier: Verifier,
  method: Extract<TrustMethod, { type: "sigstoreKeyless" }>,
  signed: { readonly bundle: Bundle; readonly entity: SignedEntity; readonly library: Sigstore },
): Signer {
  const { bundle, entity, library } = signed;
  if (entity.key.$case !== "certificate") {
    throw new TrustError("IDENTITY_UNTRUSTED", "signature was made by a key, not by an identity");
  }
  const { certificate } = entity.key;
  const signer = run(() => verifier.verify(entity));
  if (!mayOnlySignCode(certificate, library)) {
    throw new TrustError("CERTIFICATE_INVALID", "the signature's certificate is not for signing");
  }
  const identity = signer.identity?.subjectAlternativeName ?? "";
  const issuer = signer.identity?.extensions?.issuer ?? "";
  if (issuer !== method.issuer) {
    throw new TrustError(
      "IDENTITY_UNTRUSTED",
      `signed by ${quote(identity)} of the issuer ${quote(issuer)}, not of ${quote(method.issuer)}`,
      { details: { identity, issuer } },
    );
  }
  if (identity === "" || !isWanted(identity, method.identity)) {
    throw new TrustError(
      "IDENTITY_UNTRUSTED",
      `signed by ${quote(identity)}, which is not who the policy wants`,
      { details: { identity, issuer } },
    );
  }
  const raw = leafOf(bundle);
  if (!isWellFormed(raw, library)) {
    throw new TrustError("CERTIFICATE_INVALID", "the signature's certificate is not well formed");
  }
  const spki = run(() => spkiOf(raw));
  return { identity, issuer, ...logged(bundle, spki) };
}

const MAX_IDENTITY = 2048;

/** The whole identity, not a part of it. */
function isWanted(
  identity: string,
  wanted: Extract<TrustMethod, { type: "sigstoreKeyless" }>["identity"],
): boolean {
  if (identity.length > MAX_IDENTITY) return false;
  if ("exact" in wanted) return identity === wanted.exact;
  return new RegExp(`^(?:${wanted.regexp})$`, "u").test(identity);
}

const EXTENDED_KEY_USAGE = "2.5.29.37";
const CODE_SIGNING = "1.3.6.1.5.5.7.3.3";

type Leaf = Extract<SignedEntity["key"], { $case: "certificate" }>["certificate"];

function mayOnlySignCode(certificate: Leaf, { core }: Sigstore): boolean {
  return run(() => {
    const usage = certificate.extension(EXTENDED_KEY_USAGE);
    if (usage === undefined || certificate.isCA) return false;
    const uses = core.ASN1Obj.parseBuffer(Buffer.from(usage.value)).subs.map((use) => use.toOID());
    return uses.length === 1 && uses[0] === CODE_SIGNING;
  });
}

/**
 * What the library does not look at: both places that name the signature's algorithm must agree (RFC 5280, 4.1.1.2),
 * only one of them being signed, and the signature is whole bytes.
 */
function isWellFormed(raw: Buffer, { core }: Sigstore): boolean {
  return run(() => {
    const [tbs, outer, signature] = core.ASN1Obj.parseBuffer(Buffer.from(raw)).subs;
    const inner = tbs?.subs[2];
    return (
      outer !== undefined &&
      inner !== undefined &&
      outer.toDER().equals(inner.toDER()) &&
      signature?.value[0] === 0
    );
  });
}

function leafOf(bundle: Bundle): Buffer {
  const { content } = bundle.verificationMaterial;
  if (content.$case === "certificate") return content.certificate.rawBytes;
  const [leaf] =
    content.$case === "x509CertificateChain" ? content.x509CertificateChain.certificates : [];
  if (leaf === undefined) throw malformed("the signature has no certificate");
  return leaf.rawBytes;
}

/** Where the log has it. An entry of somebody else's key for the same bytes is none of ours. */
function logged(bundle: Bundle, spki: Uint8Array): Pick<Signer, "logIndex" | "loggedAt"> {
  const [entry] = bundle.verificationMaterial.tlogEntries;
  if (entry === undefined) return {};
  for (const each of bundle.verificationMaterial.tlogEntries) {
    const der = loggedKey(parseJson(each.canonicalizedBody, "the log entry's body"));
    const found = der === undefined ? undefined : spkiOf(der);
    if (found === undefined || !found.equals(spki)) {
      throw new TrustError("LOG_INVALID", "the transparency log has this signature of another key");
    }
  }
  const seconds = Number(entry.integratedTime);
  return {
    logIndex: entry.logIndex,
    ...(seconds > 0 ? { loggedAt: new Date(seconds * 1000).toISOString() } : {}),
  };
}

/** The certificate or key in a log entry's body, as DER: each kind and version has it elsewhere. */
function loggedKey(body: unknown): Buffer | undefined {
  const pem =
    textAt(body, "spec", "signature", "publicKey", "content") ??
    textAt(body, "spec", "signatures", 0, "verifier") ??
    textAt(body, "spec", "publicKey") ??
    textAt(body, "spec", "content", "envelope", "signatures", 0, "publicKey");
  if (pem !== undefined) return pemToDer(base64(pem)?.toString("latin1") ?? "");
  const spec = at(body, "spec", "hashedRekordV002") ?? at(body, "spec", "dsseV002");
  const verifier = at(spec, "signature", "verifier") ?? at(spec, "signatures", 0, "verifier");
  return base64(
    textAt(verifier, "x509Certificate", "rawBytes") ?? textAt(verifier, "publicKey", "rawBytes"),
  );
}

function spkiOf(der: Buffer): Buffer {
  try {
    return new X509Certificate(Uint8Array.from(der)).publicKey.export({
      format: "der",
      type: "spki",
    });
  } catch {
    return der; // No certificate: a key, which is compared as it is.
  }
}

function run<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw asRefusal(error);
  }
}
