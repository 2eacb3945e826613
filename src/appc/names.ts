// SPDX-License-Identifier: Apache-2.0
// AC Identifier and AC Name. Like the reference, consecutive separators pass although the formal grammar
// of the specification forbids them. (appc.md sections 1.1 and 1.2)

import { ManifestError } from "./errors.ts";
import type { ACIdentifier, ACName } from "./types.ts";

function check(
  text: string,
  kind: "ACIdentifier" | "ACName",
  invalid: RegExp,
  extra: string,
): void {
  const fail = (rule: string): never => {
    throw new ManifestError("NAME_INVALID", `${kind} ${rule}`);
  };
  if (text === "") fail("cannot be empty");
  if (invalid.test(text))
    fail(`must contain only lower case alphanumeric characters plus "${extra}"`);
  if (extra.includes(text.charAt(0)) || extra.includes(text.charAt(text.length - 1))) {
    fail("must start and end with only lower case alphanumeric characters");
  }
}

export function parseACIdentifier(text: string): ACIdentifier {
  check(text, "ACIdentifier", /[^a-z0-9\-._~/]/, "-._~/");
  return text as ACIdentifier;
}

export function parseACName(text: string): ACName {
  check(text, "ACName", /[^a-z0-9-]/, "-");
  return text as ACName;
}

/**
 * The nearest AC Identifier to `text`. Illegal characters become `_`, which is itself illegal in an AC
 * Identifier (the reference's rule): the result may still be refused by `parseACIdentifier`.
 */
export function sanitizeACIdentifier(text: string): string {
  return sanitize(text, /[^a-z0-9\-._~/]/gu, "_", "-._~/");
}

/** The nearest AC Name to `text`: illegal characters become `-`, none stay at the edges. */
export function sanitizeACName(text: string): ACName {
  return parseACName(sanitize(text, /[^a-z0-9-]/gu, "-", "-"));
}

function sanitize(text: string, invalid: RegExp, substitute: string, edges: string): string {
  const clean = text.toLowerCase().replace(invalid, substitute);
  let start = 0;
  let end = clean.length;
  while (start < end && edges.includes(clean.charAt(start))) start++;
  while (end > start && edges.includes(clean.charAt(end - 1))) end--;
  if (start === end) {
    throw new ManifestError("NAME_INVALID", "must contain at least one valid character");
  }
  return clean.slice(start, end);
}
