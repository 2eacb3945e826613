// SPDX-License-Identifier: Apache-2.0
// `rkt export` (rkt-cli §5.12).
import { resolve } from "node:path";
import { resolvePod } from "../../pod/directory.ts";
import { checkExportTarget, exportPod } from "../../stage0/export.ts";
import type { Run } from "../command.ts";
import type { exportFlags } from "../flag-sets.ts";

export const run: Run<typeof exportFlags> = async ({ context, flags, args, usage }) => {
  const [uuid, output] = args;
  if (uuid === undefined || output === undefined || args.length > 2) return usage();
  checkExportTarget(output);
  const dataDir = await context.dataDir();
  exportPod(resolvePod(dataDir, uuid), {
    dataDir,
    app: flags.app === "" ? undefined : flags.app,
    output: resolve(context.cwd, output),
    overwrite: flags.overwrite,
  });
  return 0;
};
