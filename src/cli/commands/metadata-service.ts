// SPDX-License-Identifier: Apache-2.0
// `rkt metadata-service` (rkt-cli §5.16): answers pods that were started with --mds-register.
import { RktError } from "../../lib/errors.ts";
import type { Run } from "../command.ts";
import type { metadataServiceFlags } from "../flag-sets.ts";

const MAX_PORT = 65_535;

export const run: Run<typeof metadataServiceFlags> = async ({ context, flags }) => {
  const port = flags["listen-port"];
  if (port < 1 || port > MAX_PORT) {
    throw new RktError("USAGE", `--listen-port must be between 1 and ${MAX_PORT}, got ${port}`);
  }
  // biome-ignore lint/style/noRestrictedImports: the lazy command table's way to a service
  const { startMetadataService } = await import("../../services/metadata/start.ts");
  return startMetadataService({
    dataDir: await context.dataDir(),
    port,
    env: context.env,
    report: context.reporter,
  });
};
