// SPDX-License-Identifier: Apache-2.0
// `rkt config` (rkt-cli §5.16): the configuration after all directories had their say.
import { toJson } from "../../config/index.ts";
import type { Run } from "../command.ts";
import type { configFlags } from "../flag-sets.ts";
import { formatJson } from "../json.ts";

export const run: Run<typeof configFlags> = async ({ context, flags }) => {
  const format = flags["pretty-print"] ? "json-pretty" : "json";
  context.out(`${formatJson(toJson(await context.config()), format)}\n`);
  return 0;
};
