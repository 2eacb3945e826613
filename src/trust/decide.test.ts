// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { CLOCK_SKEW_MS, decide, type Facts, type KeyFacts } from "./decide.ts";

const NOW = new Date("2026-06-01T12:00:00Z");
const before = (ms: number) => new Date(NOW.getTime() - ms);
const after = (ms: number) => new Date(NOW.getTime() + ms);
const DAY = 86_400_000;

const key: KeyFacts = {
  fingerprint: "a".repeat(40),
  created: before(100 * DAY),
  revoked: false,
  expires: undefined,
  weakness: undefined,
};
const subkey: KeyFacts = { ...key, fingerprint: "b".repeat(40) };
const good: Facts = {
  matches: true,
  created: before(DAY),
  expires: undefined,
  identity: 'Alice "A" <alice@example.com>',
  primary: key,
  signer: subkey,
  notSigningKey: undefined,
};
const NAME = `key ${"a".repeat(40)} of "Alice \\"A\\" <alice@example.com>"`;

test.each<[string, Partial<Facts>]>([
  ["a plain good signature", {}],
  [
    "a signature and keys that end later",
    {
      expires: after(1),
      primary: { ...key, expires: after(1) },
      signer: { ...subkey, expires: after(1) },
    },
  ],
  ["a signature from a clock that is a little ahead", { created: after(CLOCK_SKEW_MS) }],
  ["a signature of the same second as the key", { created: key.created }],
])("decide accepts %s", (_, change) => {
  expect(decide({ ...good, ...change }, NOW)).toBeUndefined();
});

test.each<[string, Partial<Facts>, string, string]>([
  [
    "a signature of something else",
    { matches: false },
    "SIGNATURE_INVALID",
    `signature does not match the image: ${NAME} signed other content`,
  ],
  [
    "a signature from the future",
    { created: after(CLOCK_SKEW_MS + 1) },
    "SIGNATURE_FUTURE",
    "signature is dated in the future: 2026-06-01T12:01:00Z",
  ],
  [
    "a signature that has just expired",
    { expires: NOW },
    "SIGNATURE_EXPIRED",
    `signature by ${NAME} expired on 2026-06-01T12:00:00Z`,
  ],
  [
    "a revoked key",
    { primary: { ...key, revoked: true } },
    "KEY_REVOKED",
    `${NAME} was revoked by its owner`,
  ],
  [
    "a revoked subkey",
    { signer: { ...subkey, revoked: true } },
    "KEY_REVOKED",
    `${NAME} was revoked by its owner`,
  ],
  [
    "a key that has just expired",
    { primary: { ...key, expires: NOW } },
    "KEY_EXPIRED",
    `${NAME} expired on 2026-06-01T12:00:00Z`,
  ],
  [
    "an expired subkey of a living key",
    { primary: { ...key, expires: after(1) }, signer: { ...subkey, expires: before(DAY) } },
    "KEY_EXPIRED",
    `${NAME} expired on 2026-05-31T12:00:00Z`,
  ],
  [
    "a signature older than the key",
    { created: before(100 * DAY + 1) },
    "KEY_INVALID",
    `${NAME} is younger than the signature`,
  ],
  [
    "a key that may not sign",
    { notSigningKey: "no flag" },
    "KEY_INVALID",
    `${NAME} cannot be used: no flag`,
  ],
  [
    "a weak key",
    { primary: { ...key, weakness: "too short" } },
    "KEY_WEAK",
    `${NAME} is refused: too short`,
  ],
  [
    "a weak subkey",
    { signer: { ...subkey, weakness: "too short" } },
    "KEY_WEAK",
    `${NAME} is refused: too short`,
  ],
])("decide refuses %s", (_, change, code, message) => {
  const error = decide({ ...good, ...change }, NOW);
  expect(error?.message).toBe(message);
  expect(error?.code as string).toBe(code);
});

test("decide says that a signature does not match before anything about the key", () => {
  const facts = { ...good, matches: false, primary: { ...key, revoked: true, expires: NOW } };
  expect(decide(facts, NOW)?.code).toBe("SIGNATURE_INVALID");
});
