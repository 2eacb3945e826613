// SPDX-License-Identifier: Apache-2.0
// Runs every suite and adds up what their runners counted. Usage: bun scripts/test.ts [SUITE[,SUITE]...]
// The last line is the total; build/test-summary holds it for .ci/run, build/test-logs each suite's output.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { HOSTS } from "../tests/support/site.ts";

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

interface Suite {
  readonly name: string;
  readonly command: readonly string[];
  /** How the runner counts; a check counts as nothing when it passes and as one failure when it fails. */
  readonly counts: "check" | "bun" | "node" | "programs";
  /** The suite is left out, with a word about it, where this does not hold. */
  readonly when?: () => boolean;
}

const BUN = "node_modules/.bin/bun";
const LOGS = "build/test-logs";

/** Tests that this project's CI machine cannot run, by name, with the reason. All other skips fail there. */
const EXPECTED_SKIPS: ReadonlyMap<string, string> = new Map();

const junit = (name: string): readonly string[] => [
  "--reporter=junit",
  `--reporter-outfile=${LOGS}/${name}.xml`,
];

const bunTest = (name: string, ...paths: readonly string[]): readonly string[] => [
  BUN,
  "test",
  ...junit(name),
  ...paths,
];

const sandbox = ["scripts/sandbox", ...HOSTS.flatMap((name) => ["--host", name])];

/** Two lanes for two cores; a lane's suites run one after the other. */
const LANES: readonly (readonly Suite[])[] = [
  [
    { name: "lint", command: ["make", "-s", "lint"], counts: "check" },
    { name: "types", command: ["make", "-s", "types"], counts: "check" },
    { name: "unused", command: ["make", "-s", "unused"], counts: "check" },
    {
      name: "unit",
      command: bunTest("unit", "--timeout=60000", "./src", "./tests/support", "./scripts"),
      counts: "bun",
    },
    {
      name: "node",
      command: ["sh", "-c", "node --test tests/node/*.mjs"],
      counts: "node",
      when: () => existsSync("tests/node"),
    },
    {
      name: "c",
      command: ["make", "-s", "-C", "stage1", "check", "FUZZ_SECONDS=10"],
      counts: "programs",
    },
    {
      name: "conformance",
      command: ["make", "-s", "conformance", `REPORT=${junit("conformance").join(" ")}`],
      counts: "bun",
    },
    { name: "reproducible", command: ["scripts/check-reproducible"], counts: "check" },
  ],
  [
    {
      name: "cli",
      command: [...sandbox, ...bunTest("cli", "--timeout=60000", "./tests/cli")],
      counts: "bun",
    },
    {
      name: "crash",
      command: [...sandbox, ...bunTest("crash", "--timeout=300000", "./tests/crash")],
      counts: "bun",
      when: () => existsSync("tests/crash"),
    },
  ],
];

function attribute(tag: string, name: string): number {
  return Number(new RegExp(`\\b${name}="(\\d+)"`).exec(tag)?.[1] ?? Number.NaN);
}

/** The counts in a JUnit file as Bun writes it, and the names of the tests that were skipped. */
export function readJunit(xml: string): { count: Count; skippedNames: string[] } {
  const root = /<testsuites [^>]*>/.exec(xml)?.[0] ?? "";
  const [tests, failed, skipped] = ["tests", "failures", "skipped"].map((n) => attribute(root, n));
  if (tests === undefined || failed === undefined || skipped === undefined || Number.isNaN(tests)) {
    throw new Error("no <testsuites> with counts");
  }
  const cases = xml.matchAll(/<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g);
  const skippedNames = [...cases].filter((c) => c[2]?.includes("<skipped")).map((c) => c[1] ?? "");
  return { count: { passed: tests - failed - skipped, failed, skipped }, skippedNames };
}

/** Our C tests: a program that passes says `NAME: ok`, a check that fails is a line `FAILED what`. */
export function readPrograms(output: string): Count {
  const passed = output.match(/^[\w-]+: ok$/gm)?.length ?? 0;
  const failed = output.match(/^FAILED /gm)?.length ?? 0;
  if (passed + failed === 0) throw new Error("no line `NAME: ok` or `FAILED`");
  return { passed, failed, skipped: 0 };
}

/** What `node --test` says at its end, in either of its reporters' forms. */
export function readNodeTest(output: string): Count {
  const value = (word: string): number =>
    Number(new RegExp(`^(?:#|ℹ) ${word} (\\d+)$`, "m").exec(output)?.[1] ?? Number.NaN);
  const count = { passed: value("pass"), failed: value("fail"), skipped: value("skipped") };
  if (Number.isNaN(count.passed)) throw new Error("no count in the output of node --test");
  return count;
}

async function runSuite(suite: Suite): Promise<Count> {
  const started = performance.now();
  const child = Bun.spawn([...suite.command], {
    stdin: "ignore",
    stdout: Bun.file(`${LOGS}/${suite.name}.log`),
    stderr: Bun.file(`${LOGS}/${suite.name}.err`),
    env: { ...process.env, NO_COLOR: "1" },
  });
  const status = await child.exited;
  const output = ["log", "err"]
    .map((end) => readFileSync(`${LOGS}/${suite.name}.${end}`, "utf8"))
    .join("");
  let count: Count = { passed: 0, failed: status === 0 ? 0 : 1, skipped: 0 };
  let note = "";
  try {
    if (suite.counts === "bun") {
      const result = readJunit(readFileSync(`${LOGS}/${suite.name}.xml`, "utf8"));
      count = result.count;
      const unexpected = result.skippedNames.filter((name) => !EXPECTED_SKIPS.has(name));
      if (process.env["CI"] === "true" && unexpected.length > 0) {
        count.failed += unexpected.length;
        count.skipped -= unexpected.length;
        note = `skips that CI does not expect: ${unexpected.join("; ")}`;
      }
    } else if (suite.counts === "node") count = readNodeTest(output);
    else if (suite.counts === "programs") count = readPrograms(output);
  } catch (error) {
    note = `the runner's count is missing: ${(error as Error).message}`;
    count = { passed: 0, failed: 1, skipped: 0 };
  }
  // An error outside of any test: the runner fails although no test did.
  if (status !== 0 && count.failed === 0) count.failed = 1;

  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const numbers =
    suite.counts === "check"
      ? count.failed === 0
        ? "ok"
        : "failed"
      : `${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`;
  console.log(`${suite.name.padEnd(14)}${numbers} (${seconds} s)`);
  if (count.failed > 0) console.log(failureText(suite, output));
  for (const reason of new Set(output.match(/^skip: .*$/gm) ?? [])) console.log(`  ${reason}`);
  if (note !== "") console.log(`  ${note}`);
  return count;
}

/** What a person needs of a failed suite's output: all of a check's, the failing tests of a runner's. */
function failureText(suite: Suite, output: string): string {
  const lines = output.split("\n").filter((line) => !/^\((?:pass|skip)\)/.test(line));
  const shown = lines.length > 300 ? ["...", ...lines.slice(-300)] : lines;
  return [`  $ ${suite.command.join(" ")}`, ...shown].join("\n  ");
}

if (import.meta.main) {
  const only = (process.argv[2] ?? "").split(",").filter((word) => word !== "");
  const known = LANES.flat().map((suite) => suite.name);
  const wrong = only.find((name) => !known.includes(name));
  if (wrong !== undefined) {
    console.error(`test: there is no suite "${wrong}"; there are ${known.join(", ")}`);
    process.exit(2);
  }
  rmSync(LOGS, { recursive: true, force: true });
  mkdirSync(LOGS, { recursive: true });
  const total: Count = { passed: 0, failed: 0, skipped: 0 };
  await Promise.all(
    LANES.map(async (lane) => {
      for (const suite of lane) {
        if (only.length > 0 && !only.includes(suite.name)) continue;
        if (suite.when !== undefined && !suite.when()) continue;
        const count = await runSuite(suite);
        total.passed += count.passed;
        total.failed += count.failed;
        total.skipped += count.skipped;
      }
    }),
  );
  if (total.passed === 0 && total.failed === 0 && only.length === 0) total.failed = 1;
  const summary = `${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`;
  writeFileSync("build/test-summary", `${summary}\n`);
  console.log(summary);
  process.exit(total.failed === 0 ? 0 : 1);
}
