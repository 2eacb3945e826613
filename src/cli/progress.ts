// SPDX-License-Identifier: Apache-2.0
// The download bar: `Downloading ACI: [====   ] 1.2 MB/3.4 MB` (rkt-cli §2.2). Drawn in place, at most ten
// times a second, never wider than the terminal.
import type { Progress } from "../lib/reporter.ts";
import { stripControl } from "../lib/text.ts";

export interface Terminal {
  readonly columns: number;
  /** Milliseconds. */
  now(): number;
  write(text: string): void;
}

const INTERVAL = 100;
const DEFAULT_COLUMNS = 80;
const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"] as const;

/** Decimal units, three significant digits: "1.2 MB". */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let index = 0;
  // 999.5 would print as "1e+03" with three significant digits.
  while (value >= 999.5 && index < UNITS.length - 1) {
    value /= 1000;
    index++;
  }
  return `${Number(value.toPrecision(3))} ${UNITS[index]}`;
}

/** One frame of the bar; no longer than `columns`, one column left free so that nothing wraps. */
export function drawBar(
  label: string,
  done: number,
  total: number | undefined,
  columns: number,
): string {
  const head = `Downloading ${stripControl(label)}: `;
  if (total === undefined) {
    return clip(`${head}${formatBytes(done)} of an unknown total size`, columns - 1);
  }
  const tail = ` ${formatBytes(done)}/${formatBytes(total)}`;
  const width = columns - 1 - head.length - tail.length - 2;
  if (width < 3) return clip(head + tail.trimStart(), columns - 1);
  const share = total === 0 ? 1 : Math.min(1, done / total);
  const filled = Math.round(width * share);
  return `${head}[${"=".repeat(filled)}${" ".repeat(width - filled)}]${tail}`;
}

function clip(text: string, width: number): string {
  return text.slice(0, Math.max(width, 0));
}

export function makeProgress(
  label: string,
  total: number | undefined,
  terminal: Terminal,
): Progress {
  let last = Number.NEGATIVE_INFINITY;
  let done = 0;
  let finished = false;
  // A pseudo-terminal whose size nobody has set says 0: every frame would be empty, and the end a blank line.
  const columns = terminal.columns > 1 ? terminal.columns : DEFAULT_COLUMNS;
  const draw = (): void => {
    // Back to the first column, the frame, and what is left of a longer one erased.
    terminal.write(`\r${drawBar(label, done, total, columns)}\x1b[K`);
  };
  return {
    update(bytes) {
      done = bytes;
      const now = terminal.now();
      if (finished || now - last < INTERVAL) return;
      last = now;
      draw();
    },
    finish() {
      if (finished) return;
      finished = true;
      draw();
      terminal.write("\n");
    },
  };
}
