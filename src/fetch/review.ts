// SPDX-License-Identifier: Apache-2.0
// The question before a key is trusted, on a terminal (rkt-cli.md §3).
import type { Review } from "./context.ts";

export interface ReviewTerminal {
  /** To the person, as it is. */
  write(text: string): void;
  /** A line without its end; undefined when there are no more. */
  readLine(): string | undefined;
}

/** Asks until the answer is exactly `yes` or `no`; the end of the input means no. */
export function reviewOn(terminal: ReviewTerminal): NonNullable<Review> {
  return async ({ ask = "Are you sure you want to trust this key (yes/no)?" }) => {
    terminal.write(`${ask}\n`);
    for (;;) {
      const answer = terminal.readLine();
      if (answer === undefined) return false;
      if (answer === "yes") return true;
      if (answer === "no") return false;
      terminal.write("Please enter 'yes' or 'no'\n");
    }
  };
}
