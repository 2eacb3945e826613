// SPDX-License-Identifier: Apache-2.0
// `rkt trust` for OCI and Docker images: the trust policies that it writes, shows and removes.
import { expect } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { needs } from "../support/needs.ts";
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
