// SPDX-License-Identifier: Apache-2.0
// Commands on a terminal of their own.

/** The runtime gives a terminal its size only after the child runs, which would see 0 by 0 and then a change. */
const AROUND = `until [ "$(stty size)" = "$1" ]; do sleep 0.01; done; shift
"$@"; status=$?; read -r _; exit "$status"`;

/**
 * A terminal whose last words are not lost: the runtime stops reading when its child ends, so the shell around the
 * command stays until it is told to go.
 */
export function onTerminal(
  words: readonly string[],
  options: {
    readonly cols?: number;
    readonly rows?: number;
    readonly env?: Record<string, string>;
  } = {},
) {
  const { env, cols = 80, rows = 24 } = options;
  let seen = "";
  const size = `${rows} ${cols}`;
  const child = Bun.spawn(["sh", "-c", AROUND, "sh", size, ...words], {
    ...(env === undefined ? {} : { env }),
    terminal: {
      cols,
      rows,
      data: (_, data) => {
        seen += Buffer.from(data).toString();
      },
    },
  });
  return {
    child,
    seen: () => seen,
    async until(text: string): Promise<void> {
      while (!seen.includes(text)) await Bun.sleep(2);
    },
    /** The command's status. */
    async end(): Promise<number> {
      let ended = false;
      const status = child.exited.finally(() => {
        ended = true;
      });
      // What is typed before the command has gone is the command's own, so one line break may not do.
      while (!ended) {
        child.terminal?.write("\n");
        await Bun.sleep(20);
      }
      child.terminal?.close();
      return await status;
    },
  };
}
