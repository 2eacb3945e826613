// SPDX-License-Identifier: Apache-2.0
// What is written whole or not at all is written under a temporary name first, which means nothing to people.

/** The error of a system call on `temporary`, as if it had been on the file that was asked for. */
export function forOutput(error: unknown, temporary: string, output: string): unknown {
  if (!(error instanceof Error) || !("path" in error) || error.path !== temporary) return error;
  return Object.assign(error, { path: output, dest: undefined });
}
