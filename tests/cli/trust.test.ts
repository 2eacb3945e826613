// SPDX-License-Identifier: Apache-2.0
// `rkt trust` in all its forms (rkt-cli §3).
import { expect } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { needs } from "../support/needs.ts";
import { newRkt, RKT, type Rkt } from "../support/rkt.ts";
import { newKey } from "../support/signing.ts";
import { newSite } from "../support/site.ts";
import { exists } from "../support/temp.ts";

const test = needs("root", "sandbox");
const SKIP = "--skip-fingerprint-review";

function put(rkt: Rkt, content: string | Uint8Array): string {
  writeFileSync(`${rkt.work}/key`, content);
  return `${rkt.work}/key`;
}

test("trust stores a key for a prefix or as root key, readable by all", async () => {
  await using rkt = newRkt();
  const key = await newKey({ name: "Ann Signer" });
  const path = put(rkt, key.publicKey);
  const stored = `${rkt.local}/trustedkeys/prefix.d/example.com/app/${key.fingerprint}`;
  const output = await rkt.run(["trust", "--prefix=example.com/app", SKIP, path]);
  const groups = key.fingerprint.toUpperCase().match(/.{4}/g) ?? [];
  expect(output.stderr).toContain(`pubkey: prefix: "example.com/app"\nkey: "${path}"`);
  expect(output.stdout).toContain(
    `gpg key fingerprint is: ${groups.slice(0, 5).join(" ")}  ${groups.slice(5).join(" ")}`,
  );
  expect(output.stdout).toContain("\tAnn Signer <signer@example.com>");
  expect(output.stdout).toContain(
    `Trusting "${path}" for prefix "example.com/app" without fingerprint review.`,
  );
  expect(output.stdout).toContain(`Added key for prefix "example.com/app" at "${stored}"`);
  expect(output.status).toBe(0);
  expect(readFileSync(stored, "utf8")).toContain("BEGIN PGP PUBLIC KEY BLOCK");
  expect(statSync(stored).mode & 0o777).toBe(0o644);

  const root = await rkt.ok(["trust", "--root", SKIP, path]);
  expect(root).toContain(`Added root key at "${rkt.local}/trustedkeys/root.d/${key.fingerprint}"`);
});

test("trust needs a person to review the fingerprint", async () => {
  await using rkt = newRkt();
  const key = await newKey();
  const { stderr } = await rkt.fails(
    ["trust", "--prefix=example.com", put(rkt, key.publicKey)],
    "error reviewing key: unable to ask user to review fingerprint due to lack of tty",
  );
  expect(stderr).toContain("--skip-fingerprint-review");
  expect(stderr).not.toContain("--trust-keys-from-https");
  expect(exists(`${rkt.local}/trustedkeys/prefix.d/example.com/${key.fingerprint}`)).toBe(false);
});

test("trust on a terminal asks until it hears yes or no", async () => {
  const key = await newKey();
  for (const [answers, trusted] of [
    [["maybe", "yes"], true],
    [["no"], false],
  ] as const) {
    await using rkt = newRkt();
    const path = put(rkt, key.publicKey);
    const command = `${RKT} --dir=${rkt.data} --local-config=${rkt.local} --system-config=${rkt.system} trust --prefix=example.com ${path}`;
    // script(1) is the terminal.
    const child = Bun.spawn(["script", "-qec", command, "/dev/null"], {
      stdin: "pipe",
      stdout: "pipe",
    });
    for (const answer of answers) {
      child.stdin.write(`${answer}\n`);
      child.stdin.flush();
    }
    const output = await new Response(child.stdout).text();
    expect(output).toContain("Are you sure you want to trust this key (yes/no)?");
    if (answers.length > 1) expect(output).toContain("Please enter 'yes' or 'no'");
    expect(output.includes("after fingerprint review")).toBe(trusted);
    expect(output.includes("not trusting")).toBe(!trusted);
    const stored = `${rkt.local}/trustedkeys/prefix.d/example.com/${key.fingerprint}`;
    expect(exists(stored)).toBe(trusted);
    child.stdin.end();
    await child.exited;
  }
});

test("trust refuses what is ambiguous or unbounded", async () => {
  await using rkt = newRkt();
  const path = put(rkt, (await newKey()).publicKey);
  await rkt.fails(["trust", path], "aborting due to implicit unbounded trust (root domain)");
  await rkt.fails(
    ["trust", "--root", "--prefix=a", path],
    "--root and --prefix usage mutually exclusive",
  );
  await rkt.fails(
    ["trust", "--prefix=http://example.com", path],
    "--prefix must not contain a URL scheme, omit http://",
  );
  await rkt.fails(
    ["trust", "--prefix=example.com", SKIP, "http://example.com/key"],
    "--insecure-allow-http required for http URLs",
  );
  await rkt.fails(
    ["trust", "--prefix=example.com", SKIP, "ftp://example.com/key"],
    "only local files and http or https URLs supported",
  );
  await rkt.fails(["trust", "--prefix=example.com", SKIP, "/nowhere"], /no such file/);
  await rkt.fails(["trust", "--prefix=example.com", SKIP, put(rkt, "no key")], "trust: ");
  await rkt.fails(
    ["trust", "--prefix=../../etc", SKIP, put(rkt, (await newKey()).publicKey)],
    "trust: ",
  );
  await rkt.fails(
    ["--insecure-options=image", "trust", "--prefix=a", SKIP, path],
    "could not get the keystore",
  );
});

test("trust finds a key by discovery, or takes it from a URL", async () => {
  await using rkt = newRkt();
  await using site = await newSite();
  const key = await newKey();
  site.discovery(
    "example.com/app",
    "https://example.com/{name}.{ext}",
    "https://example.com/key.asc",
  );
  site.serve("https://example.com/key.asc", { body: key.publicKey });
  const env = { env: site.env };
  const found = await rkt.ok(["trust", "--prefix=example.com/app", SKIP], env);
  expect(found).toContain('Trusting "https://example.com/key.asc" for prefix "example.com/app"');
  const https = await rkt.ok(
    ["--trust-keys-from-https", "trust", "--prefix=other.example", "https://example.com/key.asc"],
    env,
  );
  expect(https).toContain('Added key for prefix "other.example"');
  await rkt.fails(
    ["trust", "--prefix=other.example/none", SKIP],
    "error determining key location",
    env,
  );
});
