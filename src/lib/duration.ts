// SPDX-License-Identifier: Apache-2.0
// Durations in Go's syntax ("30m0s", "1.5h", "-2s"), as milliseconds on our side.
import { RktError } from "./errors.ts";
import { quote } from "./text.ts";

const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3, // U+00B5
  μs: 1e-3, // U+03BC
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Go keeps 63 bits of nanoseconds: about 292 years. */
const LIMIT = 2 ** 63 / 1e6;

const PART = /([0-9]*)(?:\.([0-9]*))?([^0-9.]*)/y;

function refuse(text: string, what: string): never {
  throw new RktError("DURATION_INVALID", `time: ${what} ${quote(text)}`);
}

/** Milliseconds of a Go duration; may be a fraction and may be negative. Throws DURATION_INVALID. */
export function parseDuration(text: string): number {
  const sign = text.startsWith("-") ? -1 : 1;
  const body = /^[+-]/.test(text) ? text.slice(1) : text;
  if (body === "0") return 0;
  if (body === "") refuse(text, "invalid duration");
  let total = 0;
  PART.lastIndex = 0;
  while (PART.lastIndex < body.length) {
    const part = PART.exec(body);
    if (part === null) refuse(text, "invalid duration");
    const [, whole = "", fraction, unit = ""] = part;
    if (whole === "" && (fraction === undefined || fraction === ""))
      refuse(text, "invalid duration");
    if (unit === "") {
      if (PART.lastIndex < body.length) refuse(text, "invalid duration");
      refuse(text, "missing unit in duration");
    }
    const factor = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
    if (factor === undefined) refuse(text, `unknown unit ${quote(unit)} in duration`);
    total += Number(`${whole || "0"}.${fraction || "0"}`) * factor;
    if (!(total < LIMIT)) refuse(text, "invalid duration");
  }
  // `0 -` and not `-`: no negative zero.
  return sign < 0 ? 0 - total : total;
}

function trimmed(value: number, digits: number): string {
  return value.toFixed(digits).replace(/\.?0+$/, "");
}

/** Go's form of a duration: "0s", "100ms", "1.5s", "30m0s", "24h0m0s". Resolution: one nanosecond. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return "0s";
  const sign = milliseconds < 0 ? "-" : "";
  const ms = Math.abs(milliseconds);
  const nanoseconds = Math.round(ms * 1e6);
  if (nanoseconds < 1000) return `${sign}${nanoseconds}ns`;
  if (ms < 1) return `${sign}${trimmed(ms * 1000, 3)}µs`;
  if (ms < 1000) return `${sign}${trimmed(ms, 6)}ms`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = `${ms % 60_000 === 0 ? "0" : trimmed((ms - minutes * 60_000) / 1000, 9)}s`;
  if (minutes === 0) return sign + seconds;
  if (minutes < 60) return `${sign}${minutes}m${seconds}`;
  return `${sign}${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}
