// SPDX-License-Identifier: Apache-2.0
// Under which name an OCI image is kept, and who vouches for it, when the same bytes come again in another way.
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { parseImageManifest } from "../appc/index.ts";
import type { Digest } from "../oci/types.ts";
import { acceptManifest, type Verification } from "../trust/verified-image.ts";
import { type TestStore, testStore } from "./test-images.ts";

const verifiedAt = "2026-01-01T00:00:00.000Z";
const UNVERIFIED: Verification = { kind: "unverified", reason: "a flag", acceptedAt: verifiedAt };
const NOTHING: Verification = { kind: "policy", prefix: "example.com", acceptedAt: verifiedAt };
const SIGNED: Verification = {
  kind: "sigstore",
  key: `sha256:${"0".repeat(64)}`,
  form: "cosign",
  digest: `sha256:${"1".repeat(64)}`,
  prefix: "example.com/a",
  verifiedAt,
};

const bytes = Buffer.from("{}");
const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;

/** Imports the same bytes under a reference; the name and verification that the image has then. */
async function bring({ store }: TestStore, reference: string, verification: Verification) {
  const name = reference.replace(/^[a-z-]+:\/+/, "").replace(/[:@].*$/, "");
  const manifest = parseImageManifest(
    JSON.stringify({ acKind: "ImageManifest", acVersion: "0.8.11", name }),
  );
  const oci = { reference, digest, mediaType: "", platform: "linux/amd64", config: digest };
  const key = await store.importOci(acceptManifest(bytes, verification), {
    manifest,
    oci: { ...oci, layers: [] },
    latest: false,
  });
  return { name: String(store.manifest(key).name), kind: store.verification(key).kind };
}

const A = "docker://example.com/a:1";

test.each([
  ["the same reference", A, "sigstore"],
  ["its digest", `docker://example.com/a@${digest}`, "sigstore"],
  ["its tag with the digest", `${A}@${digest}`, "sigstore"],
  ["another tag", "docker://example.com/a:2", "unverified"],
  ["a tag that begins alike", "docker://example.com/a:10", "unverified"],
  ["another repository", "docker://example.com/b:1", "unverified"],
  ["a repository below", "docker://example.com/a/b:1", "unverified"],
] as const)("a signature stays good, without one, for %s: %s", async (_, reference, kind) => {
  using t = testStore();
  expect(await bring(t, A, SIGNED)).toEqual({ name: "example.com/a", kind: "sigstore" });
  expect((await bring(t, reference, UNVERIFIED)).kind).toBe(kind);
});

test("a policy that asks for nobody says nothing of another name", async () => {
  using t = testStore();
  await bring(t, A, NOTHING);
  expect(await bring(t, "docker://example.com/b:1", UNVERIFIED)).toEqual({
    name: "example.com/b",
    kind: "unverified",
  });
});

test("a file changes neither the name nor the word of a registry's image", async () => {
  using t = testStore();
  await bring(t, A, SIGNED);
  expect(await bring(t, "oci:/img", UNVERIFIED)).toEqual({
    name: "example.com/a",
    kind: "sigstore",
  });
  expect(await bring(t, "oci:/img", NOTHING)).toEqual({ name: "example.com/a", kind: "sigstore" });
});

test("who vouches for a file does not vouch for the name of a registry", async () => {
  using t = testStore();
  await bring(t, A, UNVERIFIED);
  const local = await bring(t, "oci:/img", { ...SIGNED, prefix: "local" });
  expect(local).toEqual({ name: "img", kind: "sigstore" });
  expect(await bring(t, A, UNVERIFIED)).toEqual({ name: "example.com/a", kind: "unverified" });
});
