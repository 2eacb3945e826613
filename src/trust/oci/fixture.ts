// SPDX-License-Identifier: Apache-2.0
// For tests: a certificate authority like Fulcio, a certificate log, a transparency log like Rekor, signers that use
// them, and an image source in memory that keeps what they attach.
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { MEDIA_TYPES, parseDigest } from "../../oci/parse.ts";
import type { OciSource, SourceManifest } from "../../oci/source.ts";
import type { Descriptor, Digest } from "../../oci/types.ts";

export const sha256 = (data: Uint8Array | string): Buffer =>
  createHash("sha256").update(data).digest();
export const digestOf = (data: Uint8Array | string): Digest =>
  parseDigest(`sha256:${sha256(data).toString("hex")}`);
export const spki = (key: KeyObject): Buffer => key.export({ format: "der", type: "spki" });
export const ecKey = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
type KeyPair = ReturnType<typeof ecKey>;

function der(tag: number, ...parts: readonly (Uint8Array | number)[]): Buffer {
  const body = Buffer.concat(parts.map((p) => (typeof p === "number" ? Buffer.of(p) : p)));
  const { length } = body;
  const head =
    length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.of(tag, ...head), body]);
}

function oid(text: string): Buffer {
  const [a = 0, b = 0, ...rest] = text.split(".").map(Number);
  const bytes = [a * 40 + b];
  for (const part of rest) {
    const digits = [part & 127];
    for (let n = part >>> 7; n > 0; n >>>= 7) digits.unshift((n & 127) | 128);
    bytes.push(...digits);
  }
  return der(0x06, Buffer.from(bytes));
}

const ECDSA_SHA256 = der(0x30, oid("1.2.840.10045.4.3.2"));
const commonName = (name: string) =>
  der(0x30, der(0x31, der(0x30, oid("2.5.4.3"), der(0x0c, Buffer.from(name)))));
const time = (date: Date) =>
  der(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]/g, "").slice(0, 14)}Z`));
const extension = (id: string, value: Uint8Array, critical = false) =>
  der(0x30, oid(id), ...(critical ? [der(0x01, 0xff)] : []), der(0x04, value));

interface Tbs {
  readonly issuer: string;
  readonly subject: string;
  readonly from: Date;
  readonly to: Date;
  readonly key: KeyObject;
  readonly extensions: readonly Buffer[];
}

function tbsOf({ issuer, subject, from, to, key, extensions }: Tbs): Buffer {
  return der(
    0x30,
    der(0xa0, der(0x02, 2)),
    der(0x02, 7),
    ECDSA_SHA256,
    commonName(issuer),
    der(0x30, time(from), time(to)),
    commonName(subject),
    spki(key),
    der(0xa3, der(0x30, ...extensions)),
  );
}

const certify = (tbs: Buffer, by: KeyObject) =>
  der(0x30, tbs, ECDSA_SHA256, der(0x03, 0, sign("sha256", tbs, by)));

export const SIGNED_AT = new Date("2026-05-04T10:00:00Z");
const minutes = (n: number) => new Date(SIGNED_AT.getTime() + n * 60_000);
const YEARS = { from: minutes(-1e6), to: minutes(1e6) };
export const IDENTITY = "https://example.com/team/build.yml@refs/heads/main";
export const ISSUER = "https://accounts.example.com";

export interface LeafOptions {
  readonly identity?: string;
  readonly issuer?: string;
  readonly from?: Date;
  readonly to?: Date;
  /** Signs the certificate instead of the authority. */
  readonly authority?: KeyPair;
  /** Logs the certificate instead of the log. */
  readonly ctlog?: KeyPair;
  readonly usage?: string;
  readonly noSct?: boolean;
}

export const CODE_SIGNING = "1.3.6.1.5.5.7.3.3";

/** Everything that stands behind keyless signatures. */
export class TestSigstore {
  readonly authority = ecKey();
  readonly ctlog = ecKey();
  readonly rekor = ecKey();
  #logged = 41;

  trustedRoot(): object {
    const instance = (key: KeyObject, baseUrl: string) => ({
      baseUrl,
      hashAlgorithm: "SHA2_256",
      publicKey: {
        rawBytes: spki(key).toString("base64"),
        keyDetails: "PKIX_ECDSA_P256_SHA_256",
        validFor: { start: YEARS.from.toISOString() },
      },
      logId: { keyId: sha256(spki(key)).toString("base64") },
    });
    return {
      mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
      tlogs: [instance(this.rekor.publicKey, "https://rekor.example.com")],
      certificateAuthorities: [
        {
          subject: { organization: "example.com", commonName: "root" },
          uri: "https://fulcio.example.com",
          certChain: { certificates: [{ rawBytes: this.root().toString("base64") }] },
          validFor: { start: YEARS.from.toISOString() },
        },
      ],
      ctlogs: [instance(this.ctlog.publicKey, "https://ct.example.com")],
      timestampAuthorities: [],
    };
  }

  root(): Buffer {
    const key = this.authority;
    const extensions = [
      extension("2.5.29.19", der(0x30, der(0x01, 0xff)), true),
      extension("2.5.29.15", der(0x03, 1, 0x06), true),
    ];
    return certify(
      tbsOf({ issuer: "root", subject: "root", key: key.publicKey, ...YEARS, extensions }),
      key.privateKey,
    );
  }

  leaf(key: KeyObject, options: LeafOptions = {}): Buffer {
    const { authority = this.authority, ctlog = this.ctlog } = options;
    const extensions = [
      extension("2.5.29.15", der(0x03, 7, 0x80), true),
      extension("2.5.29.37", der(0x30, oid(options.usage ?? CODE_SIGNING))),
      extension("2.5.29.17", der(0x30, der(0x86, Buffer.from(options.identity ?? IDENTITY))), true),
      extension("1.3.6.1.4.1.57264.1.8", der(0x0c, Buffer.from(options.issuer ?? ISSUER))),
    ];
    const base = {
      issuer: "root",
      subject: "",
      from: options.from ?? minutes(-1),
      to: options.to ?? minutes(9),
      key,
    };
    const sct = this.#sct(tbsOf({ ...base, extensions }), ctlog);
    const all = options.noSct === true ? extensions : [...extensions, sct];
    return certify(tbsOf({ ...base, extensions: all }), authority.privateKey);
  }

  #sct(tbs: Buffer, log: KeyPair): Buffer {
    const stamp = Buffer.alloc(8);
    stamp.writeBigInt64BE(BigInt(SIGNED_AT.getTime()));
    const length24 = Buffer.of(tbs.length >> 16, (tbs.length >> 8) & 255, tbs.length & 255);
    const issuerKey = sha256(spki(this.authority.publicKey));
    const head = Buffer.concat([Buffer.of(0, 0), stamp, Buffer.of(0, 1), issuerKey, length24]);
    const signature = sign("sha256", Buffer.concat([head, tbs, Buffer.of(0, 0)]), log.privateKey);
    const sct = Buffer.concat([
      Buffer.of(0),
      sha256(spki(log.publicKey)),
      stamp,
      Buffer.of(0, 0, 4, 3, 0, signature.length),
      signature,
    ]);
    const list = Buffer.concat([uint16(sct.length + 2), uint16(sct.length), sct]);
    return extension("1.3.6.1.4.1.11129.2.4.2", der(0x04, list));
  }

  /** Puts a body into the log: with the promise and the proof. */
  log(body: object) {
    const canonical = Buffer.from(JSON.stringify(body));
    const logID = sha256(spki(this.rekor.publicKey));
    const logIndex = this.#logged++;
    const integratedTime = SIGNED_AT.getTime() / 1000;
    const payload = {
      body: canonical.toString("base64"),
      integratedTime,
      logID: logID.toString("hex"),
      logIndex,
    };
    const set = sign("sha256", Buffer.from(JSON.stringify(payload)), this.rekor.privateKey);
    const sibling = sha256("another entry");
    const root = sha256(
      Buffer.concat([Buffer.of(1), sha256(Buffer.concat([Buffer.of(0), canonical])), sibling]),
    );
    const note = `rekor.example.com\n2\n${root.toString("base64")}\n`;
    const noteSignature = Buffer.concat([
      logID.subarray(0, 4),
      sign("sha256", Buffer.from(note), this.rekor.privateKey),
    ]).toString("base64");
    const kind = body as { readonly kind: string; readonly apiVersion: string };
    return {
      payload,
      set: set.toString("base64"),
      entry: {
        logIndex: String(logIndex),
        logId: { keyId: logID.toString("base64") },
        kindVersion: { kind: kind.kind, version: kind.apiVersion },
        integratedTime: String(integratedTime),
        inclusionPromise: { signedEntryTimestamp: set.toString("base64") },
        inclusionProof: {
          logIndex: "0",
          rootHash: root.toString("base64"),
          treeSize: "2",
          hashes: [sibling.toString("base64")],
          checkpoint: { envelope: `${note}\n\u2014 rekor.example.com ${noteSignature}\n` },
        },
        canonicalizedBody: canonical.toString("base64"),
      },
    };
  }
}

const uint16 = (n: number) => Buffer.of(n >> 8, n & 255);
export const pem = (label: string, bytes: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g)
      ?.join("\n") ?? ""
  }\n-----END ${label}-----\n`;

export interface CosignSignature {
  readonly payload: Buffer;
  readonly annotations: Record<string, string>;
}

export interface CosignOptions extends LeafOptions {
  readonly reference?: string;
  readonly digest: string;
}

export function simplePayload({
  digest,
  reference,
}: {
  digest: string;
  reference: string;
}): Buffer {
  return Buffer.from(
    JSON.stringify({
      critical: {
        identity: { "docker-reference": reference },
        image: { "docker-manifest-digest": digest },
        type: "cosign container image signature",
      },
      optional: null,
    }),
  );
}

/** As `cosign sign` makes it: with a key, or keyless when there is a sigstore. */
export function cosignSign(
  options: CosignOptions & {
    readonly key?: KeyPair;
    readonly sigstore?: TestSigstore;
    readonly log?: boolean;
  },
): CosignSignature {
  const { digest, reference = "registry.example.com/team/app", sigstore } = options;
  const payload = simplePayload({ digest, reference });
  const key = options.key ?? ecKey();
  const signature = sign("sha256", payload, key.privateKey).toString("base64");
  const annotations: Record<string, string> = { "dev.cosignproject.cosign/signature": signature };
  if (sigstore === undefined) return { payload, annotations };
  const keyless = options.key === undefined;
  const shown = keyless
    ? pem("CERTIFICATE", sigstore.leaf(key.publicKey, options))
    : pem("PUBLIC KEY", spki(key.publicKey));
  if (keyless) annotations["dev.sigstore.cosign/certificate"] = shown;
  const { payload: entry, set } = sigstore.log({
    apiVersion: "0.0.1",
    kind: "hashedrekord",
    spec: {
      data: { hash: { algorithm: "sha256", value: sha256(payload).toString("hex") } },
      signature: {
        content: signature,
        publicKey: { content: Buffer.from(shown).toString("base64") },
      },
    },
  });
  annotations["dev.sigstore.cosign/bundle"] = JSON.stringify({
    SignedEntryTimestamp: set,
    Payload: entry,
  });
  return { payload, annotations };
}

export function statement(
  digest: string,
  options: { name?: string; predicateType?: string; predicate?: object } = {},
): Buffer {
  return Buffer.from(
    JSON.stringify({
      _type: "https://in-toto.io/Statement/v1",
      subject: [
        {
          name: options.name ?? "registry.example.com/team/app",
          digest: { sha256: digest.slice("sha256:".length) },
        },
      ],
      predicateType: options.predicateType ?? "https://sigstore.dev/cosign/sign/v1",
      predicate: options.predicate ?? {},
    }),
  );
}

/** A DSSE envelope around a statement. */
export function envelope(body: Buffer, key: KeyPair, payloadType = "application/vnd.in-toto+json") {
  const encoded = Buffer.concat([
    Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${body.length} `),
    body,
  ]);
  return {
    payload: body.toString("base64"),
    payloadType,
    signatures: [{ sig: sign("sha256", encoded, key.privateKey).toString("base64") }],
  };
}

/** A Sigstore bundle v0.3 with a statement: by a key, or keyless when there is a sigstore. */
export function bundleOf(
  body: Buffer,
  options: LeafOptions & { readonly key?: KeyPair; readonly sigstore?: TestSigstore } = {},
) {
  const key = options.key ?? ecKey();
  const dsseEnvelope = envelope(body, key);
  const mediaType = "application/vnd.dev.sigstore.bundle.v0.3+json";
  const { sigstore } = options;
  if (sigstore === undefined) {
    return { mediaType, verificationMaterial: { publicKey: { hint: "x" } }, dsseEnvelope };
  }
  const certificate = sigstore.leaf(key.publicKey, options);
  const { entry } = sigstore.log({
    apiVersion: "0.0.1",
    kind: "dsse",
    spec: {
      envelopeHash: {
        algorithm: "sha256",
        value: sha256(JSON.stringify(dsseEnvelope)).toString("hex"),
      },
      payloadHash: { algorithm: "sha256", value: sha256(body).toString("hex") },
      signatures: [
        {
          signature: dsseEnvelope.signatures[0]?.sig,
          verifier: Buffer.from(pem("CERTIFICATE", certificate)).toString("base64"),
        },
      ],
    },
  });
  return {
    mediaType,
    verificationMaterial: {
      certificate: { rawBytes: certificate.toString("base64") },
      tlogEntries: [entry],
    },
    dsseEnvelope,
  };
}

/** A repository in memory. */
export class MemorySource implements OciSource {
  readonly reference = "docker://registry.example.com/team/app:v1";
  repository: string | undefined = "registry.example.com/team/app";
  tag: string | undefined = "v1";
  readonly blobs = new Map<string, Uint8Array>();
  readonly manifests = new Map<string, SourceManifest>();
  readonly tags = new Map<string, SourceManifest>();
  readonly refers = new Map<string, Descriptor[]>();
  /** What was asked for, in order. */
  readonly asked: string[] = [];
  readonly image = this.addManifest({ config: this.addBlob("{}", MEDIA_TYPES.config), layers: [] });

  addBlob(
    data: Uint8Array | string,
    mediaType: string,
    annotations?: Readonly<Record<string, string>>,
  ): Descriptor {
    const bytes = Buffer.from(data);
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length, ...(annotations && { annotations }) };
  }

  addManifest(content: object): SourceManifest {
    const mediaType = MEDIA_TYPES.manifest;
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...content }));
    const manifest = { bytes, mediaType, digest: digestOf(bytes) };
    this.manifests.set(manifest.digest, manifest);
    return manifest;
  }

  #tagSuffix(digest: string, suffix: string, layers: readonly Descriptor[]): void {
    const config = this.addBlob("{}", MEDIA_TYPES.config);
    this.tags.set(`${digest.replace(":", "-")}.${suffix}`, this.addManifest({ config, layers }));
  }

  addCosign(signatures: readonly CosignSignature[], digest: string = this.image.digest): void {
    const type = "application/vnd.dev.cosign.simplesigning.v1+json";
    const layers = signatures.map((s) => this.addBlob(s.payload, type, s.annotations));
    this.#tagSuffix(digest, "sig", layers);
  }

  addCosignAttestation(json: object, annotations: Readonly<Record<string, string>>): void {
    const type = "application/vnd.dsse.envelope.v1+json";
    const layer = this.addBlob(JSON.stringify(json), type, annotations);
    this.#tagSuffix(this.image.digest, "att", [layer]);
  }

  addBundle(bundle: object, subject: SourceManifest = this.image): void {
    const type = "application/vnd.dev.sigstore.bundle.v0.3+json";
    const { digest, bytes, mediaType } = this.addManifest({
      artifactType: type,
      config: this.addBlob("{}", "application/vnd.oci.empty.v1+json"),
      layers: [this.addBlob(JSON.stringify(bundle), type)],
      subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.bytes.length },
    });
    const known = this.refers.get(subject.digest) ?? [];
    known.push({ mediaType, digest, size: bytes.length, artifactType: type });
    this.refers.set(subject.digest, known);
  }

  async resolve(): Promise<SourceManifest> {
    return this.image;
  }
  async manifest(digest: Digest): Promise<SourceManifest | undefined> {
    this.asked.push(digest);
    return this.manifests.get(digest);
  }
  async tagged(tag: string): Promise<SourceManifest | undefined> {
    this.asked.push(tag);
    return this.tags.get(tag);
  }
  async referrers(digest: Digest): Promise<readonly Descriptor[]> {
    this.asked.push(`referrers ${digest}`);
    return this.refers.get(digest) ?? [];
  }
  async *blob({ digest }: Descriptor): AsyncIterable<Uint8Array> {
    this.asked.push(digest);
    const bytes = this.blobs.get(digest);
    if (bytes !== undefined) yield bytes;
  }
  async close(): Promise<void> {}
}
