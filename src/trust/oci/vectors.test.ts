// SPDX-License-Identifier: Apache-2.0
// Signatures by cosign and podman: see tests/vectors/oci-trust.
import { expect, test } from "bun:test";
import { createPublicKey } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { MEDIA_TYPES, parseDigest, parseIndex } from "../../oci/parse.ts";
import type { SourceManifest } from "../../oci/source.ts";
import type { TrustMethod, TrustPolicy } from "../../oci/trust-policy.ts";
import type { TrustErrorCode } from "../errors.ts";
import { temporaryDirectory } from "../fixture.ts";
import { openKeystore } from "../keystore.ts";
import { decideOci } from "./decide.ts";
import { MemorySource } from "./fixture.ts";

const VECTORS = `${import.meta.dir}/../../../tests/vectors/oci-trust`;
const cosign: {
  readonly image: string;
  readonly key: string;
  readonly manifests: Readonly<Record<string, string>>;
  readonly blobs: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
} = JSON.parse(readFileSync(`${VECTORS}/cosign.json`, "utf8"));
const podman: {
  readonly repository: string;
  readonly digest: string;
  readonly key: string;
  readonly signature: string;
} = JSON.parse(readFileSync(`${VECTORS}/podman.json`, "utf8"));

const key: TrustMethod = {
  type: "sigstoreKey",
  key: createPublicKey(cosign.key).export({ format: "der", type: "spki" }).toString("base64"),
  trustRoot: undefined,
};

/** What the registry had, with those of cosign's tags that are asked for. */
function registry(...suffixes: readonly ("" | ".sig" | ".att")[]): {
  source: MemorySource;
  image: SourceManifest;
} {
  const source = new MemorySource();
  source.repository = "localhost:1338/team/app";
  for (const [digest, text] of Object.entries(cosign.manifests)) {
    const bytes = Buffer.from(text);
    source.manifests.set(digest, {
      bytes,
      mediaType: JSON.parse(text).mediaType,
      digest: parseDigest(digest),
    });
  }
  for (const [digest, text] of Object.entries(cosign.blobs)) {
    source.blobs.set(digest, Buffer.from(text));
  }
  for (const suffix of suffixes) {
    const tag = `${cosign.image.replace(":", "-")}${suffix}`;
    const manifest = source.manifests.get(cosign.tags[tag] ?? "");
    if (manifest === undefined) throw new Error(`no ${tag}`);
    if (suffix === "") {
      const index = parseIndex(manifest.bytes, MEDIA_TYPES.index);
      source.refers.set(cosign.image, [...index.manifests]);
    } else source.tags.set(tag, manifest);
  }
  const image = source.manifests.get(cosign.image);
  if (image === undefined) throw new Error("no image");
  return { source, image };
}

function decide({ source, image }: ReturnType<typeof registry>, more: Partial<TrustPolicy> = {}) {
  const prefix = "localhost:1338";
  const policy: TrustPolicy = {
    prefix,
    accept: [key],
    attestations: [],
    signedReference: "match",
    ...more,
  };
  return decideOci(
    { source, resolved: image, manifest: image },
    { policies: new Map([[prefix, policy]]), keystore: undefined, trustRoots: [] },
  );
}

test("cosign's signature in its tag", async () => {
  expect(await decide(registry(".sig"))).toMatchObject({
    kind: "sigstore",
    form: "cosign",
    digest: cosign.image,
    signedReference: "localhost:1338/team/app",
  });
});

test("cosign's signature as a bundle, which has no reference", async () => {
  const expected = expect.objectContaining({ code: "REFERENCE_MISMATCH" satisfies TrustErrorCode });
  await expect(decide(registry(""))).rejects.toThrow(expected);
  expect(await decide(registry(""), { signedReference: "ifGiven" })).toMatchObject({
    kind: "sigstore",
    form: "bundle",
    digest: cosign.image,
  });
});

test.each([
  ["in its tag", [".sig", ".att"]],
  ["as a bundle", [".sig", ""]],
] as const)("cosign's attestation %s", async (_, suffixes) => {
  const attestations = [
    {
      type: "provenance",
      builder: "https://example.com/builder",
      source: "git+https://example.com/app",
    },
  ] as const;
  expect(await decide(registry(...suffixes), { attestations })).toMatchObject({
    attestations: [
      {
        predicateType: "https://slsa.dev/provenance/v1",
        builder: "https://example.com/builder",
        source: "git+https://example.com/app",
      },
    ],
  });
});

async function decidePodman(change: {
  readonly signature?: Buffer;
  readonly digest?: string;
  readonly repository?: string;
}) {
  using dir = temporaryDirectory();
  const { digest = podman.digest, repository = podman.repository } = change;
  const place = `${dir.path}/${repository.slice(repository.indexOf("/") + 1)}@${digest.replace(":", "=")}`;
  mkdirSync(place, { recursive: true });
  writeFileSync(
    `${place}/signature-1`,
    change.signature ?? Buffer.from(podman.signature, "base64"),
  );
  const keystore = openKeystore({ systemConfig: "/nowhere", localConfig: dir.path });
  await keystore.addRootKey(podman.key);
  const policy: TrustPolicy = {
    prefix: "",
    accept: [{ type: "openpgp", lookaside: dir.path }],
    attestations: [],
    signedReference: "match",
  };
  const source = new MemorySource();
  source.repository = repository;
  const image = { ...source.image, digest: parseDigest(digest) };
  return await decideOci(
    { source, resolved: image, manifest: image },
    { policies: new Map([["", policy]]), keystore, trustRoots: [] },
  );
}

test("podman's signature in a lookaside directory", async () => {
  expect(await decidePodman({})).toMatchObject({
    kind: "openpgp",
    identities: ["Podman Signer <podman@example.com>"],
  });
});

test("podman's signature of another image, under another name, or changed", async () => {
  const other = `sha256:${"0".repeat(64)}`;
  const refused = (code: TrustErrorCode) => expect.objectContaining({ code });
  await expect(decidePodman({ digest: other })).rejects.toThrow(refused("DIGEST_MISMATCH"));
  await expect(decidePodman({ repository: "localhost:1338/team/other" })).rejects.toThrow(
    refused("REFERENCE_MISMATCH"),
  );
  const good = Buffer.from(podman.signature, "base64");
  for (let i = 0; i < good.length; i += 11) {
    const signature = Buffer.from(good);
    signature[i] = (good[i] ?? 0) ^ 0x20;
    await expect(decidePodman({ signature })).rejects.toThrow();
  }
});
