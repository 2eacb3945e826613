// SPDX-License-Identifier: Apache-2.0
// The shape of a detached signature (RFC 9580 §5.2), checked strictly before the library reads it: every
// byte must either be signed or have only one possible value. The library would accept unsigned extras
// and sloppy integers.
import { Reader, ShapeError, splitPackets } from "./packets.ts";

/** Each signature costs a hash and a public-key operation. */
const MAX_SIGNATURES = 16;
const MAX_SIGNATURE_SIZE = 64 * 1024;

const TAG_SIGNATURE = 2;
const SUBPACKET_ISSUER = 16;
const SUBPACKET_ISSUER_FINGERPRINT = 33;

const RSA = [1, 2, 3];
const TWO_INTEGERS = [17, 19, 22];
const ALGORITHM_EDDSA_LEGACY = 22;

/** The bodies of the signature packets that the file consists of; anything else in it is refused. */
export function splitSignatures(file: Uint8Array): Uint8Array[] {
  return splitPackets(file, MAX_SIGNATURES).map(({ tag, body }) => {
    if (tag !== TAG_SIGNATURE) {
      throw new ShapeError(`it holds an OpenPGP packet of type ${tag}, not only signatures`);
    }
    if (body.length > MAX_SIGNATURE_SIZE) throw new ShapeError("a signature is too long");
    return body;
  });
}

/**
 * Checks one signature packet's body. Not signed, and therefore pinned down here: the unhashed area may
 * hold nothing but who the issuer is, and the integers must be written in their one correct form.
 * Unknown versions pass: the library names them.
 */
export function checkShape(body: Uint8Array): void {
  const reader = new Reader(body);
  const version = reader.byte();
  if (version !== 4 && version !== 6) return;
  reader.byte();
  const algorithm = reader.byte();
  reader.byte();
  const lengthSize = version === 6 ? 4 : 2;
  reader.skip(reader.number(lengthSize));
  checkUnhashed(reader.take(reader.number(lengthSize)));
  reader.skip(2);
  if (version === 6) reader.skip(reader.byte());
  if (RSA.includes(algorithm)) {
    checkInteger(reader, algorithm);
  } else if (TWO_INTEGERS.includes(algorithm)) {
    checkInteger(reader, algorithm);
    checkInteger(reader, algorithm);
  } else {
    return;
  }
  if (reader.at !== body.length) throw new ShapeError("a signature has trailing bytes");
}

function checkUnhashed(area: Uint8Array): void {
  const reader = new Reader(area);
  while (reader.at < area.length) {
    const subpacket = reader.take(reader.length());
    const type = subpacket[0];
    const right =
      (type === SUBPACKET_ISSUER && subpacket.length === 9) ||
      (type === SUBPACKET_ISSUER_FINGERPRINT &&
        ((subpacket[1] === 4 && subpacket.length === 22) ||
          (subpacket[1] === 6 && subpacket.length === 34)));
    if (!right) {
      throw new ShapeError(
        "a signature carries data that is not signed" +
          (type === undefined ? "" : ` (subpacket type ${type & 0x7f})`),
      );
    }
  }
}

/** A multiprecision integer must not have leading zero bits (RFC 9580 §3.2). */
function checkInteger(reader: Reader, algorithm: number): void {
  const bits = reader.number(2);
  const value = reader.take((bits + 7) >> 3);
  const first = value[0];
  const real = first === undefined ? 0 : (value.length - 1) * 8 + (32 - Math.clz32(first));
  if (bits === real) return;
  // Older GnuPG wrote the halves of an EdDSA signature as fixed strings of 256 bits.
  if (algorithm === ALGORITHM_EDDSA_LEGACY && bits === 256) return;
  throw new ShapeError("a signature holds a number in a form that is not allowed");
}
