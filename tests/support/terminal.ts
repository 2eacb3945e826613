// SPDX-License-Identifier: Apache-2.0
// Commands on a terminal of their own.

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
  const { env, ...size } = options;
  let seen = "";
  const child = Bun.spawn(
    ["sh", "-c", '"$@"; status=$?; read -r _; exit "$status"', "sh", ...words],
    {
      ...(env === undefined ? {} : { env }),
      terminal: {
        ...size,
        data: (_, data) => {
          seen += Buffer.from(data).toString();
        },
      },
    },
  );
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
