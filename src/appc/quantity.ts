// SPDX-License-Identifier: Apache-2.0
// Amounts of resources ("100m", "1.5Gi", "2e3"): exact, never floating point. (appc.md section 1.12)

import { ManifestError } from "./errors.ts";

const FORM = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$";
const SPLIT = new RegExp(FORM);
const NUMBER = /^([+-]?)([0-9]*)\.?([0-9]*)$/;

const DECIMAL = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const MAX_LENGTH = 128;
const NANO = 1_000_000_000n;
const MAX_NANOS = (2n ** 63n - 1n) * NANO;

type Family = "decimal" | "binary" | "exponent";

/** A resource amount in units of 10^-9, at most 2^63-1 units in magnitude. It remembers its suffix family. */
export class Quantity {
  readonly #nanos: bigint;
  readonly #family: Family;

  constructor(nanos: bigint, family: Family) {
    this.#nanos = nanos;
    this.#family = family;
  }

  /** Rounded up to whole units. */
  value(): bigint {
    return divideUp(this.#nanos, NANO);
  }

  /** Rounded up to thousandths. */
  milliValue(): bigint {
    return divideUp(this.#nanos, NANO / 1000n);
  }

  equals(other: Quantity): boolean {
    return this.#nanos === other.#nanos;
  }

  /** Canonical: same family of suffixes, no fraction, the biggest suffix that fits. */
  toString(): string {
    const nanos = this.#nanos;
    if (nanos === 0n) return "0";
    const whole = nanos / NANO;
    const small = whole > -1024n && whole < 1024n;
    if (this.#family === "binary" && !small && nanos % NANO === 0n) {
      const [amount, index] = stripFactors(whole, 1024n, BINARY.length - 1);
      return `${amount}${BINARY[index]}`;
    }
    const [amount, index] = stripFactors(nanos, 1000n, DECIMAL.length - 1);
    if (this.#family !== "exponent") return `${amount}${DECIMAL[index]}`;
    return index === 3 ? `${amount}` : `${amount}e${(index - 3) * 3}`;
  }

  toJSON(): string {
    return this.toString();
  }
}

/** Text as in a manifest or on the command line, or a bare JSON number. */
export function parseQuantity(input: string | number): Quantity {
  const text = String(input).trim();
  const match = text.length <= MAX_LENGTH ? SPLIT.exec(text) : null;
  if (match === null) throw invalid(`quantities must match the regular expression '${FORM}'`);
  const number = NUMBER.exec(match[1] ?? "");
  const [, sign = "", whole = "", fraction = ""] = number ?? [];
  if (number === null || whole + fraction === "") {
    throw invalid("unable to parse numeric part of quantity");
  }
  const { family, base, exponent } = parseSuffix(match[2] ?? "");
  const digits = BigInt(whole + fraction);
  const nanos = scale(digits * base, exponent - fraction.length + 9);
  // Below one unit powers of two make no sense: the reference goes on in decimal, and so do we.
  const shown = family === "binary" && nanos < NANO ? "decimal" : family;
  return new Quantity(sign === "-" ? -nanos : nanos, shown);
}

function parseSuffix(suffix: string): { family: Family; base: bigint; exponent: number } {
  const decimal = DECIMAL.indexOf(suffix);
  if (decimal >= 0) return { family: "decimal", base: 1n, exponent: (decimal - 3) * 3 };
  const binary = BINARY.indexOf(suffix);
  if (binary >= 0) return { family: "binary", base: 1024n ** BigInt(binary), exponent: 0 };
  const exponent = /^[eE]([+-]?[0-9]{1,9})$/.exec(suffix)?.[1];
  if (exponent === undefined) throw invalid("unable to parse quantity's suffix");
  return { family: "exponent", base: 1n, exponent: Number(exponent) };
}

/** `amount` * 10^`exponent`, rounded up, capped. The exponent is hostile: never computed when it must overflow. */
function scale(amount: bigint, exponent: number): bigint {
  if (amount === 0n) return 0n;
  if (exponent > 30) return MAX_NANOS;
  if (exponent >= 0) return min(amount * 10n ** BigInt(exponent), MAX_NANOS);
  if (-exponent > 2 * MAX_LENGTH) return 1n;
  return min(divideUp(amount, 10n ** BigInt(-exponent)), MAX_NANOS);
}

function stripFactors(amount: bigint, factor: bigint, most: number): [bigint, number] {
  let rest = amount;
  let times = 0;
  while (times < most && rest % factor === 0n) {
    rest /= factor;
    times++;
  }
  return [rest, times];
}

function divideUp(amount: bigint, divisor: bigint): bigint {
  const quotient = amount / divisor;
  return amount > 0n && amount % divisor !== 0n ? quotient + 1n : quotient;
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function invalid(message: string): ManifestError {
  return new ManifestError("QUANTITY_INVALID", message);
}
