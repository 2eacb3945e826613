// SPDX-License-Identifier: Apache-2.0
// Typed access to the fields of a parsed configuration file. As in Go's decoder, a missing field and null
// are the empty value; a field of another type is an error.

export type Fields = Readonly<Record<string, unknown>>;

/** What is wrong with a file's content; the reader adds which file. */
export class FieldError extends Error {}

/** No configuration needs longer lists or strings. */
const MAX_ITEMS = 1000;
const MAX_LENGTH = 16 * 1024;

export function fieldsOf(value: unknown, what: string): Fields {
  if (value === null || value === undefined) return {};
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new FieldError(`${what} must be an object`);
  }
  return value as Fields;
}

export function text(fields: Fields, name: string): string {
  return checkText(fields[name] ?? "", name);
}

export function textList(fields: Fields, name: string): readonly string[] {
  const value = fields[name] ?? [];
  if (!Array.isArray(value)) throw new FieldError(`${name} must be a list of strings`);
  if (value.length > MAX_ITEMS) throw new FieldError(`${name} has more than ${MAX_ITEMS} entries`);
  return value.map((item: unknown) => checkText(item, name));
}

/** Control characters are refused: the values end up in HTTP headers and paths. */
function checkText(value: unknown, name: string): string {
  if (typeof value !== "string") throw new FieldError(`${name} must be a string`);
  if (value.length > MAX_LENGTH) throw new FieldError(`${name} is too long`);
  if (/[\x00-\x1f\x7f]/.test(value)) {
    throw new FieldError(`${name} must not contain control characters`);
  }
  return value;
}
