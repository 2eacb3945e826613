// SPDX-License-Identifier: Apache-2.0
// JSON in and out of manifests: size limit, errors with line and column, Go's escapes.

import { once } from "../lib/once.ts";
import { ManifestError } from "./errors.ts";
import { findSyntaxError } from "./json-syntax.ts";

/** Far more than any real manifest; what is read whole must have a limit. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

const decoder = once(() => new TextDecoder("utf-8", { ignoreBOM: true }));

/** Numbers are JavaScript's: integers above 2^53 lose digits, write those as strings. */
export function parseJson(input: string | Uint8Array): unknown {
  if (input.length > MAX_MANIFEST_BYTES) {
    throw new ManifestError(
      "MANIFEST_TOO_LARGE",
      `manifest is larger than ${MAX_MANIFEST_BYTES} bytes`,
    );
  }
  const text = typeof input === "string" ? input : decoder().decode(input);
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw syntaxError(text);
  }
}

function syntaxError(text: string): ManifestError {
  const { index, reason } = findSyntaxError(text);
  const seen = text.slice(0, index + 1).split("\n");
  const line = seen.length;
  const current = seen[line - 1] ?? "";
  const column = Math.max(1, [...current].length);
  const shown = excerpt(current);
  const before = line > 1 ? sourceLine(line - 1, excerpt(seen[line - 2] ?? "")) : "";
  const caret = `${" ".repeat(7 + Math.max(0, shown.length - 1))}^\n`;
  return new ManifestError(
    "MANIFEST_SYNTAX",
    `\nError at line ${line}, column ${column}\n${before}${sourceLine(line, shown)}${caret}${reason}`,
    { details: { line, column } },
  );
}

function sourceLine(number: number, content: string): string {
  return `${String(number).padStart(5)}: ${content}\n`;
}

/** The end of a source line, printable and short: a manifest may be one line of a megabyte. */
function excerpt(line: string): string {
  const clean = line.replace(
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    " ",
  );
  return clean.length > 100 ? `...${clean.slice(-97)}` : clean;
}

/** Compact JSON with the escapes of Go's encoder, so that it can stand in HTML and JavaScript. */
export function goJson(value: unknown): string {
  return goEscapes(JSON.stringify(value));
}

/** The same document, indented; Go's escapes are kept. */
export function prettyJson(text: string, indent = "\t"): string {
  // JSON.stringify writes an empty list or object on one line, as Go's Indent does.
  return goEscapes(JSON.stringify(parseJson(text), null, indent));
}

// These characters only occur inside strings, so the finished text can be treated at once. Escape pairs
// are matched first: in `\\b` the b is a letter.
function goEscapes(json: string): string {
  return json.replace(/\\.|[<>&\u2028\u2029]/g, (found) => {
    if (found === "\\b") return "\\u0008";
    if (found === "\\f") return "\\u000c";
    if (found.startsWith("\\")) return found;
    return `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
