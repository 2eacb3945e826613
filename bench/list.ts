// SPDX-License-Identifier: Apache-2.0
// The commands that only look: `rkt list` with a thousand pods, `rkt --help`; beside an empty program of
// the same runtime, which is what they cannot be faster than. And `rkt gc` of the thousand.
import { randomUUID } from "node:crypto";
import { cpSync, readdirSync } from "node:fs";
import type { Report, Row } from "./report.ts";
import { type Contender, interleave, median, must, type Sample, sample } from "./sample.ts";
import { IMAGE, type World } from "./world.ts";

function row(name: string, samples: readonly Sample[]): Row {
  const values = samples.map((each) => each.milliseconds);
  return {
    name,
    value: median(values),
    unit: "ms",
    range: [Math.min(...values), Math.max(...values)],
  };
}

function emptyProgram(world: World): string {
  const source = world.dir.write("empty.ts", "export {};\n");
  const path = world.dir.join("empty");
  must([
    process.execPath,
    "build",
    "--compile",
    "--minify",
    "--bytecode",
    "--format=esm",
    source,
    "--outfile",
    path,
  ]);
  return path;
}

function measure(title: string, contenders: readonly Contender[], target: number): Report {
  const samples = interleave(contenders, 20, 100);
  const rows = contenders.map(({ name }) => row(name, samples.get(name) ?? []));
  const value = rows[0]?.value ?? Number.NaN;
  return {
    title,
    rows,
    targets: [{ text: `at or under ${target} ms: ${value.toFixed(1)}`, met: value <= target }],
  };
}

export function measureHelp(world: World): Report[] {
  const empty = emptyProgram(world);
  return [
    measure(
      "A command that only prints",
      [
        { name: "rkt --help", command: () => world.rkt("--help") },
        { name: "rkt version", command: () => world.rkt("version") },
        { name: "an empty Bun executable", command: () => [empty] },
      ],
      8,
    ),
  ];
}

export function measureList(world: World): Report[] {
  must(world.rkt("run", "--net=none", IMAGE));
  const run = world.dir.join("data", "pods", "run");
  const [pod = ""] = readdirSync(run);
  for (let count = 1; count < 1000; count++) {
    cpSync(`${run}/${pod}`, `${run}/${randomUUID()}`, {
      recursive: true,
      preserveTimestamps: true,
      verbatimSymlinks: true,
    });
  }
  const listed = must(world.rkt("list", "--no-legend")).trim().split("\n").length;
  if (listed !== 1000) throw new Error(`rkt list shows ${listed} pods instead of 1000`);
  const list = measure(
    "A thousand exited pods",
    [{ name: "rkt list", command: () => world.rkt("list") }],
    40,
  );
  const gc = sample(world.rkt("gc", "--grace-period=0s"));
  return [
    {
      ...list,
      rows: [...list.rows, { ...row("rkt gc of them all", [gc]), note: "one sample" }],
      targets: [
        ...(list.targets ?? []),
        {
          text: `rkt gc at or under 1 s: ${(gc.milliseconds / 1000).toFixed(2)}`,
          met: gc.milliseconds <= 1000,
        },
      ],
    },
  ];
}
