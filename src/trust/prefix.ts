// SPDX-License-Identifier: Apache-2.0
// A trust prefix is also a path below prefix.d: this is where it becomes one.
import { quote } from "../lib/text.ts";
import { TrustError } from "./errors.ts";

declare const checked: unique symbol;

/** An AC identifier (appc.md) that is safe and short enough as a relative path. */
export type TrustPrefix = string & { readonly [checked]: true };

/** Stands for a name that is not known yet. Not a prefix, so it is none that somebody could trust. */
export const ANY_NAME = "any image";

const MAX_LENGTH = 1024;
/** A file name on Linux (NAME_MAX). */
const MAX_COMPONENT = 255;

const AC_IDENTIFIER = /^[a-z0-9](?:[a-z0-9\-._~/]*[a-z0-9])?$/;

/**
 * Checks the form of a prefix. AC identifiers as they are in use may hold `..` and `//`: harmless in a
 * name, not in a path, so both are refused here.
 */
export function parsePrefix(text: string): TrustPrefix {
  if (text.includes("://")) {
    throw new TrustError("PREFIX_INVALID", "--prefix must not contain a URL scheme, omit http://");
  }
  const why = flaw(text);
  if (why !== undefined) {
    throw new TrustError("PREFIX_INVALID", `invalid prefix ${quote(text)}: ${why}`);
  }
  return text as TrustPrefix;
}

/** A prefix in a sentence. */
export function showPrefix(prefix: string): string {
  return prefix === ANY_NAME ? prefix : quote(prefix);
}

function flaw(text: string): string | undefined {
  if (text === "") return "it is empty";
  if (text.length > MAX_LENGTH) return `it is longer than ${MAX_LENGTH} characters`;
  if (!AC_IDENTIFIER.test(text)) {
    return "it must be made of lower-case letters, digits, and -._~/ between them";
  }
  for (const part of text.split("/")) {
    if (part === "" || part === "." || part === "..") {
      return "it must not have empty parts, or . or .. as a part";
    }
    if (part.length > MAX_COMPONENT) {
      return `a part of it is longer than ${MAX_COMPONENT} characters`;
    }
  }
  return undefined;
}
