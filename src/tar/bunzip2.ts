// SPDX-License-Identifier: Apache-2.0
// bzip2 decompression, block by block: one block (at most 900 kB) is what is kept in memory. The format
// has no specification; this follows the description in bzip2's manual and its reference decoder's limits.

import { FileWindow } from "./read.ts";
import { badStream } from "./stream.ts";

const BLOCK_MAGIC = 0x314159265359;
const END_MAGIC = 0x177245385090;
const MAX_CODE = 20;
const GROUP = 50;
/** The most groups of 50 symbols that a block of 900,000 can need; encoders may list a few more. */
const MAX_SELECTORS = 18_002;
const OUTPUT = 64 * 1024;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let i = 0; i < 8; i++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc >>> 0;
});

/** The content of the file `fd`. A chunk is good until the next is asked for. */
export function* bunzip2(fd: number): Generator<Uint8Array, void, undefined> {
  const bits = new BitReader(fd);
  const decoder = new BlockDecoder(bits);
  let isFirst = true;
  while (isFirst || !bits.isAtEnd) {
    if (bits.take(24) !== 0x425a68)
      throw corrupt(isFirst ? "not a bzip2 file" : "trailing garbage");
    isFirst = false;
    const level = bits.take(8) - 0x30;
    if (level < 1 || level > 9) throw corrupt("bad block size");
    let streamCrc = 0;
    for (;;) {
      const magic = bits.take(24) * 0x1000000 + bits.take(24);
      const crc = bits.take32();
      if (magic === END_MAGIC) {
        if (crc !== streamCrc >>> 0) throw corrupt("checksum of the stream is wrong");
        break;
      }
      if (magic !== BLOCK_MAGIC) throw corrupt("bad block header");
      yield* decoder.decode(level * 100_000, crc);
      streamCrc = ((streamCrc << 1) | (streamCrc >>> 31)) ^ crc;
    }
    bits.align();
  }
}

function corrupt(why: string): Error {
  return badStream("bzip2", "ARCHIVE_CORRUPT", why);
}

/** Bits of a file, the first of a byte its highest. */
class BitReader {
  readonly #file: FileWindow;
  #position = 0;
  #at = 0;
  #end = 0;
  #bits = 0;
  #count = 0;

  constructor(fd: number) {
    this.#file = new FileWindow(fd);
  }

  get isAtEnd(): boolean {
    return this.#count === 0 && this.#at === this.#end && this.#position === this.#file.size;
  }

  /** The next `n` bits, 24 at most. */
  take(n: number): number {
    if (this.#count < n) this.#fill(n);
    this.#count -= n;
    return (this.#bits >>> this.#count) & ((1 << n) - 1);
  }

  take32(): number {
    return this.take(16) * 0x10000 + this.take(16);
  }

  /** The next 20 bits without taking them; behind the end of the file they are 0. */
  peek20(): number {
    if (this.#count < MAX_CODE) this.#fillSoftly();
    return this.#count >= MAX_CODE
      ? (this.#bits >>> (this.#count - MAX_CODE)) & 0xfffff
      : (this.#bits << (MAX_CODE - this.#count)) & 0xfffff;
  }

  drop(n: number): void {
    if (this.#count < n) throw cut();
    this.#count -= n;
  }

  align(): void {
    this.#count -= this.#count % 8;
  }

  #fill(n: number): void {
    this.#fillSoftly();
    if (this.#count < n) throw cut();
  }

  /** Up to 32 bits are held: bytes are added while one more fits. */
  #fillSoftly(): void {
    while (this.#count <= 24) {
      if (this.#at === this.#end) {
        const left = this.#file.size - this.#position;
        if (left === 0) return;
        const length = Math.min(left, this.#file.buffer.length);
        this.#at = this.#file.need(this.#position, length);
        this.#end = this.#at + length;
        this.#position += length;
      }
      this.#bits = (this.#bits << 8) | (this.#file.buffer[this.#at++] ?? 0);
      this.#count += 8;
    }
  }
}

function cut(): Error {
  return badStream("bzip2", "ARCHIVE_TRUNCATED", "unexpected end of file");
}

/** A canonical Huffman code: lengths up to 20 bits, the limits left-justified to 20. */
interface Code {
  readonly minimum: number;
  readonly limit: Int32Array;
  readonly base: Int32Array;
  readonly symbols: Uint16Array;
}

class BlockDecoder {
  readonly #bits: BitReader;
  /** Low byte: the block's last column; above: the place of the next byte. */
  readonly #links = new Uint32Array(900_000);
  readonly #output = new Uint8Array(OUTPUT);

  constructor(bits: BitReader) {
    this.#bits = bits;
  }

  *decode(capacity: number, expectedCrc: number): Generator<Uint8Array, void, undefined> {
    const bits = this.#bits;
    // Randomised blocks were dropped in bzip2 0.9.5 (1999).
    if (bits.take(1) === 1) {
      throw badStream("bzip2", "ARCHIVE_UNSUPPORTED", "it has a randomised block");
    }
    const origin = bits.take(24);
    const length = this.#readSymbols(capacity);
    if (origin >= length) throw corrupt("bad block origin");
    this.#link(length);
    yield* this.#unfold(origin, length, expectedCrc);
  }

  /** Huffman, run lengths of the two lowest symbols, move-to-front: the last column into `#links`. */
  #readSymbols(capacity: number): number {
    const bits = this.#bits;
    const recent = readAlphabet(bits);
    const endOfBlock = recent.length + 1;
    const groups = bits.take(3);
    if (groups < 2 || groups > 6) throw corrupt("bad number of tables");
    const selectors = readSelectors(bits, groups);
    const codes: Code[] = [];
    for (let i = 0; i < groups; i++) codes.push(readCode(bits, endOfBlock + 1));

    const links = this.#links;
    let length = 0;
    let run = 0;
    let weight = 1;
    for (let group = 0; ; group++) {
      const code = codes[selectors[group] ?? -1];
      if (code === undefined) throw corrupt("too few selectors");
      for (let i = 0; i < GROUP; i++) {
        const symbol = readSymbol(bits, code);
        if (symbol <= 1) {
          run += weight << symbol;
          weight <<= 1;
          if (run > capacity) throw corrupt("block is too long");
          continue;
        }
        if (run > 0) {
          if (length + run > capacity) throw corrupt("block is too long");
          links.fill(recent[0] ?? 0, length, length + run);
          length += run;
          run = 0;
        }
        weight = 1;
        if (symbol === endOfBlock) return length;
        if (length >= capacity) throw corrupt("block is too long");
        const byte = recent[symbol - 1] ?? 0;
        recent.copyWithin(1, 0, symbol - 1);
        recent[0] = byte;
        links[length++] = byte;
      }
    }
  }

  /** The inverse Burrows-Wheeler transform's links: where in the last column the successor stands. */
  #link(length: number): void {
    const links = this.#links;
    const next = new Uint32Array(256);
    for (let i = 0; i < length; i++) {
      const byte = (links[i] ?? 0) & 0xff;
      next[byte] = (next[byte] ?? 0) + 1;
    }
    let sum = 0;
    for (let byte = 0; byte < 256; byte++) {
      const count = next[byte] ?? 0;
      next[byte] = sum;
      sum += count;
    }
    for (let i = 0; i < length; i++) {
      const byte = (links[i] ?? 0) & 0xff;
      const at = next[byte] ?? 0;
      next[byte] = at + 1;
      links[at] = (links[at] ?? 0) | (i << 8);
    }
  }

  /** Follows the links; four equal bytes are followed by how many more of them there are. */
  *#unfold(
    origin: number,
    length: number,
    expectedCrc: number,
  ): Generator<Uint8Array, void, undefined> {
    const links = this.#links;
    const output = this.#output;
    let link = links[origin] ?? 0;
    let crc = -1;
    let filled = 0;
    let previous = -1;
    let equal = 0;
    for (let i = 0; i < length; i++) {
      link = links[link >>> 8] ?? 0;
      const byte = link & 0xff;
      let repeat = 1;
      if (equal === 4) {
        repeat = byte;
        equal = 0;
      } else {
        equal = byte === previous ? equal + 1 : 1;
        previous = byte;
      }
      for (; repeat > 0; repeat--) {
        output[filled++] = previous;
        crc = (crc << 8) ^ (CRC_TABLE[(crc >>> 24) ^ previous] ?? 0);
        if (filled === OUTPUT) {
          yield output;
          filled = 0;
        }
      }
    }
    if (~crc >>> 0 !== expectedCrc) throw corrupt("checksum of a block is wrong");
    if (filled > 0) yield output.subarray(0, filled);
  }
}

/** The bytes that occur in the block, in order: 16 bits for ranges of 16, then their 16 bits each. */
function readAlphabet(bits: BitReader): Uint8Array {
  const ranges = bits.take(16);
  const bytes: number[] = [];
  for (let range = 0; range < 16; range++) {
    if (((ranges >> (15 - range)) & 1) === 0) continue;
    const used = bits.take(16);
    for (let i = 0; i < 16; i++) {
      if ((used >> (15 - i)) & 1) bytes.push(range * 16 + i);
    }
  }
  if (bytes.length === 0) throw corrupt("empty alphabet");
  return Uint8Array.from(bytes);
}

/** Which table each group of 50 symbols uses, as move-to-front indexes in unary. */
function readSelectors(bits: BitReader, groups: number): Uint8Array {
  const count = bits.take(15);
  if (count === 0) throw corrupt("no selectors");
  const selectors = new Uint8Array(Math.min(count, MAX_SELECTORS));
  const recent = Uint8Array.from({ length: groups }, (_, i) => i);
  for (let i = 0; i < count; i++) {
    let index = 0;
    while (bits.take(1) === 1) {
      if (++index >= groups) throw corrupt("bad selector");
    }
    const table = recent[index] ?? 0;
    recent.copyWithin(1, 0, index);
    recent[0] = table;
    // bzip2 1.0.8 reads and drops selectors that no block can need (lbzip2 writes them).
    if (i < selectors.length) selectors[i] = table;
  }
  return selectors;
}

function readCode(bits: BitReader, symbols: number): Code {
  const lengths = new Uint8Array(symbols);
  let length = bits.take(5);
  for (let i = 0; i < symbols; i++) {
    for (;;) {
      if (length < 1 || length > MAX_CODE) throw corrupt("bad code length");
      if (bits.take(1) === 0) break;
      length += bits.take(1) === 0 ? 1 : -1;
    }
    lengths[i] = length;
  }
  const sorted = new Uint16Array(symbols);
  const limit = new Int32Array(MAX_CODE + 2).fill(0);
  const base = new Int32Array(MAX_CODE + 2);
  let minimum = MAX_CODE;
  let code = 0;
  let filled = 0;
  for (let bitsOf = 1; bitsOf <= MAX_CODE; bitsOf++) {
    base[bitsOf] = filled - code;
    for (let i = 0; i < symbols; i++) {
      if (lengths[i] !== bitsOf) continue;
      minimum = Math.min(minimum, bitsOf);
      sorted[filled++] = i;
      code++;
    }
    limit[bitsOf] = Math.min(code << (MAX_CODE - bitsOf), 1 << MAX_CODE);
    code <<= 1;
  }
  return { minimum, limit, base, symbols: sorted };
}

function readSymbol(bits: BitReader, code: Code): number {
  const ahead = bits.peek20();
  let length = code.minimum;
  while (length <= MAX_CODE && ahead >= (code.limit[length] ?? 0)) length++;
  if (length > MAX_CODE) throw corrupt("bad code");
  bits.drop(length);
  const index = (ahead >>> (MAX_CODE - length)) + (code.base[length] ?? 0);
  const symbol = code.symbols[index];
  if (symbol === undefined) throw corrupt("bad code");
  return symbol;
}
