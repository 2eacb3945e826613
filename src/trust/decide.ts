// SPDX-License-Identifier: Apache-2.0
// Stage three of trust: from facts to a verdict. A table, read from the top, with no I/O and no clock of
// its own; the facts come from `examine`.
import { quote } from "../lib/text.ts";
import { TrustError, type TrustErrorCode } from "./errors.ts";

export interface KeyFacts {
  readonly fingerprint: string;
  readonly created: Date;
  readonly revoked: boolean;
  /** undefined: never. */
  readonly expires: Date | undefined;
  /** Why keys of this kind are refused altogether. */
  readonly weakness: string | undefined;
}

/** All that the verdict on one signature by one trusted key depends on. */
export interface Facts {
  /** Whether the mathematics fits: this key, this signature, this image. */
  readonly matches: boolean;
  readonly created: Date;
  /** When the signature itself ends; undefined: never. */
  readonly expires: Date | undefined;
  readonly identity: string | undefined;
  readonly primary: KeyFacts;
  /** The key that signed: the primary or a subkey. */
  readonly signer: KeyFacts;
  /**
   * Why the key's own signatures do not make it a signing key, now or when it signed: no valid
   * self-signature or binding, no permission to sign.
   */
  readonly notSigningKey: string | undefined;
}

/** Clocks differ; a signature made just now elsewhere may seem to come from the future. */
export const CLOCK_SKEW_MS = 60_000;

interface Rule {
  readonly code: TrustErrorCode;
  readonly when: (facts: Facts, now: number) => boolean;
  readonly say: (facts: Facts) => string;
  readonly remedy?: string;
}

/** The first rule that applies refuses. The match stands first: nothing else is worth saying without it. */
const RULES: readonly Rule[] = [
  {
    code: "KEY_WEAK",
    when: ({ primary, signer }) => (primary.weakness ?? signer.weakness) !== undefined,
    say: (f) => `${keyName(f)} is refused: ${f.primary.weakness ?? f.signer.weakness}`,
  },
  {
    code: "SIGNATURE_INVALID",
    when: ({ matches }) => !matches,
    say: (f) => `signature does not match the image: ${keyName(f)} signed other content`,
    remedy: "fetch the image and its signature again; if it stays so, do not use the image",
  },
  {
    code: "SIGNATURE_FUTURE",
    when: ({ created }, now) => created.getTime() > now + CLOCK_SKEW_MS,
    say: (f) => `signature is dated in the future: ${day(f.created)}`,
    remedy: "check the clock of this machine",
  },
  {
    code: "SIGNATURE_EXPIRED",
    when: ({ expires }, now) => expires !== undefined && expires.getTime() <= now,
    say: (f) => `signature by ${keyName(f)} expired ${on(f.expires)}`,
  },
  {
    code: "KEY_REVOKED",
    when: ({ primary, signer }) => primary.revoked || signer.revoked,
    say: (f) => `${keyName(f)} was revoked by its owner`,
    remedy: "ask the publisher for the new key, and trust that",
  },
  {
    code: "KEY_EXPIRED",
    when: ({ primary, signer }, now) => expired(primary, now) || expired(signer, now),
    say: (f) => `${keyName(f)} expired ${on(earliest(f.primary.expires, f.signer.expires))}`,
    remedy: "ask the publisher for the renewed key, and trust that",
  },
  {
    code: "KEY_INVALID",
    when: ({ created, signer }) => created.getTime() < signer.created.getTime(),
    say: (f) => `${keyName(f)} is younger than the signature`,
  },
  {
    code: "KEY_INVALID",
    when: ({ notSigningKey }) => notSigningKey !== undefined,
    say: (f) => `${keyName(f)} cannot be used: ${f.notSigningKey}`,
  },
];

/** The error that refuses, or undefined: the signature is good. */
export function decide(facts: Facts, now: Date): TrustError | undefined {
  const rule = RULES.find((r) => r.when(facts, now.getTime()));
  if (rule === undefined) return undefined;
  return new TrustError(rule.code, rule.say(facts), {
    remedy: rule.remedy,
    details: { fingerprint: facts.primary.fingerprint, signer: facts.signer.fingerprint },
  });
}

function expired(key: KeyFacts, now: number): boolean {
  return key.expires !== undefined && key.expires.getTime() <= now;
}

function keyName({ identity, primary }: Facts): string {
  return `key ${primary.fingerprint}${identity === undefined ? "" : ` of ${quote(identity)}`}`;
}

function earliest(a: Date | undefined, b: Date | undefined): Date | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a < b ? a : b;
}

function on(date: Date | undefined): string {
  return date === undefined ? "" : `on ${day(date)}`;
}

function day(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}
