// SPDX-License-Identifier: Apache-2.0
// A line for each request, as long as there are not too many of them: what a pod does must not fill the journal.

const LINES_PER_SECOND = 50;
const MAX_PATH = 200;

export interface RequestLog {
  line(text: string): void;
}

export function limitedLog(print: (text: string) => void, now: () => number): RequestLog {
  let second = 0;
  let lines = 0;
  return {
    line(text) {
      const current = Math.floor(now() / 1000);
      if (current !== second) {
        if (lines > LINES_PER_SECOND) {
          print(`${lines - LINES_PER_SECOND} more requests are not shown`);
        }
        second = current;
        lines = 0;
      }
      lines++;
      if (lines <= LINES_PER_SECOND) print(text);
    },
  };
}

/** As the reference wrote it, but for the token: whoever reads the journal is not the pod. */
export function requestLine(method: string, path: string, status: number): string {
  const shown = path.length > MAX_PATH ? `${path.slice(0, MAX_PATH)}...` : path;
  return `${method} ${shown} - ${status}`;
}
