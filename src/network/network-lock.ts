// SPDX-License-Identifier: Apache-2.0
// One lock for what all pods of the machine share: addresses, ports, rules.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Lock, lockFile } from "../sys/lock.ts";

export const RUN_DIRECTORY = "/run/rkt";

export function lockNetworks(): Lock {
  mkdirSync(RUN_DIRECTORY, { recursive: true, mode: 0o755 });
  return lockFile(join(RUN_DIRECTORY, "network.lock"), "exclusive", 0o600);
}
