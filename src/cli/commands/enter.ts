// SPDX-License-Identifier: Apache-2.0
// `rkt enter` (rkt-cli §5.9).

import { quote } from "../../lib/text.ts";
import { resolvePod } from "../../pod/directory.ts";
import { enterPod } from "../../stage0/enter.ts";
import type { Run } from "../command.ts";
import type { enterFlags } from "../flag-sets.ts";
import { UsageError } from "../usage-error.ts";

const DEFAULT_COMMAND = "/bin/bash";

export const run: Run<typeof enterFlags> = async ({ context, flags, args, usage }) => {
  const [uuid, ...argv] = args;
  if (uuid === undefined) return usage();
  const [program] = argv;
  if (program?.startsWith("-") === true) {
    // No program is called so, and the words after the UUID are not ours.
    throw new UsageError("ARGUMENT_INVALID", `cannot execute ${quote(program)}: not a program`, {
      remedy: "flags go before the UUID: rkt enter --app=NAME UUID PROGRAM",
    });
  }
  const dataDir = await context.dataDir();
  const pod = resolvePod(dataDir, uuid);
  if (argv.length === 0) {
    context.reporter.line("", `no command specified, assuming "${DEFAULT_COMMAND}"`);
    argv.push(DEFAULT_COMMAND);
  }
  return enterPod(pod, {
    dataDir,
    commandName: context.commandName,
    app: flags.app === "" ? undefined : flags.app,
    user: flags.user === "" ? undefined : flags.user,
    group: flags.group === "" ? undefined : flags.group,
    argv,
    term: context.env["TERM"],
    terminal: context.isTTY(0),
    insecure: context.globals.insecure,
  });
};
