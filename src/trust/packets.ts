// SPDX-License-Identifier: Apache-2.0
// OpenPGP's packet framing (RFC 9580 §4.2), strict and bounded: the library would go on through
// truncated and endless files at some cost.

/** Why the bytes are not what they should be; the caller knows what file it is and makes the sentence. */
export class ShapeError extends Error {}

export interface Packet {
  readonly tag: number;
  readonly body: Uint8Array;
}

/** The packets that the file consists of, whole and at most `limit`. */
export function splitPackets(file: Uint8Array, limit: number): Packet[] {
  const packets: Packet[] = [];
  const reader = new Reader(file);
  while (reader.at < file.length) {
    if (packets.length === limit) throw new ShapeError(`there are more than ${limit} packets`);
    packets.push(readPacket(reader));
  }
  return packets;
}

function readPacket(reader: Reader): Packet {
  const first = reader.byte();
  if ((first & 0x80) === 0) throw new ShapeError("it is not made of OpenPGP packets");
  if ((first & 0x40) !== 0) return { tag: first & 0x3f, body: reader.take(reader.length()) };
  const kind = first & 3;
  if (kind === 3) throw new ShapeError("a packet has no length");
  return { tag: (first >> 2) & 0xf, body: reader.take(reader.number(1 << kind)) };
}

/** Reads forward; never past the end. */
export class Reader {
  readonly #bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  byte(): number {
    const value = this.#bytes[this.at++];
    if (value === undefined) throw new ShapeError("it ends in the middle of a packet");
    return value;
  }

  number(size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value = value * 256 + this.byte();
    return value;
  }

  /** A new-format length (§4.2.1). Lengths in parts are for data. */
  length(): number {
    const first = this.byte();
    if (first < 192) return first;
    if (first < 224) return ((first - 192) << 8) + this.byte() + 192;
    if (first === 255) return this.number(4);
    throw new ShapeError("a packet comes in parts");
  }

  take(size: number): Uint8Array {
    if (this.at + size > this.#bytes.length) {
      throw new ShapeError("it ends in the middle of a packet");
    }
    this.at += size;
    return this.#bytes.subarray(this.at - size, this.at);
  }

  skip(size: number): void {
    this.take(size);
  }
}
