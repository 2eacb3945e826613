// SPDX-License-Identifier: Apache-2.0
import type { Run } from "../command.ts";
import type { RUN_PREPARED_FLAGS } from "../flag-sets.ts";
import { UsageError } from "../usage-error.ts";

export const run: Run<typeof RUN_PREPARED_FLAGS> = () => {
  throw new UsageError("COMMAND_UNAVAILABLE", "not available in this version");
};
