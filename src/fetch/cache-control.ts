// SPDX-License-Identifier: Apache-2.0
// For how long an answer may be used again without asking (rkt-cli.md §2.2).

const MAX_AGE = 10 * 365 * 24 * 3600;

/**
 * Seconds of `Cache-Control`; 0 means "ask each time". The last directive that counts wins, `no-store`
 * and `no-cache` among them. A value with a leading zero, or none, does not count.
 */
export function parseMaxAge(header: string | null): number {
  let seconds = 0;
  for (const part of (header ?? "").split(",")) {
    const directive = part.trim().toLowerCase();
    if (directive === "no-store" || directive === "no-cache") seconds = 0;
    const value = /^max-age=([1-9][0-9]*)$/.exec(directive)?.[1];
    if (value !== undefined) seconds = Math.min(Number(value), MAX_AGE);
  }
  return seconds;
}
