// SPDX-License-Identifier: Apache-2.0
// Tab-aligned columns as Go's text/tabwriter makes them with minwidth 0, tabwidth 8, padding 1 and tabs:
// a column is as wide as its widest cell among the neighbouring lines that have it; the last cell of a
// line belongs to no column. Every table and help text of rkt has this shape.

const TAB = 8;

/** `text` has lines whose cells end in a tab; returns it aligned. */
export function alignTabs(text: string): string {
  const lines = text.split("\n").map((line) => line.split("\t"));
  const widths: number[][] = lines.map(() => []);
  measure(lines, widths, 0, lines.length, 0);
  return lines
    .map((cells, row) => cells.map((cell, i) => cell + padding(cell, widths[row]?.[i])).join(""))
    .join("\n");
}

/** Finds the blocks of column `column` in lines [from, to) and gives each of their cells its width. */
function measure(
  lines: readonly (readonly string[])[],
  widths: number[][],
  from: number,
  to: number,
  column: number,
): void {
  const has = (row: number): boolean => column < (lines[row]?.length ?? 0) - 1;
  let row = from;
  while (row < to) {
    if (!has(row)) {
      row++;
      continue;
    }
    const start = row;
    let width = 0;
    for (; row < to && has(row); row++) {
      width = Math.max(width, displayWidth(lines[row]?.[column] ?? "") + 1);
    }
    const whole = Math.ceil(width / TAB) * TAB;
    for (let i = start; i < row; i++) widths[i]?.push(whole);
    measure(lines, widths, start, row, column + 1);
  }
}

function padding(cell: string, width: number | undefined): string {
  if (width === undefined) return "";
  return "\t".repeat(Math.ceil((width - displayWidth(cell)) / TAB));
}

/** Go counts characters, not columns of the terminal. */
function displayWidth(cell: string): number {
  if (!/[\ud800-\udfff]/.test(cell)) return cell.length;
  let count = 0;
  for (const _ of cell) count++;
  return count;
}

/** A table of rows; a tab or line break inside a cell would move the columns and becomes a space. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const text = rows
    .map((row) => {
      const cells = row.join("\t");
      // Most rows have nothing to replace, and then joining them is all.
      return !/[\n\r\v\f]/.test(cells) && cells.split("\t").length === row.length
        ? cells
        : row.map((cell) => cell.replace(/[\t\n\r\v\f]/g, " ")).join("\t");
    })
    .join("\n");
  return `${alignTabs(text)}\n`;
}
