// SPDX-License-Identifier: Apache-2.0
// What a measurement found, as a table for people and as JSON for programs.

export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: "ms" | "s" | "MB" | "MB/s" | "µs";
  /** Lowest and highest sample. */
  readonly range?: readonly [number, number];
  readonly note?: string;
}

export interface Target {
  readonly text: string;
  readonly met: boolean;
}

export interface Report {
  readonly title: string;
  readonly rows: readonly Row[];
  /** The row that ratios are of. */
  readonly reference?: string;
  /** What could not be measured on this machine, and why. */
  readonly missing?: Readonly<Record<string, string>>;
  readonly targets?: readonly Target[];
}

function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function formatReport(report: Report): string {
  const reference = report.rows.find((row) => row.name === report.reference);
  const table = report.rows.map((row) => [
    row.name,
    `${digits(row.value)} ${row.unit}`,
    row.range === undefined ? "" : `${digits(row.range[0])} – ${digits(row.range[1])}`,
    reference === undefined ? "" : `${(reference.value / row.value).toFixed(2)} x`,
    row.note ?? "",
  ]);
  const head = ["", "median", "range", reference === undefined ? "" : `${reference.name} is`, ""];
  const all = [head, ...table];
  const widths = head.map((_, column) =>
    Math.max(...all.map((row) => Bun.stringWidth(row[column] ?? ""))),
  );
  const lines = all.map((row) =>
    row
      .map((cell, column) => {
        const space = " ".repeat((widths[column] ?? 0) - Bun.stringWidth(cell));
        return column === 0 || column === 4 ? cell + space : space + cell;
      })
      .join("  ")
      .trimEnd(),
  );
  const targets = (report.targets ?? []).map(
    (each) => `  ${each.met ? "met" : "NOT MET"}: ${each.text}`,
  );
  const missing = Object.entries(report.missing ?? {}).map(
    ([name, why]) => `  ${name}: not measured: ${why.split("\n").at(-1)}`,
  );
  return [`${report.title}`, ...lines.map((line) => `  ${line}`), ...missing, ...targets, ""].join(
    "\n",
  );
}
