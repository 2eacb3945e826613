// SPDX-License-Identifier: Apache-2.0
// Reading the documents of signatures: JSON from strangers, of which nothing is believed to be there.
import { TrustError } from "../errors.ts";

export type Json = Readonly<Record<string, unknown>>;

/** A JSON object; `what` names the document in the error. */
export function parseJson(bytes: Uint8Array | string, what: string): Json {
  const text = typeof bytes === "string" ? bytes : decode(bytes, what);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw malformed(`${what} is not valid JSON`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw malformed(`${what} is not a JSON object`);
  }
  return value as Json;
}

function decode(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw malformed(`${what} is not UTF-8`);
  }
}

/** What is at the end of a path of object fields and list indexes. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  let current = value;
  for (const step of path) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, step)) {
      return undefined;
    }
    current = (current as Readonly<Record<string | number, unknown>>)[step];
  }
  return current;
}

export function textAt(value: unknown, ...path: readonly (string | number)[]): string | undefined {
  const found = at(value, ...path);
  return typeof found === "string" ? found : undefined;
}

/** Bytes of strict base64; undefined when it is something else. */
export function base64(text: string | undefined): Buffer | undefined {
  if (text === undefined) return undefined;
  return /^[A-Za-z0-9+/]+={0,2}$/.test(text) && text.length % 4 === 0
    ? Buffer.from(text, "base64")
    : undefined;
}

/** The first certificate or key of a PEM text, as DER. */
export function pemToDer(pem: string): Buffer | undefined {
  const start = /-----BEGIN [A-Z ]{1,40}-----/.exec(pem);
  if (start === null) return undefined;
  const from = start.index + start[0].length;
  const to = pem.indexOf("-----END ", from);
  return to < 0 ? undefined : base64(pem.slice(from, to).replaceAll(/\s/g, ""));
}

export function malformed(sentence: string): TrustError {
  return new TrustError("SIGNATURE_MALFORMED", sentence);
}
