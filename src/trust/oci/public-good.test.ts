// SPDX-License-Identifier: Apache-2.0
// Keyless signatures that strangers made with sigstore's public instance, by its real trust root: see tests/vectors/oci-trust.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { parseDigest } from "../../oci/parse.ts";
import type { Digest } from "../../oci/types.ts";
import type { TrustErrorCode } from "../errors.ts";
import { prepareMethod, readAttached, type SigstoreMethod } from "./check-bundle.ts";
import { matchClaim, readStatement } from "./statement.ts";

const VECTORS = `${import.meta.dir}/../../../tests/vectors/oci-trust/public-good`;
const ROOT = `${VECTORS}/trusted_root.json`;
type Keyless = Extract<SigstoreMethod, { type: "sigstoreKeyless" }>;

interface Vector {
  readonly text: string;
  readonly method: Keyless;
  readonly digest: Digest;
  readonly logIndex: string;
  /**
   * Values that nobody looks at: root and size of the log are taken from its signed checkpoint, the leaf's issuers from
   * the trust root, and a key's ID is a hint.
   */
  readonly hints: readonly string[];
}

function vector(
  file: string,
  is: {
    readonly identity: string;
    readonly issuer: string;
    readonly digest: string;
    readonly logIndex: string;
    readonly hints: readonly string[];
  },
): Vector {
  const { issuer, logIndex, hints } = is;
  return {
    text: readFileSync(`${VECTORS}/${file}`, "utf8"),
    method: {
      type: "sigstoreKeyless",
      identity: { exact: is.identity },
      issuer,
      trustRoot: ROOT,
    },
    digest: parseDigest(is.digest),
    logIndex,
    hints,
  };
}

const workflow = vector("npm-provenance.json", {
  identity: "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main",
  issuer: "https://token.actions.githubusercontent.com",
  digest:
    "sha512:46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c",
  logIndex: "31821305",
  hints: [
    "verificationMaterial.tlogEntries[].inclusionProof.rootHash",
    "verificationMaterial.tlogEntries[].inclusionProof.treeSize",
    "dsseEnvelope.signatures[].keyid",
  ],
});
const person = vector("email.json", {
  identity: "brian@dehamer.com",
  issuer: "https://github.com/login/oauth",
  digest:
    "sha512:bbfd372fc9beeb777fe35d05bb10c0c70a9733d366a75fed7dd18866c7391de3ee7e88ba74dd47abf3e15c845e547fcf0e5c3da80854c751554224d3a6d4e55f",
  logIndex: "6800908",
  hints: [
    "verificationMaterial.x509CertificateChain.certificates[].rawBytes",
    "verificationMaterial.x509CertificateChain.certificates[].rawBytes",
    "dsseEnvelope.signatures[].keyid",
  ],
});

/** As `decideOci` does it with one bundle; the statements are no signatures of images, so that it is not asked itself. */
async function check(of: Vector, change: Partial<Vector> = {}) {
  const { text, method, digest } = { ...of, ...change };
  const bytes = Buffer.from(text);
  const target = { bytes: Buffer.alloc(0), mediaType: "", digest };
  const { bundle, entity } = await readAttached({
    form: "bundle",
    where: "here",
    bundle: JSON.parse(text),
    payload: undefined,
    bytes,
    digest,
    target,
  });
  const signer = (await prepareMethod(method, []))(bundle, entity);
  if (bundle.content.$case !== "dsseEnvelope") throw new Error("no statement");
  const { payload, payloadType } = bundle.content.dsseEnvelope;
  const wanted = { digests: [digest], repository: undefined, tag: undefined, rule: "any" } as const;
  return { ...signer, ...matchClaim(readStatement(payload, payloadType), wanted) };
}

const refused = (code: TrustErrorCode) => expect.objectContaining({ code });

const both: readonly (readonly [string, Vector])[] = [
  ["a workflow", workflow],
  ["a person", person],
];

test.each(both)("%s's signature is good", async (_, of) => {
  const { identity, issuer } = of.method;
  expect(await check(of)).toMatchObject({
    identity: "exact" in identity ? identity.exact : "",
    issuer,
    digest: of.digest,
    logIndex: of.logIndex,
  });
});

test.each(both)("%s's signature is not another's, nor of something else", async (_, of) => {
  const other = { ...of.method, identity: { exact: "somebody@example.com" } };
  await expect(check(of, { method: other })).rejects.toThrow(refused("IDENTITY_UNTRUSTED"));
  const part = { ...of.method, identity: { regexp: "[a-z]+" } };
  await expect(check(of, { method: part })).rejects.toThrow(refused("IDENTITY_UNTRUSTED"));
  const issuer = { ...of.method, issuer: "https://accounts.example.com" };
  await expect(check(of, { method: issuer })).rejects.toThrow(refused("IDENTITY_UNTRUSTED"));
  const digest = parseDigest(`sha512:${"0".repeat(128)}`);
  await expect(check(of, { digest })).rejects.toThrow(refused("DIGEST_MISMATCH"));
});

type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** The document with each of its values changed once. */
function* changes(value: Json, path = ""): Generator<readonly [path: string, changed: Json]> {
  if (typeof value === "string" || typeof value === "number") {
    yield [path, changedValue(value)];
  } else if (Array.isArray(value)) {
    for (const [i, each] of value.entries()) {
      for (const [where, changed] of changes(each, `${path}[]`)) {
        yield [where, value.with(i, changed)];
      }
    }
  } else if (typeof value === "object" && value !== null) {
    for (const [name, each] of Object.entries(value)) {
      for (const [where, changed] of changes(each, path === "" ? name : `${path}.${name}`)) {
        yield [where, { ...value, [name]: changed }];
      }
    }
  }
}

/** Another value of the same kind: a number stays one, base64 stays base64 and differs in the middle. */
function changedValue(value: string | number): string | number {
  if (typeof value === "number") return value + 1;
  if (/^\d+$/.test(value)) return String(BigInt(value) + 1n);
  const middle = value.length >> 1;
  return `${value.slice(0, middle)}${value[middle] === "A" ? "B" : "A"}${value.slice(middle + 1)}`;
}

test.each(both)("%s's signature is refused with any value changed", async (_, of) => {
  const accepted: string[] = [];
  let tried = 0;
  for (const [path, changed] of changes(JSON.parse(of.text))) {
    tried++;
    await check(of, { text: JSON.stringify(changed) }).then(
      () => accepted.push(path),
      () => undefined,
    );
  }
  expect(tried).toBeGreaterThan(10);
  expect(accepted).toEqual([...of.hints]);
});
