// SPDX-License-Identifier: Apache-2.0
// JSON on stdout as rkt writes it: compact or tab-indented, `null` for an empty list, absent fields left
// out, and Go's escapes, so that a script sees the same bytes.

/** The text without a line end. `undefined` members are left out; an empty top-level list is `null`. */
export function formatJson(value: unknown, format: "json" | "json-pretty"): string {
  const shown = Array.isArray(value) && value.length === 0 ? null : value;
  const text = JSON.stringify(shown, bigintsAsNumbers, format === "json-pretty" ? "\t" : undefined);
  return goEscapes(text);
}

// ES2026, not in the type library yet.
const { rawJSON } = JSON as typeof JSON & { rawJSON(text: string): unknown };

/** Nanoseconds do not fit a double; they are put in as bigint and written as a number. */
function bigintsAsNumbers(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? rawJSON(value.toString()) : value;
}

function goEscapes(json: string): string {
  return json.replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${(c.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}

/** Nanoseconds since the epoch. */
export function nanoseconds(date: Date): bigint {
  return BigInt(date.getTime()) * 1_000_000n;
}
