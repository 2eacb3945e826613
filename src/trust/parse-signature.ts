// SPDX-License-Identifier: Apache-2.0
// Stage one of trust: the bytes of an `.asc` file become signatures with known facts. Nothing is
// verified here and nothing is trusted.

import { type HashChoice, hashChoice } from "./algorithms.ts";
import { ArmorError, isArmored, readArmor } from "./armor.ts";
import { TrustError } from "./errors.ts";
import { loadLibrary, type SignaturePacket, settings } from "./openpgp.ts";
import { ShapeError } from "./packets.ts";
import type { HashName } from "./raw-image.ts";
import { checkShape, splitSignatures } from "./signature-shape.ts";

/** The longest signature file; a real one is below 1 KiB. */
const MAX_SIGNATURE_FILE = 256 * 1024;

/** What one signature says about itself. */
export interface DetachedSignature {
  /** 0x00 is a signature over a binary document, the only type that is accepted. */
  readonly type: number;
  readonly hash: HashChoice;
  readonly keyAlgorithm: number;
  /** The maker's (sub)key ID, 16 lower-case hex digits; empty when the signature does not say. */
  readonly keyID: string;
  /** The maker's (sub)key fingerprint, when the signature says. */
  readonly keyFingerprint: string | undefined;
  readonly created: Date;
  readonly expires: Date | undefined;
  /** Something that we do not know and that the maker marked as essential. */
  readonly unknownCritical: string | undefined;
  /** The salt that goes before the document (version 6 only). */
  readonly salt: Uint8Array | undefined;
  /** A fresh packet of the library: it keeps state, so each check takes its own. */
  packet(): SignaturePacket;
}

/** A signature file: one or more detached signatures over the same image. */
export interface Signature {
  readonly signatures: readonly DetachedSignature[];
  /**
   * The hashes of the raw image that verification will ask for: a download can keep them up and hand
   * them over through `RawImage.hash`.
   */
  readonly hashNames: readonly HashName[];
}

/**
 * Parses a detached signature file, armored or binary, with one or several signatures. Throws
 * SIGNATURE_MALFORMED when it is a broken signature, SIGNATURE_NONE when it is none,
 * SIGNATURE_UNSUPPORTED for versions that are not known.
 */
export async function parseSignature(bytes: Uint8Array): Promise<Signature> {
  if (bytes.length > MAX_SIGNATURE_FILE) {
    throw new TrustError(
      "SIGNATURE_MALFORMED",
      `signature file is too long: ${bytes.length} bytes, at most ${MAX_SIGNATURE_FILE} are allowed`,
    );
  }
  const bodies = isArmored(bytes) ? readArmored(bytes) : readBinary(bytes);
  const pgp = await loadLibrary();
  const config = settings(pgp);
  const read = (body: Uint8Array): SignaturePacket => {
    const packet = new pgp.SignaturePacket();
    // The second parameter is missing in the library's types.
    (packet.read as (bytes: Uint8Array, config: unknown) => void).call(packet, body, config);
    return packet;
  };
  const signatures = bodies.map((body) => readFacts(body, read));
  const names = new Set<HashName>();
  for (const s of signatures) {
    if (s.hash.kind === "usable" && s.salt === undefined) names.add(s.hash.name);
  }
  return { signatures, hashNames: [...names] };
}

function readArmored(bytes: Uint8Array): Uint8Array[] {
  try {
    return readArmor(bytes, "refuse").flatMap(({ label, data }) => {
      if (label !== "PGP SIGNATURE") {
        throw noSignature(`it holds a ${label.toLowerCase().replace("pgp", "PGP")}`);
      }
      return split(data);
    });
  } catch (error) {
    if (!(error instanceof ArmorError)) throw error;
    throw new TrustError("SIGNATURE_MALFORMED", "signature file has broken armor", {
      cause: error,
    });
  }
}

function readBinary(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length === 0) throw noSignature("it is empty");
  if (((bytes[0] ?? 0) & 0x80) === 0)
    throw noSignature("it is neither armored nor OpenPGP packets");
  return split(bytes);
}

function split(packets: Uint8Array): Uint8Array[] {
  const bodies = malformedOnShapeError(() => {
    const found = splitSignatures(packets);
    for (const body of found) checkShape(body);
    return found;
  });
  if (bodies.length === 0) throw noSignature("it is empty");
  return bodies;
}

function readFacts(
  body: Uint8Array,
  read: (body: Uint8Array) => SignaturePacket,
): DetachedSignature {
  let packet: SignaturePacket;
  try {
    packet = read(body);
  } catch (error) {
    const version = body[0];
    if (version === 4 || version === 6) throw malformed(error);
    throw new TrustError(
      "SIGNATURE_UNSUPPORTED",
      `signature file holds a signature of version ${version}: only versions 4 and 6 are supported`,
    );
  }
  if (packet.hashAlgorithm === null || packet.created === null || Number.isNaN(+packet.created)) {
    throw malformed(new Error("it does not say when it was made"));
  }
  const expires = packet.getExpirationTime();
  const { salt } = packet as { readonly salt?: Uint8Array | null };
  return {
    type: packet.signatureType ?? -1,
    hash: hashChoice(packet.hashAlgorithm),
    keyAlgorithm: packet.publicKeyAlgorithm ?? -1,
    keyID: packet.issuerKeyID.toHex(),
    keyFingerprint:
      packet.issuerFingerprint === null
        ? undefined
        : Buffer.from(packet.issuerFingerprint).toString("hex"),
    created: packet.created,
    expires: expires instanceof Date ? expires : undefined,
    unknownCritical: unknownCritical(packet),
    salt: salt ?? undefined,
    packet: () => read(body),
  };
}

function unknownCritical(packet: SignaturePacket): string | undefined {
  const subpacket = packet.unknownSubpackets.find((s) => s.critical);
  if (subpacket !== undefined) return `subpacket type ${subpacket.type}`;
  const notation = packet.rawNotations.find((n) => n.critical);
  return notation === undefined ? undefined : `notation ${notation.name.slice(0, 100)}`;
}

function malformedOnShapeError<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof ShapeError ? malformed(error) : error;
  }
}

function malformed(cause: unknown): TrustError {
  return new TrustError("SIGNATURE_MALFORMED", "signature file is broken", { cause });
}

function noSignature(why: string): TrustError {
  return new TrustError("SIGNATURE_NONE", "keystore: no valid signatures found in signature file", {
    cause: new Error(why),
  });
}
