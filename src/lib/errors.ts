// SPDX-License-Identifier: Apache-2.0
// The one error class of Rocket. A RktError is an expected failure: it has a sentence for the user, a
// stable code for programs and, where there is one, a remedy. Any other Error is a bug.

export interface RktErrorOptions {
  /** What the user can do now; printed on a line of its own as `  try: REMEDY`. */
  readonly remedy?: string | undefined;
  /** Facts for JSON output and tests (path, image ID, errno, operation). */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
  /** The underlying error; its innermost message is printed after the sentence. */
  readonly cause?: unknown;
}

/**
 * An expected failure. `message` says what could not be done, to what and why: lower case, no full stop,
 * outside strings quoted with `quote`. It is printed as `COMMAND: message: root cause`.
 */
export class RktError<Code extends string = string> extends Error {
  readonly code: Code;
  readonly remedy: string | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: Code, message: string, options: RktErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.remedy = options.remedy;
    this.details = options.details;
  }
}

/** The errors from the outermost to the root cause; never loops. */
export function errorChain(error: unknown): Error[] {
  const chain: Error[] = [];
  let current: unknown = error;
  while (current instanceof Error && !chain.includes(current)) {
    chain.push(current);
    current = current.cause;
  }
  return chain;
}

/** True when `error` is a system error (ours or node's) with one of these errno names. */
export function isErrno(error: unknown, ...names: readonly string[]): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    names.includes(error.code)
  );
}
