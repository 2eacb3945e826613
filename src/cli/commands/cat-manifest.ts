// SPDX-License-Identifier: Apache-2.0
// `rkt cat-manifest` (rkt-cli §5.11): a pod's manifest.
import { prettyJson, serializePodManifest } from "../../appc/index.ts";
import { readPodManifest } from "../../pod/read.ts";
import type { Run } from "../command.ts";
import type { catManifestFlags } from "../flag-sets.ts";
import { onePod } from "../pod-arguments.ts";

export const run: Run<typeof catManifestFlags> = async ({ context, flags, args, usage }) => {
  const pod = onePod(await context.dataDir(), args, flags["uuid-file"]);
  if (pod === undefined) return usage();
  const json = serializePodManifest(readPodManifest(pod));
  context.out(`${flags["pretty-print"] ? prettyJson(json) : json}\n`);
  return 0;
};
