// SPDX-License-Identifier: Apache-2.0
// Sigstore's trust root on disk: which certificate authorities, timestamp authorities and logs count. A
// trusted_root.json as `cosign trusted-root create` or TUF gives it. Never fetched: an administrator puts it there.
import { createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import type { TrustMaterial } from "@sigstore/verify";
import { quote } from "../../lib/text.ts";
import { TrustError } from "../errors.ts";
import { loadSigstore } from "./library.ts";

const MAX_ROOT = 4 * 1024 * 1024;
const MAX_KEY = 64 * 1024;

/** The trust root of a file; of the first that exists, when several are given. */
export async function readTrustRoot(paths: readonly string[]): Promise<TrustMaterial> {
  const path = paths.find((each) => statSync(each, { throwIfNoEntry: false }) !== undefined);
  if (path === undefined) {
    throw new TrustError(
      "TRUST_ROOT_UNREADABLE",
      `there is no sigstore trust root at ${paths.map(quote).join(" or ")}`,
      { remedy: "put sigstore's trusted_root.json there; rkt never fetches one" },
    );
  }
  const [{ verify }, { TrustedRoot }] = await Promise.all([
    loadSigstore(),
    import("@sigstore/protobuf-specs"),
  ]);
  try {
    const json: unknown = JSON.parse(readBounded(path, MAX_ROOT).toString("utf8"));
    return verify.toTrustMaterial(TrustedRoot.fromJSON(json), () => {
      throw new TrustError("KEY_UNTRUSTED", "signature was made by a key, not an identity");
    });
  } catch (cause) {
    throw new TrustError("TRUST_ROOT_UNREADABLE", `cannot read the trust root ${quote(path)}`, {
      cause,
      details: { path },
    });
  }
}

/** A public key out of a PEM file, as a policy keeps it. */
export function sigstoreKeyOf(bytes: Uint8Array, location: string): { readonly base64: string } {
  const text = Buffer.from(bytes).toString("latin1");
  if (/-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----/.test(text)) {
    throw new TrustError("KEY_PRIVATE", `${quote(location)} holds a private key`, {
      remedy: "trust the public key, and keep the private one to yourself",
    });
  }
  try {
    if (!text.includes("-----BEGIN PUBLIC KEY-----")) throw new Error("it is not a PEM public key");
    const key = createPublicKey(text);
    checkStrength(key);
    return { base64: key.export({ format: "der", type: "spki" }).toString("base64") };
  } catch (cause) {
    if (cause instanceof TrustError) throw cause;
    throw new TrustError("KEY_MALFORMED", `cannot read the public key ${quote(location)}`, {
      cause,
    });
  }
}

const CURVES = ["prime256v1", "secp384r1", "secp521r1", "P-256", "P-384", "P-521"];

export function checkStrength(key: KeyObject): void {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "ed25519") return;
  if (type === "rsa" && (details?.modulusLength ?? 0) >= 2048) return;
  if (type === "ec" && CURVES.includes(details?.namedCurve ?? "")) return;
  throw new TrustError(
    "KEY_WEAK",
    `a public key of the kind ${quote(type ?? "unknown")} and that size is not safe enough`,
  );
}

/** A policy's key: a PEM file's absolute path, or base64. */
export function readKey(key: string): KeyObject {
  try {
    if (key.startsWith("/")) return createPublicKey(readBounded(key, MAX_KEY));
    return createPublicKey({ key: Buffer.from(key, "base64"), format: "der", type: "spki" });
  } catch (cause) {
    throw new TrustError("KEY_MALFORMED", `cannot read the public key ${quote(key)}`, { cause });
  }
}

function readBounded(path: string, most: number): Buffer {
  const size = statSync(path).size;
  if (size > most) throw new Error(`it is too large: ${size} bytes, at most ${most} are allowed`);
  return readFileSync(path);
}
