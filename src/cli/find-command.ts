// SPDX-License-Identifier: Apache-2.0
// Which command do these words mean? (rkt-cli §1.1: flags may stand before the command, commands may be
// abbreviated.)
import { quote } from "../lib/text.ts";
import type { Command, CommandTable } from "./command.ts";
import { GLOBAL_FLAGS } from "./flag-sets.ts";
import { own } from "./flags.ts";
import { UsageError } from "./usage-error.ts";

export interface Found {
  /** Undefined: no command among the words. */
  readonly command: Command | undefined;
  /** All words but those of the command's name. */
  readonly words: readonly string[];
}

/** Throws COMMAND_UNKNOWN, with suggestions. */
export function findCommand(words: readonly string[], known: CommandTable): Found {
  let command: Command | undefined;
  let rest = words;
  for (;;) {
    const index = commandWord(rest);
    const word = index === undefined ? undefined : rest[index];
    if (index === undefined || word === undefined) return { command, words: rest };
    const next = resolve(word, command, known);
    rest = rest.toSpliced(index, 1);
    command = next;
    if (!command.group) return { command, words: rest };
  }
}

/**
 * The first word that is not a flag. A long flag without `=` that is not a global boolean takes the next
 * word with it, as the command is not known yet that could say otherwise.
 */
function commandWord(words: readonly string[]): number | undefined {
  let swallow = false;
  for (const [index, word] of words.entries()) {
    if (word.startsWith("--")) {
      const name = word.slice(2);
      swallow =
        word !== "--" &&
        !name.includes("=") &&
        name !== "help" &&
        own<{ readonly type: string }>(GLOBAL_FLAGS, name)?.type !== "bool";
    } else if (word.startsWith("-") && word.length > 1) {
      swallow = false;
    } else if (swallow) {
      swallow = false;
    } else if (word !== "") {
      return index;
    }
  }
  return undefined;
}

function resolve(word: string, group: Command | undefined, known: CommandTable): Command {
  const prefix = group === undefined ? "" : `${group.name} `;
  const wanted = prefix + word;
  // A word with a space in it names no command, even if it spells "image list".
  const exact = word.includes(" ") ? undefined : known.byName(wanted);
  if (exact !== undefined) return exact;
  const visible = known
    .all()
    .filter(
      ({ name, hidden }) =>
        !hidden && name.startsWith(prefix) && !name.slice(prefix.length).includes(" "),
    );
  const matches = visible.filter((entry) => entry.name.startsWith(wanted));
  const [only, ...others] = matches;
  if (only !== undefined && others.length === 0) return only;
  throw unknownCommand(word, group, visible);
}

/** What other container engines call our commands. */
const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ["exec", "enter"],
  ["images", "image list"],
  ["inspect", "status"],
  ["kill", "stop"],
  ["ps", "list"],
  ["pull", "fetch"],
  ["rmi", "image rm"],
]);

function unknownCommand(
  word: string,
  group: Command | undefined,
  siblings: readonly Command[],
): UsageError {
  const path = group === undefined ? "rkt" : `rkt ${group.name}`;
  const names = siblings.map((entry) => entry.name.slice(entry.name.lastIndexOf(" ") + 1));
  const typed = word.toLowerCase();
  const elsewhere = group === undefined ? ELSEWHERE.get(typed) : undefined;
  const close =
    elsewhere === undefined
      ? names.filter((name) => name.startsWith(typed) || distance(typed, name) <= 2)
      : [elsewhere];
  const suggestions =
    close.length === 0
      ? ""
      : `\n\nDid you mean this?\n${close.map((name) => `\t${name}\n`).join("")}`;
  return new UsageError(
    "COMMAND_UNKNOWN",
    `unknown command ${quote(word)} for "${path}"${suggestions}`,
    { remedy: `Run '${path} --help' for usage.`, details: { command: word, suggestions: close } },
  );
}

/** Levenshtein. The word is hostile in length only: nothing longer than a command name is close to one. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 3;
}
