// SPDX-License-Identifier: Apache-2.0
// Decisions about OCI images with signatures of our own making; tests/vectors has those of the real tools.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TrustMethod, TrustPolicy } from "../../oci/trust-policy.ts";
import { TrustError } from "../errors.ts";
import { decideOci, type OciPolicy } from "./decide.ts";
import {
  bundleOf,
  cosignSign,
  digestOf,
  ecKey,
  envelope,
  IDENTITY,
  ISSUER,
  MemorySource,
  spki,
  statement,
  TestSigstore,
} from "./fixture.ts";

const PREFIX = "registry.example.com/team";
const sigstore = new TestSigstore();
const key = ecKey();
const byKey: TrustMethod = {
  type: "sigstoreKey",
  key: spki(key.publicKey).toString("base64"),
  trustRoot: undefined,
};
const keyless: TrustMethod = {
  type: "sigstoreKeyless",
  identity: { exact: IDENTITY },
  issuer: ISSUER,
  trustRoot: undefined,
};

let directory = "";
let rootPath = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "rkt-oci-trust-"));
  rootPath = join(directory, "trusted_root.json");
  writeFileSync(rootPath, JSON.stringify(sigstore.trustedRoot()));
});
afterAll(() => rmSync(directory, { recursive: true }));

function policy(accept: readonly TrustMethod[], more: Partial<TrustPolicy> = {}): OciPolicy {
  const one: TrustPolicy = {
    prefix: PREFIX,
    accept,
    attestations: [],
    signedReference: "match",
    ...more,
  };
  return { policies: new Map([[PREFIX, one]]), keystore: undefined, trustRoots: [rootPath] };
}

const decide = (source: MemorySource, by: OciPolicy) =>
  decideOci({ source, resolved: source.image, manifest: source.image }, by);

async function refusal(source: MemorySource, by: OciPolicy): Promise<TrustError> {
  try {
    await decide(source, by);
  } catch (error) {
    if (error instanceof TrustError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

function signed(options: Partial<Parameters<typeof cosignSign>[0]> = {}): MemorySource {
  const source = new MemorySource();
  source.addCosign([cosignSign({ digest: source.image.digest, ...options })]);
  return source;
}

describe("the policy decides", () => {
  test("without a policy an image is refused, and nothing is asked for", async () => {
    const source = signed({ key });
    const error = await refusal(source, { ...policy([]), policies: new Map() });
    expect(error.code).toBe("POLICY_MISSING");
    expect(error.message).toBe('no trust policy says who may sign "registry.example.com/team/app"');
    expect(source.asked).toEqual([]);
  });

  test("a policy that requires nothing accepts, says so, and asks for nothing", async () => {
    const source = new MemorySource();
    const verification = await decide(source, policy([]));
    expect(verification).toMatchObject({
      kind: "policy",
      prefix: PREFIX,
    });
    expect(source.asked).toEqual([]);
  });

  test("--insecure-options=image accepts and is the reason", async () => {
    const by = { ...policy([byKey]), unverified: "--insecure-options=image" };
    expect(await decide(new MemorySource(), by)).toMatchObject({
      kind: "unverified",
      reason: "--insecure-options=image",
    });
  });

  test("an image that nobody signed is refused", async () => {
    expect((await refusal(new MemorySource(), policy([byKey]))).code).toBe("SIGNATURE_MISSING");
  });

  test("an image of a file is looked up as local", async () => {
    const source = signed({ key });
    source.repository = undefined;
    expect((await refusal(source, policy([byKey]))).code).toBe("POLICY_MISSING");
    const one = { ...policy([byKey]).policies.get(PREFIX), prefix: "local" } as TrustPolicy;
    const every = { ...policy([]), policies: new Map([["", { ...one, prefix: "" }]]) };
    const error = await refusal(source, every);
    expect(error.code).toBe("POLICY_MISSING");
    const by = { ...policy([]), policies: new Map([["local", one]]) };
    expect(await decide(source, by)).toMatchObject({ kind: "sigstore", prefix: "local" });
  });
});

describe("cosign's tag", () => {
  test("a signature by the policy's key is good", async () => {
    const source = signed({ key });
    expect(await decide(source, policy([byKey]))).toMatchObject({
      kind: "sigstore",
      form: "cosign",
      key: digestOf(spki(key.publicKey)),
      digest: source.image.digest,
      signedReference: "registry.example.com/team/app",
      prefix: PREFIX,
    });
  });

  test("a key with a trust root wants the log, too", async () => {
    const method = { ...byKey, trustRoot: rootPath };
    expect(await decide(signed({ key, sigstore }), policy([method]))).toMatchObject({
      logIndex: expect.any(String),
      loggedAt: "2026-05-04T10:00:00.000Z",
    });
    expect((await refusal(signed({ key }), policy([method]))).code).toBe("LOG_INVALID");
  });

  test("a keyless signature by the policy's identity is good", async () => {
    expect(await decide(signed({ sigstore }), policy([keyless]))).toMatchObject({
      kind: "sigstore",
      form: "cosign",
      identity: IDENTITY,
      issuer: ISSUER,
      loggedAt: "2026-05-04T10:00:00.000Z",
    });
  });

  test("one good signature among others is enough", async () => {
    const source = new MemorySource();
    const { digest } = source.image;
    source.addCosign([
      cosignSign({ digest, key: ecKey() }),
      cosignSign({ digest, sigstore, identity: "https://example.org/" }),
      cosignSign({ digest, sigstore }),
    ]);
    expect(await decide(source, policy([byKey, keyless]))).toMatchObject({ identity: IDENTITY });
  });

  test("the manifest's signature counts when the reference is an index, and says so", async () => {
    const source = signed({ key });
    const index = source.addManifest({
      config: source.addBlob("index", "text/plain"),
      layers: [],
    });
    const verification = await decideOci(
      { source, resolved: index, manifest: source.image },
      policy([byKey]),
    );
    expect(verification).toMatchObject({ digest: source.image.digest });
  });
});

describe("a keyless signature is refused", () => {
  const hour = 3_600_000;
  const cases: readonly (readonly [string, Parameters<typeof signed>[0], TrustError["code"]])[] = [
    ["of another identity", { identity: `${IDENTITY}x` }, "IDENTITY_UNTRUSTED"],
    ["of another issuer", { issuer: `${ISSUER}x` }, "IDENTITY_UNTRUSTED"],
    ["of another authority", { authority: ecKey() }, "CERTIFICATE_INVALID"],
    ["with a certificate of no log", { noSct: true }, "CERTIFICATE_INVALID"],
    ["with a certificate of another log", { ctlog: ecKey() }, "CERTIFICATE_INVALID"],
    ["with a certificate for servers", { usage: "1.3.6.1.5.5.7.3.1" }, "CERTIFICATE_INVALID"],
    [
      "made after the certificate ended",
      { from: new Date(0), to: new Date(Date.parse("2026-05-04T10:00:00Z") - hour) },
      "CERTIFICATE_INVALID",
    ],
    [
      "made before the certificate began",
      { from: new Date(Date.parse("2026-05-04T10:00:00Z") + hour), to: new Date(4e12) },
      "CERTIFICATE_INVALID",
    ],
    ["in another log", { sigstore: forged() }, "LOG_INVALID"],
    ["of another image", { digest: digestOf("other") }, "DIGEST_MISMATCH"],
    ["of another name", { reference: "registry.example.com/team/other" }, "REFERENCE_MISMATCH"],
    ["of another tag", { reference: "registry.example.com/team/app:v2" }, "REFERENCE_MISMATCH"],
  ];
  test.each(cases)("%s", async (_, options, code) => {
    expect((await refusal(signed({ sigstore, ...options }), policy([keyless]))).code).toBe(code);
  });

  /** The same authority and certificate log, another transparency log. */
  function forged(): TestSigstore {
    const other = new TestSigstore();
    return Object.assign(other, { authority: sigstore.authority, ctlog: sigstore.ctlog });
  }
});

test("a pattern must fit the whole identity", async () => {
  const pattern = (regexp: string) => policy([{ ...keyless, identity: { regexp } }]);
  expect(
    await decide(signed({ sigstore }), pattern("https://example\\.com/team/.*")),
  ).toMatchObject({ identity: IDENTITY });
  expect((await refusal(signed({ sigstore }), pattern("example\\.com"))).code).toBe(
    "IDENTITY_UNTRUSTED",
  );
});

describe("every byte counts", () => {
  /** Each character changed once, in turn. */
  function* flips(text: string, step = 1): Generator<string> {
    for (let i = 0; i < text.length; i += step) {
      const other = text[i] === "A" ? "B" : "A";
      yield `${text.slice(0, i)}${other}${text.slice(i + 1)}`;
    }
  }
  const fresh = () => {
    const source = new MemorySource();
    return { source, made: cosignSign({ digest: source.image.digest, sigstore }) };
  };

  test("of the payload", async () => {
    const { source, made } = fresh();
    for (const text of flips(made.payload.toString())) {
      source.addCosign([{ ...made, payload: Buffer.from(text) }]);
      await refusal(source, policy([keyless]));
    }
  });

  test.each(["dev.cosignproject.cosign/signature", "dev.sigstore.cosign/certificate"])(
    "of %s",
    async (name) => {
      const { source, made } = fresh();
      const before = made.annotations[name] ?? "";
      // The last digits of base64 may have bits that mean nothing, and so have the frame's dashes.
      const start = name.endsWith("certificate") ? before.indexOf("\n") + 1 : 0;
      const end = name.endsWith("certificate") ? before.lastIndexOf("\n-----END") - 4 : -4;
      for (const middle of flips(before.slice(start, end).replaceAll("\n", ""))) {
        const text = before.slice(0, start) + middle + before.slice(end);
        source.addCosign([{ ...made, annotations: { ...made.annotations, [name]: text } }]);
        await refusal(source, policy([keyless]));
      }
    },
  );

  test("of what the log promised", async () => {
    const { source, made } = fresh();
    const name = "dev.sigstore.cosign/bundle";
    const entry = JSON.parse(made.annotations[name] ?? "{}");
    const refuse = async (changed: object) => {
      const annotations = { ...made.annotations, [name]: JSON.stringify(changed) };
      source.addCosign([{ ...made, annotations }]);
      await refusal(source, policy([keyless]));
    };
    for (const set of flips(entry.SignedEntryTimestamp.slice(0, -4))) {
      const tail = entry.SignedEntryTimestamp.slice(-4);
      await refuse({ ...entry, SignedEntryTimestamp: set + tail });
    }
    for (const body of flips(entry.Payload.body.slice(0, -4), 3)) {
      const whole = body + entry.Payload.body.slice(-4);
      await refuse({ ...entry, Payload: { ...entry.Payload, body: whole } });
    }
    for (const field of ["integratedTime", "logIndex"]) {
      const value = entry.Payload[field] + 1;
      await refuse({ ...entry, Payload: { ...entry.Payload, [field]: value } });
    }
    const logID = `${entry.Payload.logID.slice(0, -1)}${entry.Payload.logID.endsWith("0") ? "1" : "0"}`;
    await refuse({ ...entry, Payload: { ...entry.Payload, logID } });
    for (const field of Object.keys(entry)) await refuse({ ...entry, [field]: undefined });
  });

  test("of a bundle's parts", async () => {
    const first = new MemorySource();
    const good = bundleOf(statement(first.image.digest), { sigstore });
    first.addBundle(good);
    expect(await decide(first, policy([keyless]))).toMatchObject({ form: "bundle" });
    const paths: readonly (readonly (string | number)[])[] = [
      ["dsseEnvelope", "payload"],
      ["dsseEnvelope", "payloadType"],
      ["dsseEnvelope", "signatures", 0, "sig"],
      ["verificationMaterial", "certificate", "rawBytes"],
      ["verificationMaterial", "tlogEntries", 0, "canonicalizedBody"],
      ["verificationMaterial", "tlogEntries", 0, "integratedTime"],
      ["verificationMaterial", "tlogEntries", 0, "logIndex"],
      ["verificationMaterial", "tlogEntries", 0, "logId", "keyId"],
      ["verificationMaterial", "tlogEntries", 0, "kindVersion", "kind"],
      ["verificationMaterial", "tlogEntries", 0, "kindVersion", "version"],
      ["verificationMaterial", "tlogEntries", 0, "inclusionPromise", "signedEntryTimestamp"],
      ["verificationMaterial", "tlogEntries", 0, "inclusionProof", "logIndex"],
      ["verificationMaterial", "tlogEntries", 0, "inclusionProof", "hashes", 0],
      ["verificationMaterial", "tlogEntries", 0, "inclusionProof", "checkpoint", "envelope"],
    ];
    for (const path of paths) {
      const text = String(
        path.reduce<unknown>((value, step) => Reflect.get(Object(value), step), good),
      );
      for (const changed of flips(
        text.length > 8 ? text.slice(0, -4) : text,
        text.length > 400 ? 7 : 1,
      )) {
        const whole = text.length > 8 ? changed + text.slice(-4) : changed;
        const copy = structuredClone(good);
        const holder = path.slice(0, -1).reduce<object>((v, step) => Reflect.get(v, step), copy);
        Reflect.set(holder, path.at(-1) ?? "", whole);
        const source = new MemorySource();
        source.addBundle(copy);
        const error = await refusal(source, policy([keyless])).catch((cause) => {
          throw new Error(`${path.join(".")} changed to ${whole}`, { cause });
        });
        expect(error.message).not.toBe("");
      }
    }
  });
});

describe("Sigstore bundles", () => {
  test("by a key", async () => {
    const source = new MemorySource();
    source.addBundle(bundleOf(statement(source.image.digest), { key }));
    expect(await decide(source, policy([byKey]))).toMatchObject({ form: "bundle" });
  });

  test("without a name are refused, unless the policy says the digest is enough", async () => {
    const source = new MemorySource();
    source.addBundle(bundleOf(statement(source.image.digest, { name: "" }), { key }));
    expect((await refusal(source, policy([byKey]))).code).toBe("REFERENCE_MISMATCH");
    const lax = policy([byKey], { signedReference: "ifGiven" });
    expect(await decide(source, lax)).toMatchObject({ kind: "sigstore" });
  });

  test("that refer to another image are refused", async () => {
    const source = new MemorySource();
    const other = source.addManifest({ config: source.addBlob("x", "text/plain"), layers: [] });
    source.addBundle(bundleOf(statement(source.image.digest), { key }), other);
    source.refers.set(source.image.digest, source.refers.get(other.digest) ?? []);
    expect((await refusal(source, policy([byKey]))).code).toBe("DIGEST_MISMATCH");
  });

  test("with a checkpoint whose name is a pattern are refused", async () => {
    const source = new MemorySource();
    const bundle = JSON.stringify(bundleOf(statement(source.image.digest), { sigstore }));
    source.addBundle(JSON.parse(bundle.replace("\u2014 rekor.example.com", "\u2014 (a+)+$")));
    const error = await refusal(source, policy([keyless]));
    expect(error.message).toBe("the log's checkpoint has a name that is none");
  });

  test("of a provenance are no signature of the image", async () => {
    const source = new MemorySource();
    const predicateType = "https://slsa.dev/provenance/v1";
    source.addBundle(bundleOf(statement(source.image.digest, { predicateType }), { key }));
    expect((await refusal(source, policy([byKey]))).code).toBe("SIGNATURE_MISSING");
  });
});

describe("attestations", () => {
  const predicateType = "https://slsa.dev/provenance/v1";
  const predicate = {
    runDetails: { builder: { id: "https://example.com/builder" } },
    buildDefinition: {
      externalParameters: { source: "git+https://example.com/app@refs/heads/main" },
    },
  };
  const rule = {
    type: "provenance",
    builder: "https://example.com/builder",
    source: "git+https://example.com/app",
  } as const;

  test("that the policy wants are checked, recorded and kept", async () => {
    const source = signed({ key });
    source.addBundle(
      bundleOf(statement(source.image.digest, { predicateType, predicate }), { key }),
    );
    const kept: string[] = [];
    const by = { ...policy([byKey], { attestations: [rule] }), keep: (d: string) => kept.push(d) };
    const verification = await decide(source, by);
    expect(verification).toMatchObject({
      attestations: [
        { predicateType, builder: rule.builder, source: `${rule.source}@refs/heads/main` },
      ],
    });
    expect(kept).toHaveLength(1);
  });

  test("in cosign's tag count, too", async () => {
    const source = signed({ key });
    const body = statement(source.image.digest, { predicateType: "https://spdx.dev/Document" });
    source.addCosignAttestation(envelope(body, key), { "dev.cosignproject.cosign/signature": "" });
    const by = policy([byKey], { attestations: [{ type: "sbom", format: "spdx" }] });
    expect(await decide(source, by)).toMatchObject({
      attestations: [{ predicateType: "https://spdx.dev/Document" }],
    });
  });

  test.each([
    ["of another builder", { ...rule, builder: "https://example.com/other" }, "it was built by"],
    ["of another source", { ...rule, source: "git+https://example.com/ap" }, "it was built from"],
    ["that are missing", { type: "sbom", format: undefined }, "no such signed statement"],
  ] as const)("%s refuse the image", async (_, wanted, words) => {
    const source = signed({ key });
    source.addBundle(
      bundleOf(statement(source.image.digest, { predicateType, predicate }), { key }),
    );
    const error = await refusal(source, policy([byKey], { attestations: [wanted] }));
    expect(error.code).toBe("ATTESTATION_MISSING");
    expect(error.message).toContain(words);
  });

  test("by somebody else do not count", async () => {
    const source = signed({ key });
    const body = statement(source.image.digest, { predicateType, predicate });
    source.addBundle(bundleOf(body, { key: ecKey() }));
    const error = await refusal(source, policy([byKey], { attestations: [rule] }));
    expect(error.code).toBe("ATTESTATION_MISSING");
  });
});

test("what comes with another digest than asked for is refused", async () => {
  const source = signed({ key });
  for (const [digest, bytes] of source.blobs) {
    source.blobs.set(digest, Buffer.concat([bytes, Buffer.of(32)]));
  }
  expect((await refusal(source, policy([byKey]))).code).toBe("DIGEST_MISMATCH");
});

test("a missing trust root says where it was looked for", async () => {
  const by = { ...policy([keyless]), trustRoots: ["/nowhere/trusted_root.json"] };
  const error = await refusal(signed({ sigstore }), by);
  expect(error.code).toBe("TRUST_ROOT_UNREADABLE");
  expect(error.message).toContain("/nowhere/trusted_root.json");
});
