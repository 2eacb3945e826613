// SPDX-License-Identifier: Apache-2.0
// Fails on a dead link between the documents, on a command without a page in docs/commands, and on an
// option table there that is not the command table's. With --write it writes the tables.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { optionTables } from "../src/cli/man.ts";

/** Anchors of a Markdown text, as GitHub makes them. */
export function anchors(markdown: string): Set<string> {
  const found = new Set<string>();
  for (const match of markdown.matchAll(/^#+\s+(.*)$/gm)) {
    const plain = (match[1] ?? "").toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "");
    found.add(plain.trim().replaceAll(" ", "-"));
  }
  return found;
}

/** Links of a Markdown text to other files or places of the project; code is not looked at. */
export function localLinks(markdown: string): string[] {
  const prose = markdown.replace(/```[\s\S]*?```/g, "").replace(/`[^`\n]*`/g, "");
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1] ?? "")
    .filter((target) => !/^[a-z]+:/.test(target));
}

const TABLE = /(<!-- options -->\n)[\s\S]*?(<!-- \/options -->)/;

/** A page with its option table replaced; undefined when it has no place for one. */
export function withTable(page: string, table: string): string | undefined {
  return TABLE.test(page)
    ? page.replace(TABLE, (_, begin, end) => `${begin}${table}${end}`)
    : undefined;
}

/** The page of a command in docs/commands. */
function pageOf(command: string): string {
  const name = command === "" ? "global-options" : command.replaceAll(" ", "-");
  return join("docs/commands", `${name}.md`);
}

if (import.meta.main) {
  const problems: string[] = [];
  const files = Bun.spawnSync([
    "git",
    "ls-files",
    "--cached",
    "--others",
    "--exclude-standard",
    "*.md",
  ])
    .stdout.toString()
    .split("\n")
    .filter((path) => path !== "" && existsSync(path));
  for (const path of files) {
    const text = readFileSync(path, "utf8");
    for (const link of localLinks(text)) {
      const [file = "", anchor] = link.split("#");
      const target = file === "" ? path : join(dirname(path), file);
      if (!existsSync(target)) problems.push(`${path}: dead link: ${link}`);
      else if (anchor !== undefined && target.endsWith(".md")) {
        if (!anchors(readFileSync(target, "utf8")).has(anchor)) {
          problems.push(`${path}: no such heading: ${link}`);
        }
      }
    }
  }
  if (existsSync("docs/commands")) {
    for (const [command, table] of optionTables()) {
      const path = pageOf(command);
      const page = existsSync(path) ? readFileSync(path, "utf8") : undefined;
      const wanted = page === undefined ? undefined : withTable(page, table);
      if (page === undefined) problems.push(`${path}: there is no such page`);
      else if (wanted === undefined) problems.push(`${path}: no place for the option table`);
      else if (wanted !== page) {
        if (process.argv.includes("--write")) writeFileSync(path, wanted);
        else problems.push(`${path}: the option table is out of date (try: make docs)`);
      }
    }
  }
  for (const problem of problems) console.error(problem);
  process.exit(problems.length === 0 ? 0 : 1);
}
