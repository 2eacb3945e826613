// SPDX-License-Identifier: Apache-2.0
// `rkt list` (rkt-cli §5.4).
import { errorChain } from "../../lib/errors.ts";
import { formatTime, humanizeAge } from "../../lib/humanize.ts";
import { stripControl } from "../../lib/text.ts";
import { describePod, type PodView, viewPod } from "../../pod/describe.ts";
import { listFolder, listPods } from "../../pod/directory.ts";
import type { Run } from "../command.ts";
import type { listFlags } from "../flag-sets.ts";
import { formatJson } from "../json.ts";
import { problemReport } from "../problem-report.ts";
import { formatTable } from "../table.ts";

const FOLDERS = ["run", "exited-garbage", "prepare", "prepared"] as const;
/** `sha512-` and twelve digits. */
const SHORT_ID = 19;

export const run: Run<typeof listFlags> = async ({ context, flags }) => {
  const dataDir = await context.dataDir();
  const views: PodView[] = [];
  const problems: string[] = [];
  for (const folder of FOLDERS) {
    for (const name of listFolder(dataDir, folder).unrecognized) {
      problems.push(`unrecognized entry ${JSON.stringify(stripControl(name))} in ${folder}`);
    }
  }
  const refs = listPods(dataDir, FOLDERS).sort((a, b) => (a.uuid < b.uuid ? -1 : 1));
  for (const ref of refs) {
    try {
      views.push(viewPod(ref));
    } catch (error) {
      const messages = errorChain(error).map(({ message }) => stripControl(message));
      problems.push(`pod ${ref.uuid}: ${messages.join(": ")}`);
    }
  }
  if (flags.format !== "") {
    context.out(`${formatJson(views.map(describePod), flags.format)}\n`);
  } else {
    const rows = views.flatMap((view) => podRows(view, flags.full));
    if (!flags["no-legend"]) rows.unshift(legend(flags.full));
    context.out(formatTable(rows));
  }
  if (problems.length > 0) context.err(problemReport("pods", problems));
  return 0;
};

function legend(full: boolean): string[] {
  const columns = ["UUID", "APP", "IMAGE NAME", "STATE", "CREATED", "STARTED", "NETWORKS"];
  return full ? columns.toSpliced(3, 0, "IMAGE ID") : columns;
}

/** The pod's row with its first app, then one row for each other app. */
function podRows(view: PodView, full: boolean): string[][] {
  const time = (date: Date | undefined) =>
    date === undefined ? "" : full ? formatTime(date) : humanizeAge(date, new Date());
  const uuid = full ? view.ref.uuid : view.ref.uuid.slice(0, 8);
  const pod = [
    view.ref.state,
    time(view.created),
    time(view.started),
    view.networks.map(({ netName, ip }) => `${netName}:ip4=${ip}`).join(", "),
  ];
  const apps = (view.manifest?.apps ?? []).map(({ name, image }) => {
    const version = image.labels.find((label) => label.name === "version")?.value;
    const imageName = image.name === undefined ? "--" : image.name;
    const shown = version === undefined ? imageName : `${imageName}:${stripControl(version)}`;
    return full ? [name, shown, (image.id ?? "").slice(0, SHORT_ID)] : [name, shown];
  });
  const [first = full ? ["-", "-", "-"] : ["-", "-"], ...others] = apps;
  return [[uuid, ...first, ...pod], ...others.map((app) => ["", ...app, "", "", "", ""])];
}
