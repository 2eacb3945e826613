// SPDX-License-Identifier: Apache-2.0
// The ids of a pod with a user namespace (--private-users): 0 and up inside are `first` and up on the host.

export interface IdRange {
  readonly first: number;
  readonly count: number;
}

/** Ids of every pod: as many as 16 bits have, as in rkt. */
export const IDS_PER_POD = 65_536;

/** The id inside of the pod; what is not the pod's stays as it is. */
export function idInside(id: number, range: IdRange | undefined): number {
  if (range === undefined || id < range.first || id >= range.first + range.count) return id;
  return id - range.first;
}

export function formatIdRange({ first, count }: IdRange): string {
  return `${first}:${count}`;
}

/** `FIRST:COUNT`; undefined for anything else. */
export function parseIdRange(text: string): IdRange | undefined {
  const match = /^(\d{1,10}):(\d{1,10})$/.exec(text.trim());
  if (match === null) return undefined;
  const [first, count] = [Number(match[1]), Number(match[2])];
  return first > 0 && count > 0 && first + count < 0xffff_ffff ? { first, count } : undefined;
}
