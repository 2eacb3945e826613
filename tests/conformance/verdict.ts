// SPDX-License-Identifier: Apache-2.0
// What the validator says, as rows of a table: each program prints `MODE OK`, or `MODE FAIL` and a line on stderr for
// each thing that is wrong.

interface Check {
  readonly mode: "prestart" | "main" | "sidekick" | "poststop";
  readonly what: string;
  /** The validator's line when it does not hold. */
  readonly complaint: RegExp;
}

const CHECKS: readonly Check[] = [
  { mode: "prestart", what: "runs first, in the app's root", complaint: /"\/\w+"/ },
  { mode: "main", what: "runs next, in the same root", complaint: /"\/(prestart|main|poststop)"/ },
  { mode: "main", what: "PATH", complaint: /^PATH/ },
  { mode: "main", what: "the working directory", complaint: /working directory/ },
  { mode: "main", what: "the image's environment", complaint: /^environment/ },
  { mode: "main", what: "AC_APP_NAME", complaint: /^AC_APP_NAME/ },
  { mode: "main", what: "the volume is mounted, and writable", complaint: /"\/db"/ },
  {
    mode: "main",
    what: "metadata: the pod's manifest, UUID, annotations",
    complaint: /AC_METADATA_URL|\/pod\/(manifest|uuid|annotations)|UUID|pod (annotations|manifest)/,
  },
  {
    mode: "main",
    what: "metadata: each app's manifest, image ID, annotations",
    complaint: /\/apps\/|image id|^ace-validator\S* annotations|"ace-validator.*manifest/,
  },
  { mode: "main", what: "metadata: signs and verifies", complaint: /\/pod\/hmac/ },
  { mode: "main", what: "the volume is the sidekick's too", complaint: /\/db\/(main|sidekick)/ },
  {
    mode: "sidekick",
    what: "the volume is the main app's too",
    complaint: /\/db\/(main|sidekick)/,
  },
  { mode: "poststop", what: "runs last, in the same root", complaint: /"\/\w+"/ },
];

export type Answer = "ok" | "FAILED" | "?";

export interface Verdict {
  /** In the order of CHECKS; "?" where a failed program says nothing about it: it may have ended before. */
  readonly answers: readonly Answer[];
  readonly complaints: readonly string[];
  /** All that it has against the executor is that an answer took longer than its 100 ms: the machine is busy. */
  readonly onlySlow: boolean;
}

export function verdict(stdout: string, stderr: string): Verdict {
  const complaints = [...stderr.matchAll(/==> (.*)/g)].map((match) => match[1] ?? "");
  const answers = CHECKS.map(({ mode, complaint }): Answer => {
    if (new RegExp(`^${mode} OK$`, "m").test(stdout)) return "ok";
    return complaints.some((text) => complaint.test(text)) ? "FAILED" : "?";
  });
  const slow = /Client\.Timeout|deadline exceeded/;
  const onlySlow = complaints.length > 0 && complaints.every((text) => slow.test(text));
  return { answers, complaints, onlySlow };
}

/** A row for each check, a column for each way to run the pod. */
export function table(verdicts: ReadonlyMap<string, Verdict>): string {
  const head = ["program", "validated", ...verdicts.keys()];
  const rows = CHECKS.map(({ mode, what }, index) => [
    mode,
    what,
    ...[...verdicts.values()].map(({ answers }) => answers[index] ?? "?"),
  ]);
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
