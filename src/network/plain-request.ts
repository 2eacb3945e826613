// SPDX-License-Identifier: Apache-2.0
// What nearly every pod asks for: one built-in network, on a machine that configures none.
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { NetworkRequest } from "./net-list.ts";

/** False: the configuration directories say what the names mean. */
export function isPlainRequest(
  requests: readonly NetworkRequest[],
  places: { readonly localConfig: string; readonly userConfig: string },
): boolean {
  const [first, ...others] = requests;
  if (others.length > 0) return false;
  if (first?.name !== "default" && first?.name !== "default-restricted") return false;
  return ![places.localConfig, places.userConfig].some(
    (directory) => directory !== "" && existsSync(join(directory, "net.d")),
  );
}
