// SPDX-License-Identifier: Apache-2.0
// `rkt trust` for OCI and Docker images: the trust policies that it writes, shows and removes.
import { expect } from "bun:test";
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { needs } from "../support/needs.ts";
import { addImage, BUSYBOX, type MadeImage, writeIndex } from "../support/oci-layout.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { exists } from "../support/temp.ts";

const test = needs("root", "sandbox");
const SKIP = "--skip-fingerprint-review";
const PREFIX = "--prefix=registry.example.com/team";
const file = (rkt: Rkt) => `${rkt.local}/trust.d/rkt-registry.example.com%2Fteam.json`;
const policy = (rkt: Rkt) => JSON.parse(readFileSync(file(rkt), "utf8"));

function newKeyFile(
  rkt: Rkt,
  name = "key.pub",
): { readonly path: string; readonly base64: string } {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const path = `${rkt.work}/${name}`;
  writeFileSync(path, publicKey.export({ format: "pem", type: "spki" }));
  return { path, base64: publicKey.export({ format: "der", type: "spki" }).toString("base64") };
}

test("a sigstore key becomes a policy, and a second one stays beside it", async () => {
  await using rkt = newRkt();
  const first = newKeyFile(rkt);
  const second = newKeyFile(rkt, "second.pub");
  const shown = await rkt.ok(["trust", "--type=sigstore-key", PREFIX, SKIP, first.path]);
  expect(shown).toContain(`sigstoreKey key=${first.base64}`);
  expect(shown).toContain(
    `Wrote the trust policy for prefix "registry.example.com/team" at "${file(rkt)}"`,
  );
  await rkt.ok(["trust", "--type=sigstore-key", PREFIX, SKIP, second.path]);
  expect(policy(rkt)).toEqual({
    rktVersion: "v1",
    rktKind: "trustPolicy",
    prefixes: ["registry.example.com/team"],
    accept: [
      { type: "sigstoreKey", key: first.base64 },
      { type: "sigstoreKey", key: second.base64 },
    ],
    signedReference: "match",
  });
  expect(statSync(file(rkt)).mode & 0o777).toBe(0o644);
});

test("policies are listed, shown by rkt config, and removed", async () => {
  await using rkt = newRkt();
  expect(await rkt.ok(["trust", "--list"])).toBe("");
  await rkt.ok(["trust", "--type=none", PREFIX, SKIP]);
  expect(await rkt.ok(["trust", "--list"])).toContain('"registry.example.com/team"\tnothing');
  expect(await rkt.ok(["config"])).toContain('"rktKind": "trustPolicy"');
  expect(await rkt.ok(["trust", "--remove", PREFIX])).toContain(`Removed the trust policy`);
  expect(exists(file(rkt))).toBe(false);
  await rkt.fails(["trust", "--remove", PREFIX], "there is no trust policy for");
});

test("nobody to ask means no", async () => {
  await using rkt = newRkt();
  await rkt.fails(
    ["trust", "--type=none", PREFIX],
    "error reviewing trust: unable to ask user because of lack of tty",
  );
  expect(exists(file(rkt))).toBe(false);
});

test("a keyless policy needs a trust root, an identity and an issuer", async () => {
  await using rkt = newRkt();
  const words = ["trust", "--type=sigstore-keyless", PREFIX, SKIP];
  await rkt.fails(words, "one of identity and identityRegexp must be specified");
  await rkt.fails([...words, "--identity=a@example.com"], "issuer not specified");
  const full = [...words, "--identity=a@example.com", "--issuer=https://accounts.example.com"];
  await rkt.fails(full, "there is no sigstore trust root at");
  mkdirSync(`${rkt.local}/sigstore`, { recursive: true });
  const empty = { tlogs: [], certificateAuthorities: [], ctlogs: [], timestampAuthorities: [] };
  writeFileSync(`${rkt.local}/sigstore/trusted_root.json`, JSON.stringify(empty));
  await rkt.ok([...full, "--require=provenance,builder=https://example.com/b", "--require=sbom"]);
  expect(policy(rkt)).toMatchObject({
    accept: [{ type: "sigstoreKeyless", identity: "a@example.com" }],
    attestations: [{ type: "provenance", builder: "https://example.com/b" }, { type: "sbom" }],
  });
});

test.each([
  [["--type=sigstore-key"], "say for which images: --prefix=PREFIX, or --root"],
  [["--type=sigstore-key", "--root"], "--type=sigstore-key needs a public key"],
  [["--type=none", "--prefix=https://example.com"], "is not HOST[/REPOSITORY]"],
  [["--type=none", PREFIX, "--require=sbom"], "attestations need a sigstore key"],
  [["--type=sigstore"], 'unknown value "sigstore"'],
] as const)("%j is a mistake", async (words, sentence) => {
  await using rkt = newRkt();
  await rkt.fails(["trust", SKIP, ...words], sentence);
});

test("a private key, and what is no key, is refused", async () => {
  await using rkt = newRkt();
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const path = `${rkt.work}/key`;
  writeFileSync(path, privateKey.export({ format: "pem", type: "pkcs8" }));
  const words = ["trust", "--type=sigstore-key", PREFIX, SKIP, path];
  await rkt.fails(words, "holds a private key");
  writeFileSync(path, "hello");
  await rkt.fails(words, "cannot read the public key");
});

test("a policy file with a field that is not known is an error, wherever it counts", async () => {
  await using rkt = newRkt();
  mkdirSync(`${rkt.local}/trust.d`, { recursive: true });
  writeFileSync(
    `${rkt.local}/trust.d/a.json`,
    JSON.stringify({
      rktKind: "trustPolicy",
      rktVersion: "v1",
      prefixes: ["example.com"],
      accept: [{ type: "nothing", unless: "signed" }],
    }),
  );
  await rkt.fails(["trust", "--list"], '"nothing" has no field "unless"');
});

const runs = needs("root", "sandbox", "busybox", "overlay");

interface SignedLayout {
  readonly image: MadeImage;
  readonly attestation: string;
}

/** A layout with an image, cosign's signature of it, and a provenance, both by the key. */
function signedLayout(rkt: Rkt, key: KeyObject): SignedLayout {
  const layout = `${rkt.work}/img`;
  const put = (text: string, mediaType: string, annotations = {}) => {
    const hex = createHash("sha256").update(text).digest("hex");
    writeFileSync(`${layout}/blobs/sha256/${hex}`, text);
    return { mediaType, digest: `sha256:${hex}`, size: text.length, annotations };
  };
  const image = addImage(layout, { layers: [BUSYBOX] });
  const attach = (layer: object): MadeImage => {
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const config = put("{}", "application/vnd.oci.image.config.v1+json");
    const manifest = { schemaVersion: 2, mediaType, config, layers: [layer] };
    const descriptor = put(JSON.stringify(manifest), mediaType);
    return { digest: descriptor.digest, descriptor };
  };
  const payload = JSON.stringify({
    critical: {
      identity: { "docker-reference": "registry.example.com/team/app" },
      image: { "docker-manifest-digest": image.digest },
      type: "cosign container image signature",
    },
    optional: null,
  });
  const signature = sign("sha256", Buffer.from(payload), key).toString("base64");
  const type = "application/vnd.in-toto+json";
  const statement = JSON.stringify({
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ name: "", digest: { sha256: image.digest.slice("sha256:".length) } }],
    predicateType: "https://slsa.dev/provenance/v1",
    predicate: { runDetails: { builder: { id: "https://example.com/builder" } } },
  });
  const encoded = `DSSEv1 ${type.length} ${type} ${statement.length} ${statement}`;
  const envelope = JSON.stringify({
    payload: Buffer.from(statement).toString("base64"),
    payloadType: type,
    signatures: [{ sig: sign("sha256", Buffer.from(encoded), key).toString("base64") }],
  });
  const attested = put(envelope, "application/vnd.dsse.envelope.v1+json");
  const tag = image.digest.replace(":", "-");
  writeIndex(layout, {
    latest: image,
    [`${tag}.sig`]: attach(
      put(payload, "application/vnd.dev.cosign.simplesigning.v1+json", {
        "dev.cosignproject.cosign/signature": signature,
      }),
    ),
    [`${tag}.att`]: attach(attested),
  });
  return { image, attestation: attested.digest };
}

runs("an image runs when the policy's key signed it, and says who did", async () => {
  await using rkt = newRkt();
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(`${rkt.work}/key.pub`, publicKey.export({ format: "pem", type: "spki" }));
  const { image, attestation } = signedLayout(rkt, privateKey);
  const run = ["run", "--net=none", `oci:${rkt.work}/img:latest`, "--", "-c", "echo ran"];
  await rkt.fails(run, 'no trust policy says who may sign "local"');
  await rkt.ok([
    ...["trust", "--type=sigstore-key", "--prefix=local", SKIP],
    ...["--require=provenance,builder=https://example.com/builder", `${rkt.work}/key.pub`],
  ]);
  expect(await rkt.ok(run)).toBe("ran\n");
  const id = createHash("sha256").update(publicKey.export({ format: "der", type: "spki" }));
  const key = id.digest("hex");
  expect(await rkt.ok(["image", "list", "--fields=verified", "--no-legend"])).toContain(
    `sigstore ${key.slice(0, 16)}`,
  );
  const [{ name, verification }] = JSON.parse(await rkt.ok(["image", "list", "--format=json"]));
  expect(verification).toMatchObject({
    kind: "sigstore",
    key: `sha256:${key}`,
    digest: image.digest,
    signedReference: "registry.example.com/team/app",
    prefix: "local",
  });
  const shown = await rkt.ok(["image", "inspect", name]);
  expect(shown).toContain(`sigstore key sha256:${key}`);
  expect(shown).toContain(
    `https://slsa.dev/provenance/v1 by https://example.com/builder (${attestation})`,
  );
  expect(shown).toContain(image.digest);
  expect(JSON.parse(await rkt.ok(["image", "inspect", "--format=json", name]))).toMatchObject({
    attestations: [{ digest: attestation, builder: "https://example.com/builder" }],
    oci: { digest: image.digest },
  });
  // Kept, also when waste is collected.
  await rkt.ok(["gc", "--grace-period=0s"]);
  await rkt.ok(["image", "gc", "--grace-period=24h"]);
  expect(exists(`${rkt.data}/cas/oci/blob/${attestation.replace(":", "/")}`)).toBe(true);
});

runs("an image is refused when somebody else signed it, and nothing of it is kept", async () => {
  await using rkt = newRkt();
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  signedLayout(rkt, privateKey);
  const words = ["trust", "--type=sigstore-key", "--prefix=local", SKIP];
  await rkt.ok([...words, newKeyFile(rkt).path]);
  await rkt.fails(
    ["fetch", `oci:${rkt.work}/img:latest`],
    "signature does not match what it was made for",
  );
  expect(exists(`${rkt.data}/cas/oci/blob/sha256`)).toBe(false);
  expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
});

runs("a policy that requires nothing lets an image run, and the record says so", async () => {
  await using rkt = newRkt();
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  signedLayout(rkt, privateKey);
  await rkt.ok(["trust", "--type=none", "--prefix=local", SKIP]);
  const run = ["run", "--net=none", `oci:${rkt.work}/img:latest`, "--", "-c", "echo ran"];
  expect(await rkt.ok(run)).toBe("ran\n");
  expect(await rkt.ok(["image", "list", "--fields=verified", "--full", "--no-legend"])).toContain(
    "nobody (policy for local)",
  );
});
