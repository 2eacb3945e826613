// SPDX-License-Identifier: Apache-2.0
// Annotations: their rules and look-up; timestamps and URLs, which only they have. (appc.md 1.7, 1.8, 1.10)

import { quote } from "../lib/text.ts";
import { ManifestError } from "./errors.ts";
import type { ACIdentifier, Annotations } from "./types.ts";

export function getAnnotation(annotations: Annotations, name: string): string | undefined {
  return annotations.find((annotation) => annotation.name === name)?.value;
}

/** The annotations with `name` set: in its place when it was there, else at the end. */
export function setAnnotation(
  annotations: Annotations,
  name: ACIdentifier,
  value: string,
): Annotations {
  return annotations.some((annotation) => annotation.name === name)
    ? annotations.map((annotation) => (annotation.name === name ? { name, value } : annotation))
    : [...annotations, { name, value }];
}

/** `base` with all of `over` set on top: how a pod's annotations of an app extend the image's. */
export function mergeAnnotations(base: Annotations, over: Annotations): Annotations {
  return over.reduce((merged, { name, value }) => setAnnotation(merged, name, value), base);
}

export function checkAnnotations(annotations: Annotations): Annotations {
  const seen = new Map<string, string>();
  for (const { name, value } of annotations) {
    if (seen.has(name)) throw invalid(`duplicate annotations of name ${quote(name)}`);
    seen.set(name, value);
  }
  const created = seen.get("created");
  if (created !== undefined) parseDate(created);
  for (const name of ["homepage", "documentation"]) {
    const url = seen.get(name);
    if (url !== undefined) checkWebURL(url);
  }
  return annotations;
}

const DATE =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})([.,][0-9]+)?(Z|[+-]([0-9]{2}):([0-9]{2}))$/;

/** An RFC 3339 date-time; `T` is required, a leap second refused. */
export function parseDate(text: string): Date {
  const match = text.length <= 64 ? DATE.exec(text) : null;
  if (match === null) throw invalid(`bad Date: parsing time ${quote(text)}: not in RFC 3339 form`);
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1, 7)
    .map(Number);
  const zone = [Number(match[9] ?? 0), Number(match[10] ?? 0)] as const;
  const outOfRange = (
    [
      ["month", month < 1 || month > 12],
      ["day", day < 1 || day > daysIn(year, month)],
      ["hour", hour > 23],
      ["minute", minute > 59],
      ["second", second > 59],
      ["time zone offset hour", zone[0] > 24],
      ["time zone offset minute", zone[1] > 60],
    ] as const
  ).find(([, wrong]) => wrong);
  if (outOfRange !== undefined) {
    throw invalid(`bad Date: parsing time ${quote(text)}: ${outOfRange[0]} out of range`);
  }
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  const sign = match[8]?.startsWith("-") ? -1 : 1;
  const milliseconds = Math.floor(Number(`0.${(match[7] ?? ".0").slice(1)}`) * 1000);
  date.setUTCHours(hour - sign * zone[0], minute - sign * zone[1], second, milliseconds);
  return date;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/** Refuses what is not a URL, or one that is neither http nor https. */
export function checkWebURL(text: string): void {
  const bad = (reason: string) => invalid(`bad URL: parse ${quote(text)}: ${reason}`);
  if (/[\u0000-\u001f\u007f]/.test(text)) throw bad("invalid control character in URL");
  if (text.startsWith(":")) throw bad("missing protocol scheme");
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) throw bad("invalid URL escape");
  if (!/^https?:/i.test(text)) throw invalid("bad URL scheme, must be http/https");
}

function invalid(message: string): ManifestError {
  return new ManifestError("MANIFEST_INVALID", message);
}
