// SPDX-License-Identifier: Apache-2.0
// What a 401 asks for: the WWW-Authenticate header of RFC 9110, read by hand because it is hostile text.

export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly params: ReadonlyMap<string, string>;
}

const MAX_HEADER = 16 * 1024;
const TOKEN = /[!#$%&'*+.^_`|~0-9a-z-]+/iy;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;

/** All challenges of the header, in its order; what cannot be read ends the list. */
export function parseChallenges(header: string | null): readonly Challenge[] {
  if (header === null || header.length > MAX_HEADER) return [];
  const challenges: { scheme: string; params: Map<string, string> }[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(header);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  const skip = (characters: string): void => {
    while (at < header.length && characters.includes(header[at] ?? "")) at++;
  };
  for (;;) {
    skip(" \t,");
    const word = take(TOKEN)?.[0].toLowerCase();
    if (word === undefined) return challenges;
    skip(" \t");
    const current = challenges.at(-1);
    if (header[at] !== "=") {
      challenges.push({ scheme: word, params: new Map() });
      continue;
    }
    if (current === undefined) return challenges;
    at++;
    skip(" \t");
    const value = take(QUOTED)?.[1]?.replace(/\\(.)/g, "$1") ?? take(TOKEN)?.[0];
    if (value === undefined) return challenges;
    if (!current.params.has(word)) current.params.set(word, value);
  }
}
