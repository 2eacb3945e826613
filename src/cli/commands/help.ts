// SPDX-License-Identifier: Apache-2.0
// `rkt help [COMMAND]`.
import type { Run } from "../command.ts";
import { findCommand } from "../find-command.ts";
import { helpText } from "../help.ts";

export const run: Run = ({ context, args, commands }) => {
  context.out(helpText(findCommand(args, commands).command, commands.all()));
  return 0;
};
