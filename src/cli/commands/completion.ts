// SPDX-License-Identifier: Apache-2.0
// `rkt completion bash` (rkt-cli §5.16).
import { quote } from "../../lib/text.ts";
import { bashCompletion } from "../bash-completion.ts";
import type { Run } from "../command.ts";
import { UsageError } from "../usage-error.ts";

export const run: Run = ({ context, args, commands }) => {
  const [shell] = args;
  const remedy = "rkt completion bash";
  if (shell === undefined) {
    throw new UsageError("ARGUMENT_MISSING", "shell type is not specified", { remedy });
  }
  if (args.length > 1) {
    throw new UsageError("ARGUMENT_INVALID", "too many arguments, only shell type is expected");
  }
  if (shell !== "bash") {
    const name = quote(shell).slice(1, -1);
    throw new UsageError("ARGUMENT_INVALID", `'${name}' shell is not supported`, { remedy });
  }
  context.out(bashCompletion(commands.all()));
  return 0;
};
