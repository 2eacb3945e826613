// SPDX-License-Identifier: Apache-2.0
// Signals as people and images write them (signal(7)): `SIGTERM`, `term`, `15`, `SIGRTMIN+3`. Linux's numbers.

/** From 1 on. The same on every architecture that rkt runs on. */
const NAMES =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS";
const ALIASES: ReadonlyMap<string, string> = new Map([
  ["IOT", "ABRT"],
  ["CLD", "CHLD"],
  ["POLL", "IO"],
]);
/** As glibc counts, and so Docker: the two before it are the C library's. */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** Undefined for what is no signal. */
export function parseSignal(text: string): number | undefined {
  if (/^[0-9]{1,2}$/.test(text)) return inRange(Number(text), 1);
  const match = /^(?:SIG)?([A-Z0-9]{2,6})([+-][0-9]{1,2})?$/.exec(text.toUpperCase());
  const [, name = "", offset] = match ?? [];
  if (name === "RTMIN") return inRange(SIGRTMIN + Number(offset ?? 0), SIGRTMIN);
  if (name === "RTMAX") return inRange(SIGRTMAX + Number(offset ?? 0), SIGRTMIN);
  const index = NAMES.split(" ").indexOf(ALIASES.get(name) ?? name);
  return index < 0 || offset !== undefined ? undefined : index + 1;
}

const inRange = (number: number, first: number): number | undefined =>
  number >= first && number <= SIGRTMAX ? number : undefined;
