// SPDX-License-Identifier: Apache-2.0
// Help texts, a pure function of the command table (layout: rkt-cli §1.1).
import { VERSION } from "../lib/version.ts";
import type { Command } from "./command.ts";
import { GLOBAL_FLAGS } from "./flag-sets.ts";
import { type FlagSpec, type FlagSpecs, HELP_FLAGS } from "./flags.ts";
import { alignTabs } from "./table.ts";

export const ROOT_BRIEF = "run applications in pods, from signed images";
export const ROOT_DESCRIPTION = `Fetches images, checks who signed them, and runs them in pods. There is no daemon.

"rkt help COMMAND" says more about a command.`;

/** The flags that a command's own options show, its image flags among them. */
export function commandFlags(command: Command): FlagSpecs {
  return { ...command.flags, ...command.images?.flags, ...HELP_FLAGS };
}

/** [name, spec] of the flags that are shown, by name. */
export function visibleFlags(flags: FlagSpecs): readonly (readonly [string, FlagSpec])[] {
  return Object.entries(flags)
    .filter(([, flag]) => !flag.hidden && flag.deprecated === undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** `name=default`, or `name[=default]` when the value may be left out; texts in quotes. */
export function flagForm(name: string, flag: FlagSpec): string {
  const shown = flag.type === "string" ? JSON.stringify(flag.shown) : flag.shown;
  return flag.implied === undefined ? `${name}=${shown}` : `${name}[=${shown}]`;
}

function optionLines(flags: FlagSpecs): string[] {
  return visibleFlags(flags).map(([name, flag]) => {
    const head = flag.short === undefined ? "      " : `  -${flag.short}, `;
    return `${head}--${flagForm(name, flag)}\t${flag.usage}`;
  });
}

function section(title: string, lines: readonly string[]): string {
  return `${title}:\n${lines.join("\n")}\n`;
}

function indented(text: string): string[] {
  return text.split("\n").map((line) => (line === "" ? "" : `\t${line}`));
}

function layOut(sections: readonly string[]): string {
  return alignTabs(sections.join("\n"));
}

function commandLines(commands: readonly Command[]): string[] {
  return commands
    .filter((entry) => !entry.group && !entry.hidden)
    .map((entry) => `\t${entry.name}\t${entry.brief}`);
}

export function useLine(command: Command): string {
  return `rkt ${command.name}${command.args === "" ? "" : ` ${command.args}`}`;
}

export function rootHelp(commands: readonly Command[]): string {
  return layOut([
    section("NAME", [`\trkt - ${ROOT_BRIEF}`]),
    section("USAGE", ["\trkt [command]"]),
    section("VERSION", [`\t${VERSION}`]),
    section("COMMANDS", commandLines(commands)),
    section("DESCRIPTION", indented(ROOT_DESCRIPTION)),
    section("OPTIONS", optionLines({ ...GLOBAL_FLAGS, ...HELP_FLAGS })),
  ]);
}

export function commandHelp(command: Command, commands: readonly Command[]): string {
  const nested = commands.filter((entry) => entry.name.startsWith(`${command.name} `));
  const description = command.description === "" ? command.brief : command.description;
  return layOut([
    section("NAME", [`\t${command.name} - ${command.brief}`]),
    section("USAGE", [`\t${useLine(command)}`]),
    ...(nested.length === 0 ? [] : [section("COMMANDS", commandLines(nested))]),
    section("DESCRIPTION", indented(description)),
    section("OPTIONS", optionLines(commandFlags(command))),
    section("GLOBAL OPTIONS", optionLines(GLOBAL_FLAGS)),
  ]);
}

/** Help of a command, or of rkt itself. */
export function helpText(command: Command | undefined, commands: readonly Command[]): string {
  return command === undefined ? rootHelp(commands) : commandHelp(command, commands);
}
