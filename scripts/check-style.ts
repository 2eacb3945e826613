// SPDX-License-Identifier: Apache-2.0
// The rules of style that the linter has no word for: the error sentence (lower case, no full stop), the
// SPDX line, file names, test names. A sentence that is a reference's own text, and therefore breaks the
// rule, says so on its line or the one before: `// reference text`.
import { readFileSync } from "node:fs";
import { basename } from "node:path";

export interface Finding {
  readonly line: number;
  readonly text: string;
}

const ERROR_CALL =
  /new [A-Z]\w*Error\(\s*(?:"[A-Z0-9_]+"|[\w.]+),\s*("(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`)/g;
const TEST_CALL = /^\s*(?:test|it)(?:\.\w+)?\(\s*"((?:[^"\\]|\\.)*)"/gm;

function lineOf(source: string, index: number): number {
  return source.slice(0, index).split("\n").length;
}

/** What is wrong with the error sentences of a source text. */
export function checkSentences(source: string): Finding[] {
  const lines = source.split("\n");
  const findings: Finding[] = [];
  for (const match of source.matchAll(ERROR_CALL)) {
    const literal = match[1] ?? "";
    const line = lineOf(source, match.index + match[0].length - literal.length);
    const excused = [lines[line - 1], lines[line - 2]].some((each) =>
      each?.includes("reference text"),
    );
    const sentence = literal.slice(1, -1);
    if (excused) continue;
    // A capital after the first letter is a name or an abbreviation (TLS, URL, OpenPGP): those may begin.
    if (/^[A-Z][a-z]*(\s|$)/.test(sentence)) {
      findings.push({ line, text: `error sentence begins with a capital: ${literal}` });
    }
    if (/[^.]\.$/.test(sentence)) {
      findings.push({ line, text: `error sentence ends with a full stop: ${literal}` });
    }
  }
  return findings;
}

/** What is wrong with a file as a whole. */
export function checkFile(path: string, source: string): Finding[] {
  const findings: Finding[] = [];
  if (
    !source
      .split("\n")
      .slice(0, 3)
      .some((line) => line.includes("SPDX-License-Identifier: Apache-2.0"))
  ) {
    findings.push({ line: 1, text: "no SPDX line" });
  }
  if (!/^[a-z0-9]+([-.][a-z0-9]+)*$/.test(basename(path))) {
    findings.push({ line: 1, text: "file name is not kebab-case" });
  }
  for (const match of source.matchAll(TEST_CALL)) {
    if (!/\s/.test(match[1] ?? "")) {
      findings.push({
        line: lineOf(source, match.index),
        text: `test name is no sentence: ${match[1]}`,
      });
    }
  }
  return findings;
}

if (import.meta.main) {
  const list = Bun.spawnSync([
    "git",
    "ls-files",
    "--cached",
    "--others",
    "--exclude-standard",
    "src/*.ts",
    "tests/*.ts",
    "scripts/*.ts",
    "bench/*.ts",
    "stage1/*.c",
    "stage1/*.h",
  ]);
  let count = 0;
  for (const path of new Set(
    list.stdout
      .toString()
      .split("\n")
      .filter((line) => line !== ""),
  )) {
    let source: string;
    try {
      source = readFileSync(path, "utf8");
    } catch (error) {
      // Deleted, but not yet in a commit.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") continue;
      throw error;
    }
    const isTest = path.endsWith(".test.ts") || !path.startsWith("src/");
    const findings = [...checkFile(path, source), ...(isTest ? [] : checkSentences(source))];
    for (const { line, text } of findings) console.error(`${path}:${line}: ${text}`);
    count += findings.length;
  }
  process.exit(count === 0 ? 0 : 1);
}
