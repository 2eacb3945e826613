// SPDX-License-Identifier: Apache-2.0
// AC Identifier and AC Name. Like the reference, consecutive separators pass although the formal grammar
// of the specification forbids them. (appc.md sections 1.1 and 1.2)

import { ManifestError } from "./errors.ts";
import type { ACIdentifier, ACName } from "./types.ts";

// Made once: these are looked at six times for each pod that is listed.
const IDENTIFIER = /^[a-z0-9](?:[a-z0-9\-._~/]*[a-z0-9])?$/;
const NAME = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;

/** The rule that `text` breaks, `extra` being what may stand between letters and digits. */
function broken(kind: "ACIdentifier" | "ACName", text: string, extra: string): ManifestError {
  const fail = (rule: string) => new ManifestError("NAME_INVALID", `${kind} ${rule}`);
  if (text === "") return fail("cannot be empty");
  const edges = [text.charAt(0), text.charAt(text.length - 1)];
  const clean = [...text].every((c) => /[a-z0-9]/.test(c) || extra.includes(c));
  return clean && edges.some((edge) => extra.includes(edge))
    ? fail("must start and end with only lower case alphanumeric characters")
    : fail(`must contain only lower case alphanumeric characters plus "${extra}"`);
}

export function parseACIdentifier(text: string): ACIdentifier {
  if (!IDENTIFIER.test(text)) throw broken("ACIdentifier", text, "-._~/");
  return text as ACIdentifier;
}

export function parseACName(text: string): ACName {
  if (!NAME.test(text)) throw broken("ACName", text, "-");
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
