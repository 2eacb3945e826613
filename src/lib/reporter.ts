// SPDX-License-Identifier: Apache-2.0
// How the layers below the command line say something to the person while they work.

/** A download's bar. `update` takes the bytes done so far; `finish` ends the line. */
export interface Progress {
  update(done: number): void;
  finish(): void;
}

export interface Reporter {
  /** One line on stderr, `MODULE: text`; module "" stands for the command's own name. */
  line(module: string, text: string): void;
  /** As `line`, but only with --debug. */
  debug(module: string, text: string): void;
  /** A bar on a terminal, nothing elsewhere. `total` is in bytes, undefined when unknown. */
  progress(label: string, total: number | undefined): Progress;
}

export const silentReporter: Reporter = {
  line: () => undefined,
  debug: () => undefined,
  progress: () => ({ update: () => undefined, finish: () => undefined }),
};
