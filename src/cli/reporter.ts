// SPDX-License-Identifier: Apache-2.0
// How the library's messages reach stderr: `MODULE: text` lines and the download bar.
import { type Reporter, silentReporter } from "../lib/reporter.ts";
import { makeProgress } from "./progress.ts";
import { cleanLines } from "./report.ts";

export interface ReporterHost {
  isTTY(fd: 0 | 1 | 2): boolean;
  columns(): number;
  now(): Date;
  write(fd: 1 | 2, text: string): void;
}

export function makeReporter(
  host: ReporterHost,
  options: { readonly commandName: string; readonly debug: boolean },
): Reporter {
  const line = (module: string, text: string): void => {
    host.write(2, `${module === "" ? options.commandName : module}: ${cleanLines(text)}\n`);
  };
  return {
    line,
    debug: options.debug ? line : () => undefined,
    progress(label, total) {
      if (!host.isTTY(2)) return silentReporter.progress(label, total);
      return makeProgress(label, total, {
        columns: host.columns(),
        now: () => host.now().getTime(),
        write: (text) => host.write(2, text),
      });
    },
  };
}
