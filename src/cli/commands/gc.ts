// SPDX-License-Identifier: Apache-2.0
// `rkt gc` (rkt-cli §5.8), and what processes that died have left in the store.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { collectPods } from "../../stage0/gc.ts";
import { collectNetworks } from "../../stage0/networks.ts";
import type { Run } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT_FAILURE } from "../exit-status.ts";
import type { gcFlags } from "../flag-sets.ts";
import { reportFailure } from "../pod-arguments.ts";

export const run: Run<typeof gcFlags> = async ({ context, flags }) => {
  const dataDir = await context.dataDir();
  const failures = await collectPods({
    dataDir,
    gracePeriod: flags["grace-period"],
    expirePrepared: flags["expire-prepared"],
    markOnly: flags["mark-only"],
    report: context.reporter,
    print: (line) => context.out(`${line}\n`),
  });
  for (const { error } of failures) reportFailure(context, error);
  if (flags["mark-only"]) return failures.length === 0 ? 0 : EXIT_FAILURE;
  const { localConfig, userConfig } = context.globals;
  const left = await collectNetworks({ localConfig, userConfig, dataDir });
  for (const { error } of left) reportFailure(context, error);
  await removeLeftovers(context, dataDir);
  return failures.length + left.length === 0 ? 0 : EXIT_FAILURE;
};

/** Downloads that broke off can be resumed for as long as `image gc` keeps them by default. */
const KEEP_DOWNLOADS_MS = 24 * 60 * 60 * 1000;

/** Images and trees in use are not touched: it needs no lock but those of what it removes. */
async function removeLeftovers(context: Context, dataDir: string): Promise<void> {
  // A machine without a store gets none by collecting garbage.
  if (!existsSync(join(dataDir, "cas"))) return;
  const store = await context.store();
  store.removeStale({ now: context.now(), gracePeriodMs: KEEP_DOWNLOADS_MS });
}
