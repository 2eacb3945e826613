// SPDX-License-Identifier: Apache-2.0
// `make bench [ONLY=start,features,enter,memory,fetch,images,list,help,network]`: speed and size beside the peers, on this machine, in this
// run. Prints medians and ratios; build/bench.json holds the same for programs. Needs root.

import { writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { measureEnter, measureFeatures } from "./features.ts";
import { measureFetch } from "./fetch.ts";
import { measureImages } from "./images.ts";
import { measureHelp, measureList } from "./list.ts";
import { measureMemory } from "./memory.ts";
import { measureNetwork } from "./network.ts";
import { formatReport, type Report } from "./report.ts";
import { buildHelpers, must, quiet } from "./sample.ts";
import { measureStart } from "./start.ts";
import { newWorld, type World } from "./world.ts";

const MEASUREMENTS: Readonly<Record<string, (world: World) => Report[] | Promise<Report[]>>> = {
  help: measureHelp,
  start: measureStart,
  features: measureFeatures,
  enter: measureEnter,
  memory: measureMemory,
  list: measureList,
  fetch: measureFetch,
  network: measureNetwork,
  images: measureImages,
};

function versions(): string {
  const list = must([
    "dpkg-query",
    "-W",
    "-f",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query fills it in
    "${Package} ${Version}\\n",
    "crun",
    "runc",
    "podman",
    "bubblewrap",
  ]);
  return list.trim().split("\n").join(", ");
}

const only = (process.argv[2] ?? "").split(",").filter((word) => word !== "");
const wrong = only.find((name) => MEASUREMENTS[name] === undefined);
if (wrong !== undefined) {
  console.error(`bench: there is no "${wrong}"; there are ${Object.keys(MEASUREMENTS).join(", ")}`);
  process.exit(2);
}
if (process.getuid?.() !== 0) {
  console.error("bench: must run as root: it starts pods and mounts file systems");
  process.exit(1);
}

buildHelpers();
using world = await newWorld();
const machine = `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, Linux ${release()}; ${versions()}`;
console.log(`${machine}\n`);
const reports: Report[] = [];
let undisturbed = true;
for (const [name, measure] of Object.entries(MEASUREMENTS)) {
  if (only.length > 0 && !only.includes(name)) continue;
  // Quick figures only show that all of it works.
  undisturbed = process.env["RKT_BENCH_QUICK"] !== "1" && (await quiet()) && undisturbed;
  for (const report of await measure(world)) {
    reports.push(report);
    console.log(formatReport(report));
  }
}
writeFileSync(
  "build/bench.json",
  `${JSON.stringify({ machine, undisturbed, reports }, null, 2)}\n`,
);
