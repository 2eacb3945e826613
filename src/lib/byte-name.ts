// SPDX-License-Identifier: Apache-2.0
// File names are bytes on Linux and strings in JavaScript. A byte that is not part of valid UTF-8 becomes
// the lone surrogate U+DC80..U+DCFF and back (as Python's surrogateescape), so that no two names collide
// and every name can be written again exactly.

/** The string of a file name; `encodeName(decodeName(b))` is `b`, whatever the bytes. */
export function decodeName(bytes: Buffer): string {
  const text = bytes.toString("utf8", 0, bytes.length);
  if (!text.includes("\ufffd") || bytes.equals(Buffer.from(text, "utf8"))) return text;
  let result = "";
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    result +=
      length > 0
        ? bytes.toString("utf8", at, at + length)
        : String.fromCharCode(0xdc00 + (bytes[at] ?? 0));
    at += length > 0 ? length : 1;
  }
  return result;
}

/** The bytes of a file name that `decodeName` made. */
export function encodeName(name: string): Buffer {
  if (name.isWellFormed()) return Buffer.from(name, "utf8");
  const parts: Buffer[] = [];
  for (const char of name) {
    const code = char.charCodeAt(0);
    const escaped = char.length === 1 && code >= 0xdc80 && code <= 0xdcff;
    parts.push(escaped ? Buffer.from([code - 0xdc00]) : Buffer.from(char, "utf8"));
  }
  return Buffer.concat(parts);
}

/** The length of the valid UTF-8 sequence at `at` (RFC 3629: no overlong form, no surrogate), or 0. */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  const second = bytes[at + 1] ?? 0;
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let i = 2; i < length; i++) {
    if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  return length;
}
