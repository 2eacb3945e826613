// SPDX-License-Identifier: Apache-2.0
// Whose server certificates are believed: those of SSL_CERT_FILE and SSL_CERT_DIR where either is set, and
// no others; else the system's bundle. NODE_EXTRA_CA_CERTS adds. Bun's own list is used only on a system
// that has no bundle at all.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { FetchError } from "./errors.ts";
import type { Environment } from "./proxy.ts";

/** Where the distributions keep the bundle (the list of Go's crypto/x509, root_linux.go). */
const BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

const MAX_BUNDLE = 16 << 20;
const MAX_FILES = 4096;

/** PEM texts for the `ca` option of a TLS client; undefined stands for the runtime's own list. */
export function certificateAuthorities(env: Environment): readonly string[] | undefined {
  const texts: string[] = [];
  const file = env["SSL_CERT_FILE"] ?? "";
  const directories = env["SSL_CERT_DIR"] ?? "";
  if (file !== "") texts.push(readNamed(file, "SSL_CERT_FILE"));
  for (const directory of directories.split(":")) {
    if (directory !== "") texts.push(...readDirectory(directory));
  }
  if (file === "" && directories === "") {
    const bundle = readFirst(BUNDLES);
    if (bundle === undefined) return undefined;
    texts.push(bundle);
  }
  const extra = env["NODE_EXTRA_CA_CERTS"] ?? "";
  if (extra !== "") texts.push(readNamed(extra, "NODE_EXTRA_CA_CERTS"));
  return texts;
}

function readNamed(path: string, variable: string): string {
  try {
    const text = readBounded(path);
    // The runtime's own words for a list without any are about typos in the URL.
    if (!/-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/.test(text))
      throw new Error("there is no certificate in it");
    return text;
  } catch (cause) {
    throw new FetchError(
      "TLS_FAILED",
      `cannot read the certificates of ${variable} from ${quote(path)}`,
      { cause },
    );
  }
}

function readBounded(path: string): string {
  const { size } = statSync(path);
  if (size > MAX_BUNDLE) throw new Error(`the file is larger than ${MAX_BUNDLE} bytes`);
  return readFileSync(path, "utf8");
}

/** Certificates of a directory; what is not one is skipped, as OpenSSL and Go do. */
function readDirectory(directory: string): string[] {
  const texts: string[] = [];
  const seen = new Set<number>();
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (cause) {
    throw new FetchError(
      "TLS_FAILED",
      `cannot read the certificates of SSL_CERT_DIR from ${quote(directory)}`,
      { cause },
    );
  }
  for (const name of names.slice(0, MAX_FILES)) {
    const path = join(directory, name);
    try {
      const stat = statSync(path);
      // The directory has each certificate twice: by name and, as a link, by hash.
      if (!stat.isFile() || stat.size > MAX_BUNDLE || seen.has(stat.ino)) continue;
      seen.add(stat.ino);
      const text = readFileSync(path, "utf8");
      if (text.includes("-----BEGIN CERTIFICATE-----")) texts.push(text);
    } catch (error) {
      if (!isErrno(error, "ENOENT", "EACCES", "ELOOP")) throw error;
    }
  }
  return texts;
}

function readFirst(paths: readonly string[]): string | undefined {
  for (const path of paths) {
    try {
      return readBounded(path);
    } catch (error) {
      if (!isErrno(error, "ENOENT", "EACCES", "ENOTDIR")) throw error;
    }
  }
  return undefined;
}
