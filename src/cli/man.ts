// SPDX-License-Identifier: Apache-2.0
// The manual pages and the option tables of the documentation, from the command table. For scripts: rkt
// itself never loads this.
import { VERSION } from "../lib/version.ts";
import type { Command } from "./command.ts";
import { allCommands } from "./command-table.ts";
import { GLOBAL_FLAGS } from "./flag-sets.ts";
import { type FlagSpec, type FlagSpecs, HELP_FLAGS } from "./flags.ts";
import { commandFlags, ROOT_BRIEF, ROOT_DESCRIPTION, useLine, visibleFlags } from "./help.ts";

/** File name → roff text: rkt.1 and rkt-NAME.1 for every command that is shown. */
export function manualPages(): ReadonlyMap<string, string> {
  const shown = allCommands().filter((entry) => !entry.hidden && !entry.group);
  const pages = new Map([["rkt.1", rootPage(shown)]]);
  for (const entry of shown) pages.set(`${pageName(entry.name)}.1`, commandPage(entry));
  return pages;
}

/** Markdown for docs/commands/NAME.md, by command name; "" is the table of the global options. */
export function optionTables(): ReadonlyMap<string, string> {
  const tables = new Map([["", optionTable(GLOBAL_FLAGS)]]);
  for (const entry of allCommands()) {
    if (entry.hidden || entry.group) continue;
    tables.set(entry.name, optionTable({ ...entry.flags, ...entry.images?.flags }));
  }
  return tables;
}

function optionTable(flags: FlagSpecs): string {
  const rows = visibleFlags(flags).map(([name, flag]) => {
    const fallback = flag.shown === "" ? "" : `\`${flag.shown}\``;
    return `| \`--${name}\` | ${fallback} | ${cell(valueForm(flag))} | ${cell(flag.usage)} |`;
  });
  if (rows.length === 0) return "This command has no options of its own.\n";
  return `${["| Flag | Default | Value | Meaning |", "| --- | --- | --- | --- |", ...rows].join("\n")}\n`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

function valueForm(flag: FlagSpec): string {
  return flag.implied === undefined ? flag.metavar : `[=${flag.metavar}]`;
}

function pageName(command: string): string {
  return `rkt-${command.replaceAll(" ", "-")}`;
}

function rootPage(commands: readonly Command[]): string {
  return page("rkt", ROOT_BRIEF, [
    section("SYNOPSIS", `.B rkt\n[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]`),
    section("DESCRIPTION", paragraphs(ROOT_DESCRIPTION)),
    section(
      "COMMANDS",
      commands
        .map((entry) => `.TP\n.BR ${roff(pageName(entry.name))} (1)\n${roff(entry.brief)}`)
        .join("\n"),
    ),
    section("OPTIONS", options({ ...GLOBAL_FLAGS, ...HELP_FLAGS })),
    section("EXIT STATUS", EXIT_STATUS),
    section("ENVIRONMENT", ENVIRONMENT),
    section("FILES", FILES),
    section("SEE ALSO", seeAlso(commands.map((entry) => entry.name))),
  ]);
}

function commandPage(command: Command): string {
  const use = useLine(command).slice(`rkt ${command.name}`.length).trim();
  return page(pageName(command.name), command.brief, [
    section("SYNOPSIS", `.B rkt ${roff(command.name)}\n[\\fIoptions\\fR] ${roff(use)}`.trimEnd()),
    section("DESCRIPTION", paragraphs(command.description || command.brief)),
    ...(command.root ? [section("PRIVILEGES", "This command needs root.")] : []),
    section("OPTIONS", options(commandFlags(command))),
    section("GLOBAL OPTIONS", `See\n.BR rkt (1).`),
    section("SEE ALSO", seeAlso(command.seeAlso, ".BR rkt (1)")),
  ]);
}

const EXIT_STATUS = `.TP
.B 0
Success.
.TP
.B 2
There was no command.
.TP
.B 254
rkt itself failed; the reason is on the standard error output.
.PP
The status of
.B rkt run
and
.B rkt run\\-prepared
is that of the first app that failed; 128 and the number of the signal for an app that a signal ended.`;

const ENVIRONMENT = `.TP
.BR HTTP_PROXY ", " HTTPS_PROXY ", " NO_PROXY
Proxies for fetching images and keys.`;

const FILES = `.TP
.I /var/lib/rkt
Images and pods.
.TP
.I /etc/rkt
The administrator's configuration and trusted keys.
.TP
.I /usr/lib/rkt
The vendor's configuration and trusted keys.`;

/** No date: the same source gives the same page. */
function page(name: string, brief: string, sections: readonly string[]): string {
  const title = roff(name.toUpperCase());
  return [
    `.TH ${title} 1 "" "rkt ${roff(VERSION)}" "rkt manual"`,
    section("NAME", `${roff(name)} \\- ${roff(brief)}`),
    ...sections,
    "",
  ].join("\n");
}

function section(title: string, body: string): string {
  return `.SH ${title}\n${body}`;
}

function paragraphs(text: string): string {
  return text
    .split("\n\n")
    .map((paragraph) => paragraph.split("\n").map(roff).join("\n"))
    .join("\n.PP\n");
}

function options(flags: FlagSpecs): string {
  return visibleFlags(flags)
    .map(([name, flag]) => {
      const short = flag.short === undefined ? "" : `\\fB\\-${flag.short}\\fR, `;
      const long = `\\fB\\-\\-${roff(name)}\\fR`;
      const value = `\\fI${roff(flag.metavar)}\\fR`;
      const form = flag.implied === undefined ? `${long}=${value}` : `${long}[=${value}]`;
      const fallback = flag.shown === "" ? "" : ` (default: ${roff(flag.shown)})`;
      return `.TP\n${short}${form}\n${roff(flag.usage)}${fallback}`;
    })
    .join("\n");
}

function seeAlso(names: readonly string[], first?: string): string {
  const entries = names.map((name) => `.BR ${roff(pageName(name))} (1)`);
  return [...(first === undefined ? [] : [first]), ...entries].join(" ,\n");
}

/** Text for roff: backslashes and hyphens as such, and no line that begins like a request. */
function roff(text: string): string {
  const escaped = text.replaceAll("\\", "\\e").replaceAll("-", "\\-");
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}
