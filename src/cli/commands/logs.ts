// SPDX-License-Identifier: Apache-2.0
// `rkt logs` (not in rkt): what the apps of a pod printed, while it runs and after. Output of one app is
// given back as it was, stdout and stderr apart; of several, each line says whose it is.
import { findPod, resolvePod } from "../../pod/directory.ts";
import { AppLog, logTime, nextRecord } from "../../pod/logs.ts";
import { readPodManifest } from "../../pod/read.ts";
import { isFinished } from "../../pod/state.ts";
import { selectApp } from "../../stage0/select-app.ts";
import type { Run } from "../command.ts";
import type { logsFlags, Since } from "../flag-sets.ts";

const POLL_MS = 100;

export const run: Run<typeof logsFlags> = async ({ context, flags, args, usage }) => {
  const [uuid] = args;
  if (uuid === undefined || args.length > 1) return usage();
  const dataDir = await context.dataDir();
  const pod = resolvePod(dataDir, uuid);
  const manifest = readPodManifest(pod);
  const apps =
    flags.app === ""
      ? manifest.apps.map((app) => app.name)
      : [selectApp(manifest, flags.app, "logs").name];
  const since = sinceTime(flags.since);
  const logs = apps.map((app) => new AppLog(pod, app));
  const prefixed = apps.length > 1;
  const open = new Map<string, boolean>();
  const print = () => {
    for (let r = nextRecord(logs, since); r !== undefined; r = nextRecord(logs, since)) {
      const stream = `${r.app} ${r.stream}`;
      const start = prefixed && open.get(stream) !== true ? `${r.app}: ` : "";
      const end = r.partial ? "" : "\n";
      open.set(stream, r.partial);
      const bytes = Buffer.concat([Buffer.from(start), r.text, Buffer.from(end)]);
      context.host.write(r.stream === "stderr" ? 2 : 1, bytes);
    }
  };
  try {
    for (;;) {
      const now = findPod(dataDir, pod.uuid);
      print();
      // Looked at before printing: what came until then has been printed now.
      if (!flags.follow || now === undefined || isFinished(now.state)) return 0;
      await Bun.sleep(POLL_MS);
    }
  } finally {
    for (const log of logs) log[Symbol.dispose]();
  }
};

function sinceTime(since: Since): string {
  switch (since.kind) {
    case "start":
      return "";
    case "ago":
      return logTime(new Date(Date.now() - since.milliseconds));
    case "at":
      return logTime(since.time);
  }
}
