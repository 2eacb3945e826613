// SPDX-License-Identifier: Apache-2.0
// The question that every start asks: is there an isolator that needs more than stage1 does on every machine? What is
// done then is in isolators.ts, which a plain start does not load.
import type { Isolator } from "../appc/index.ts";

/** Capabilities, system calls, identity and the OOM score: in the plan of every app, on every kernel. */
const PLAIN: ReadonlySet<string> = new Set([
  "os/linux/capabilities-retain-set",
  "os/linux/capabilities-remove-set",
  "os/linux/no-new-privileges",
  "os/linux/oom-score-adj",
  "os/linux/seccomp-retain-set",
  "os/linux/seccomp-remove-set",
]);

export const isPlain = (isolator: Isolator): boolean => PLAIN.has(isolator.name);

/** True when isolators.ts has nothing to say or to do about this pod. */
export function hasPlainIsolators(pod: {
  readonly manifest: { readonly isolators: readonly Isolator[] };
  readonly apps: readonly { readonly app: { readonly isolators: readonly Isolator[] } }[];
}): boolean {
  if (pod.manifest.isolators.length > 0) return false;
  return pod.apps.every(({ app }) => app.isolators.every(isPlain));
}
