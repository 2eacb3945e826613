// SPDX-License-Identifier: Apache-2.0
// Finds the place and the reason of a JSON syntax error, in the words of Go's scanner. Only run on text that
// `JSON.parse` refused: it need not be fast, but it must not recurse, the text being hostile.

export interface SyntaxFault {
  /** Index of the offending character; of the last one when the text ends too early. */
  readonly index: number;
  readonly reason: string;
}

/** Thrown and caught within this file only. */
class Fault {
  readonly at: number;
  readonly context: string;
  constructor(at: number, context: string) {
    this.at = at;
    this.context = context;
  }
}

export function findSyntaxError(text: string): SyntaxFault {
  try {
    scan(text);
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    const { at, context } = fault;
    return at >= text.length
      ? { index: text.length - 1, reason: "unexpected end of JSON input" }
      : { index: at, reason: `invalid character ${quoteCharacter(text, at)} ${context}` };
  }
  return { index: text.length - 1, reason: "invalid JSON" };
}

function scan(text: string): void {
  // What is open: "{" or "[", innermost last.
  const open: string[] = [];
  let at = value(text, space(text, 0), open);
  for (;;) {
    at = space(text, at);
    const inside = open.at(-1);
    if (inside === undefined) {
      if (at < text.length) throw new Fault(at, "after top-level value");
      return;
    }
    const close = inside === "{" ? "}" : "]";
    if (text[at] === close) {
      open.pop();
      at++;
    } else if (text[at] === ",") {
      at = space(text, at + 1);
      at = value(text, inside === "{" ? key(text, at) : at, open);
    } else {
      throw new Fault(at, inside === "{" ? "after object key:value pair" : "after array element");
    }
  }
}

/** Reads a scalar, or enters objects and lists as far as their first scalar or until one is empty. */
function value(text: string, start: number, open: string[]): number {
  let at = start;
  for (;;) {
    const c = text[at];
    if (c === "{" || c === "[") {
      at = space(text, at + 1);
      if (text[at] === (c === "{" ? "}" : "]")) return at + 1;
      open.push(c);
      if (c === "{") at = key(text, at);
      continue;
    }
    if (c === '"') return stringEnd(text, at);
    if (c === "-" || isDigit(c)) return numberEnd(text, at);
    const literal = ["true", "false", "null"].find((word) => word[0] === c);
    if (literal === undefined) throw new Fault(at, "looking for beginning of value");
    return literalEnd(text, at, literal);
  }
}

/** Reads `"key" :` and the space after it. */
function key(text: string, start: number): number {
  if (text[start] !== '"') throw new Fault(start, "looking for beginning of object key string");
  const colon = space(text, stringEnd(text, start));
  if (text[colon] !== ":") throw new Fault(colon, "after object key");
  return space(text, colon + 1);
}

function stringEnd(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    const c = text[at];
    if (c === '"') return at + 1;
    if (c === undefined || c < " ") throw new Fault(at, "in string literal");
    if (c !== "\\") continue;
    at++;
    const escaped = text[at];
    if (escaped === undefined || !'"\\/bfnrtu'.includes(escaped)) {
      throw new Fault(at, "in string escape code");
    }
    if (escaped !== "u") continue;
    for (const end = at + 4; at < end; ) {
      at++;
      if (!/^[0-9A-Fa-f]$/.test(text[at] ?? "")) {
        throw new Fault(at, "in \\u hexadecimal character escape");
      }
    }
  }
}

function numberEnd(text: string, start: number): number {
  let at = text[start] === "-" ? start + 1 : start;
  at = text[at] === "0" ? at + 1 : digits(text, at, "in numeric literal");
  if (text[at] === ".") at = digits(text, at + 1, "after decimal point in numeric literal");
  if (text[at] === "e" || text[at] === "E") {
    at++;
    if (text[at] === "+" || text[at] === "-") at++;
    at = digits(text, at, "in exponent of numeric literal");
  }
  return at;
}

function digits(text: string, start: number, context: string): number {
  let at = start;
  while (isDigit(text[at])) at++;
  if (at === start) throw new Fault(at, context);
  return at;
}

function literalEnd(text: string, start: number, word: string): number {
  for (let i = 1; i < word.length; i++) {
    if (text[start + i] !== word[i]) {
      throw new Fault(start + i, `in literal ${word} (expecting '${word[i]}')`);
    }
  }
  return start + word.length;
}

function space(text: string, start: number): number {
  let at = start;
  while (at < text.length && " \t\r\n".includes(text.charAt(at))) at++;
  return at;
}

function isDigit(c: string | undefined): boolean {
  return c !== undefined && c >= "0" && c <= "9";
}

function quoteCharacter(text: string, at: number): string {
  const c = String.fromCodePoint(text.codePointAt(at) ?? 0);
  if (c === "'") return "'\\''";
  if (c === '"') return "'\"'";
  return `'${JSON.stringify(c)
    .slice(1, -1)
    .replace(/[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, escapeUnit)}'`;
}

function escapeUnit(c: string): string {
  return `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
