// SPDX-License-Identifier: Apache-2.0
// Semantic Versions 2.0.0 (semver.org): parsing as the appc reference does, precedence as the standard does.

export interface SemVer {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  readonly preRelease: string;
  readonly metadata: string;
}

const FORM = /^([0-9]{1,19})\.([0-9]{1,19})\.([0-9]{1,19})(?:-([^+]*))?(?:\+(.*))?$/s;

/**
 * Undefined when `text` is not MAJOR.MINOR.PATCH[-pre][+meta]. More lenient than the standard, as the
 * reference is: leading zeros pass, and what follows the dash or the plus is not looked at.
 */
export function parseSemVer(text: string): SemVer | undefined {
  const match = FORM.exec(text);
  if (match === null) return undefined;
  const major = Number(match[1]);
  const minor = Number(match[2]);
  const patch = Number(match[3]);
  if (!Number.isSafeInteger(Math.max(major, minor, patch))) return undefined;
  return { major, minor, patch, preRelease: match[4] ?? "", metadata: match[5] ?? "" };
}

export function formatSemVer(v: SemVer): string {
  const pre = v.preRelease === "" ? "" : `-${v.preRelease}`;
  const meta = v.metadata === "" ? "" : `+${v.metadata}`;
  return `${v.major}.${v.minor}.${v.patch}${pre}${meta}`;
}

/** Negative, zero or positive as `a` is lower than, equal to or higher than `b`; metadata does not count. */
export function compareSemVer(a: SemVer, b: SemVer): number {
  return (
    a.major - b.major ||
    a.minor - b.minor ||
    a.patch - b.patch ||
    comparePreRelease(a.preRelease, b.preRelease)
  );
}

// Section 11 of the standard: none is higher than any; numbers are lower than words and compare as
// numbers; of two with a common beginning the longer is higher.
function comparePreRelease(a: string, b: string): number {
  if (a === b) return 0;
  if (a === "" || b === "") return a === "" ? 1 : -1;
  const left = a.split(".");
  const right = b.split(".");
  for (let i = 0; ; i++) {
    const x = left[i];
    const y = right[i];
    if (x === undefined || y === undefined) return left.length - right.length;
    if (x !== y) return compareIdentifier(x, y);
  }
}

function compareIdentifier(x: string, y: string): number {
  const xNumeric = /^[0-9]+$/.test(x);
  const yNumeric = /^[0-9]+$/.test(y);
  if (xNumeric !== yNumeric) return xNumeric ? -1 : 1;
  if (xNumeric && Number(x) !== Number(y)) return Number(x) - Number(y);
  return x < y ? -1 : 1;
}
