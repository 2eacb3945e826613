// SPDX-License-Identifier: Apache-2.0
import type { App } from "../appc/index.ts";

/** What stage1 does today; the rest is said aloud, because an image relies on it (appc.md §6.6). */
const ENFORCED: ReadonlySet<string> = new Set([
  "os/linux/capabilities-retain-set",
  "os/linux/capabilities-remove-set",
  "os/linux/no-new-privileges",
  "os/linux/oom-score-adj",
]);

/** Names of the isolators of an app that nothing enforces, each once. */
export function unenforcedIsolators(app: App): string[] {
  const names = new Set(app.isolators.map((isolator) => isolator.name as string));
  return [...names].filter((name) => !ENFORCED.has(name));
}
