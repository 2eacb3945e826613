// SPDX-License-Identifier: Apache-2.0
// Fails on a dead link between the documents, and on a flag of dist/rkt that its page in docs/commands
// does not name.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

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

/** Flags in the OPTIONS section of a help text. */
export function flagsOf(help: string): string[] {
  const section = /(?:^|\n)OPTIONS:\n([\s\S]*?)(?:\n[A-Z ]+:\n|$)/.exec(help)?.[1] ?? "";
  return [...section.matchAll(/^\s+(?:-\w, )?--([a-z0-9-]+)/gm)].map((match) => match[1] ?? "");
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
  if (existsSync("docs/commands") && existsSync("dist/rkt")) {
    for (const page of readdirSync("docs/commands").filter((name) => name.endsWith(".md"))) {
      const words = page.slice(0, -3).split("-");
      const text = readFileSync(join("docs/commands", page), "utf8");
      // A name with a hyphen is one command (run-prepared) or a sub-command (image-list).
      const tries = [[words.join("-")], [words[0] ?? "", words.slice(1).join("-")]];
      for (const command of tries) {
        const run = Bun.spawnSync(["dist/rkt", "help", ...command]);
        if (run.exitCode !== 0) continue;
        for (const flag of flagsOf(run.stdout.toString())) {
          if (!text.includes(`--${flag}`))
            problems.push(`docs/commands/${page}: no word on --${flag}`);
        }
        break;
      }
    }
  }
  for (const problem of problems) console.error(problem);
  process.exit(problems.length === 0 ? 0 : 1);
}
