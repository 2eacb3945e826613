// SPDX-License-Identifier: Apache-2.0
// Signed images from Debian's docker-registry: what is attached to them is found in cosign's tag, in the list that stands
// in for the referrers API, and by that API, which a proxy in front answers in the registry's place.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { writeFileSync } from "node:fs";
import * as openpgp from "openpgp";
import { type FaultProxy, newFaultProxy } from "../support/fault-proxy.ts";
import { needs } from "../support/needs.ts";
import { BUSYBOX, sha256, writeImage } from "../support/oci-layout.ts";
import { newRegistry, type Registry } from "../support/registry.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { certificates } from "../support/site.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

const run = needs("root", "sandbox", "overlay", "busybox", "registry");
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIGNATURE = "application/vnd.dev.cosign.simplesigning.v1+json";

let dir: TempDir;
let registry: Registry;
let proxy: FaultProxy;
let image: string;

beforeAll(async () => {
  if (run !== test) return;
  dir = tempDir("rkt-docker-trust");
  image = writeImage(dir.join("img"), { layers: [BUSYBOX] }).digest;
  registry = await newRegistry();
  proxy = await newFaultProxy(registry.host);
});
afterAll(async () => {
  proxy?.[Symbol.dispose]();
  await registry?.[Symbol.asyncDispose]();
  dir?.[Symbol.dispose]();
});

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** One repository in the registry; each test has its own. */
class Repository {
  readonly name: string;
  private constructor(name: string) {
    this.name = name;
  }

  static async of(name: string): Promise<Repository> {
    await registry.push(`oci:${dir.join("img")}:latest`, `${name}:1`);
    return new Repository(name);
  }

  async #ask(method: string, url: string, body?: string, type?: string): Promise<Response> {
    const answer = await fetch(url, {
      method,
      ...(body === undefined ? {} : { body }),
      headers: { "content-type": type ?? "application/octet-stream" },
      tls: { rejectUnauthorized: false },
    });
    if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${await answer.text()}`);
    return answer;
  }

  async blob(text: string, mediaType: string): Promise<Descriptor> {
    const base = `https://${registry.host}/v2/${this.name}`;
    const digest = sha256(Buffer.from(text));
    const upload = await this.#ask("POST", `${base}/blobs/uploads/`);
    const place = new URL(upload.headers.get("location") ?? "", base);
    place.searchParams.set("digest", digest);
    await this.#ask("PUT", place.href, text);
    return { mediaType, digest, size: Buffer.byteLength(text) };
  }

  async manifest(document: object, mediaType: string, tag?: string): Promise<Descriptor> {
    const text = JSON.stringify({ schemaVersion: 2, mediaType, ...document });
    const digest = sha256(Buffer.from(text));
    const base = `https://${registry.host}/v2/${this.name}`;
    await this.#ask("PUT", `${base}/manifests/${tag ?? digest}`, text, mediaType);
    return { mediaType, digest, size: Buffer.byteLength(text) };
  }
}

const TAG = () => image.replace(":", "-");

/** cosign's own form, in its tag. */
async function signInTag(
  repository: Repository,
  key: KeyObject,
  reference = `${proxy.host}/${repository.name}`,
): Promise<void> {
  const payload = JSON.stringify({
    critical: {
      identity: { "docker-reference": reference },
      image: { "docker-manifest-digest": image },
      type: "cosign container image signature",
    },
    optional: null,
  });
  const signature = sign("sha256", Buffer.from(payload), key).toString("base64");
  const layer = {
    ...(await repository.blob(payload, SIGNATURE)),
    annotations: { "dev.cosignproject.cosign/signature": signature },
  };
  const config = await repository.blob("{}", "application/vnd.oci.image.config.v1+json");
  await repository.manifest({ config, layers: [layer] }, MANIFEST, `${TAG()}.sig`);
}

/** A Sigstore bundle that refers to the image; gives the list of what does. */
async function signInBundle(repository: Repository, key: KeyObject): Promise<object> {
  const type = "application/vnd.in-toto+json";
  const statement = JSON.stringify({
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ digest: { sha256: image.slice("sha256:".length) } }],
    predicateType: "https://sigstore.dev/cosign/sign/v1",
    predicate: {},
  });
  const encoded = `DSSEv1 ${type.length} ${type} ${statement.length} ${statement}`;
  const bundle = JSON.stringify({
    mediaType: BUNDLE,
    verificationMaterial: { publicKey: { hint: "key" }, tlogEntries: [] },
    dsseEnvelope: {
      payload: Buffer.from(statement).toString("base64"),
      payloadType: type,
      signatures: [{ sig: sign("sha256", Buffer.from(encoded), key).toString("base64") }],
    },
  });
  const layer = await repository.blob(bundle, BUNDLE);
  const config = await repository.blob("{}", "application/vnd.oci.empty.v1+json");
  const subject = { mediaType: MANIFEST, digest: image, size: 1 };
  const referrer = await repository.manifest(
    { artifactType: BUNDLE, config, layers: [layer], subject },
    MANIFEST,
  );
  return { manifests: [{ ...referrer, artifactType: BUNDLE }] };
}

/** A client that trusts one key for the proxy's images; `rule`: the policy's for the signed reference. */
async function client(rule: "match" | "ifGiven" = "match") {
  proxy.fault = () => undefined;
  const rkt = newRkt();
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(`${rkt.work}/key.pub`, publicKey.export({ format: "pem", type: "spki" }));
  await rkt.ok([
    ...["trust", "--type=sigstore-key", `--prefix=${proxy.host}`, "--skip-fingerprint-review"],
    `${rkt.work}/key.pub`,
  ]);
  if (rule === "ifGiven") {
    const file = `${rkt.local}/trust.d/rkt-${encodeURIComponent(proxy.host)}.json`;
    const policy: object = await Bun.file(file).json();
    writeFileSync(file, JSON.stringify({ ...policy, signedReference: rule }));
  }
  const key = sha256(publicKey.export({ format: "der", type: "spki" }));
  return { rkt, privateKey, key, options: { env: { ...registry.env, HOME: rkt.work } } };
}

const runOf = ({ name }: Repository) => [
  ...["run", "--net=none", `docker://${proxy.host}/${name}:1`],
  ...["--", "-c", "echo ran"],
];

/** What a user sees of the stored image's signature. */
async function expectShown(rkt: Rkt, verification: object, key: string): Promise<void> {
  const [found] = JSON.parse(await rkt.ok(["image", "list", "--format=json"]));
  expect(found.verification).toMatchObject({ kind: "sigstore", key, digest: image });
  expect(found.verification).toMatchObject(verification);
  expect(await rkt.ok(["image", "inspect", found.name])).toContain(`sigstore key ${key}`);
  expect(await rkt.ok(["image", "list", "--fields=verified", "--no-legend"])).toContain(
    `sigstore ${key.slice("sha256:".length, "sha256:".length + 16)}`,
  );
}

run("an image that nobody signed is refused, with what can be done", async () => {
  const { rkt, options } = await client();
  await using _ = rkt;
  const repository = await Repository.of("unsigned");
  const said = await rkt.fails(runOf(repository), `nobody signed ${image}`, options);
  expect(said.stderr).toContain(`try: sign ${image} as "rkt trust --list" says`);
  expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
});

run("an image runs that the policy's key signed in cosign's tag", async () => {
  const { rkt, options, key, privateKey } = await client();
  await using _ = rkt;
  const repository = await Repository.of("tagged");
  await signInTag(repository, privateKey);
  expect(await rkt.ok(runOf(repository), options)).toBe("ran\n");
  await expectShown(
    rkt,
    { form: "cosign", signedReference: `${proxy.host}/${repository.name}` },
    key,
  );
});

run.each([
  ["the list in the fallback tag", false],
  ["the referrers API", true],
])("an image runs that the policy's key signed in a bundle, found by %s", async (_, api) => {
  const { rkt, options, key, privateKey } = await client("ifGiven");
  await using _rkt = rkt;
  const repository = await Repository.of(api ? "api" : "fallback");
  const list = await signInBundle(repository, privateKey);
  if (api) {
    const body = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, ...list });
    proxy.fault = ({ path }) =>
      path.includes(`/referrers/${image}`)
        ? { status: 200, body, headers: { "content-type": INDEX } }
        : undefined;
  } else await repository.manifest(list, INDEX, TAG());
  expect(await rkt.ok(runOf(repository), options)).toBe("ran\n");
  await expectShown(rkt, { form: "bundle" }, key);
});

run(
  "an image is refused that another key signed, or that is signed under another name",
  async () => {
    const { rkt, options, privateKey } = await client();
    await using _ = rkt;
    const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const wrong = await Repository.of("wrong-key");
    await signInTag(wrong, other.privateKey);
    const said = await rkt.fails(
      runOf(wrong),
      "signature does not match what it was made for",
      options,
    );
    expect(said.stderr).toContain("try: ");
    const renamed = await Repository.of("renamed");
    await signInTag(renamed, privateKey, `${proxy.host}/tagged`);
    await rkt.fails(
      runOf(renamed),
      `signature is for the name "${proxy.host}/tagged", not for "${proxy.host}/renamed"`,
      options,
    );
    expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
  },
);

run("a stored image goes by the policy of its fetch; fetching it again asks today's", async () => {
  const { rkt, options, privateKey } = await client();
  await using _ = rkt;
  const repository = await Repository.of("stored");
  await signInTag(repository, privateKey);
  const words = runOf(repository);
  expect(await rkt.ok(words, options)).toBe("ran\n");
  await rkt.ok(["trust", "--remove", `--prefix=${proxy.host}`]);
  const refusal = `no trust policy says who may sign "${proxy.host}/${repository.name}"`;
  expect(await rkt.ok(words, options)).toBe("ran\n");
  await rkt.fails([...words.toSpliced(1, 0, "--pull-policy=update")], refusal, options);
  await rkt.fails(["fetch", `docker://${proxy.host}/${repository.name}:1`], refusal, options);
  const [{ id }] = JSON.parse(await rkt.ok(["image", "list", "--format=json"]));
  await rkt.ok(["gc", "--grace-period=0s"]);
  await rkt.ok(["image", "rm", id]);
  await rkt.fails(words, refusal, options);
});

run("an image runs that an OpenPGP key signed in a lookaside on a web server", async () => {
  proxy.fault = () => undefined;
  await using rkt = newRkt();
  const options = { env: { ...registry.env, HOME: rkt.work } };
  const repository = await Repository.of("lookaside");
  const { privateKey, publicKey } = await openpgp.generateKey({
    userIDs: [{ name: "Test Signer", email: "signer@example.com" }],
    format: "object",
  });
  writeFileSync(`${rkt.work}/key.asc`, publicKey.armor());
  const payload = JSON.stringify({
    critical: {
      identity: { "docker-reference": `${proxy.host}/lookaside:1` },
      image: { "docker-manifest-digest": image },
      type: "atomic container signature",
    },
    optional: {},
  });
  const message = await openpgp.sign({
    message: await openpgp.createMessage({ binary: Buffer.from(payload) }),
    signingKeys: privateKey,
    format: "binary",
  });
  const asked: string[] = [];
  let answer = (_path: string) => new Response("", { status: 404 });
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: certificates(),
    fetch(request) {
      const { pathname } = new URL(request.url);
      asked.push(pathname);
      return answer(pathname);
    },
  });
  const lookaside = `https://127.0.0.1:${server.port}/sigstore`;
  const trust = ["trust", "--skip-fingerprint-review", `--prefix=${proxy.host}`];
  await rkt.fails(
    [...trust, "--lookaside=http://127.0.0.1/sigstore", `${rkt.work}/key.asc`],
    "lookaside must be an absolute path or an https URL",
  );
  await rkt.ok([...trust, `--lookaside=${lookaside}`, `${rkt.work}/key.asc`]);
  const words = runOf(repository);
  const place = `/sigstore/lookaside@${image.replace(":", "=")}/signature-`;
  await rkt.fails(words, `is in "${lookaside}"`, options);
  expect(asked).toEqual([`${place}1`]);
  answer = () => new Response("", { status: 500 });
  await rkt.fails(words, "cannot read the signature", options);
  answer = () => new Response(new Uint8Array(100_000));
  await rkt.fails(words, "cannot read the signature", options);
  answer = (path) =>
    path === `${place}2`
      ? new Response(Uint8Array.from(message))
      : path === `${place}1`
        ? new Response("no signature")
        : new Response("", { status: 404 });
  expect(await rkt.ok(words, options)).toBe("ran\n");
  expect(await rkt.ok(["image", "list", "--fields=verified", "--full", "--no-legend"])).toContain(
    publicKey.getFingerprint(),
  );
});
