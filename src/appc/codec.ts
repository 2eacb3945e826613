// SPDX-License-Identifier: Apache-2.0
// Small combinators that describe a JSON document once: how it is read, what is refused, in which order and
// when its fields are written. They follow the rules of the reference (Go's encoding/json): null is absent,
// absent is the zero value, unknown fields are ignored, field names match in any case, the last one wins.

import { locate, ManifestError } from "./errors.ts";
import type { StringMap } from "./types.ts";

export interface Codec<T> {
  /** The checked value of what `JSON.parse` gave; undefined stands for an absent field. */
  decode(value: unknown): T;
  /** What goes to `JSON.stringify`; undefined leaves the field out. */
  encode(value: T): unknown;
}

export const string: Codec<string> = {
  decode(value) {
    if (value === undefined || value === null) return "";
    // A lone surrogate has no UTF-8 form: like the reference, replace it when reading.
    if (typeof value === "string") return value.toWellFormed();
    throw mismatch("a string", value);
  },
  encode: same,
};

export const boolean: Codec<boolean> = {
  decode(value) {
    if (value === undefined || value === null) return false;
    if (typeof value === "boolean") return value;
    throw mismatch("true or false", value);
  },
  encode: same,
};

export const integer: Codec<number> = {
  decode(value) {
    if (value === undefined || value === null) return 0;
    if (Number.isSafeInteger(value)) return value as number;
    throw mismatch("an integer", value);
  },
  encode: same,
};

export const unsigned: Codec<number> = refine(integer, (value) => {
  if (value >= 0) return value;
  throw mismatch("an integer that is not negative", value);
});

/** A string that `parse` checks and brands. */
export function text<T extends string>(parse: (text: string) => T): Codec<T> {
  return { decode: (value) => parse(string.decode(value)), encode: same };
}

/** An empty list is written as null, as Go writes it. */
export function list<T>(item: Codec<T>): Codec<readonly T[]> {
  return {
    decode(value) {
      if (value === undefined || value === null) return [];
      if (!Array.isArray(value)) throw mismatch("a list", value);
      const result: T[] = [];
      try {
        for (const element of value) result.push(item.decode(element ?? null));
      } catch (error) {
        throw locate(error, result.length);
      }
      return result;
    },
    encode: (values) => (values.length === 0 ? null : values.map((value) => item.encode(value))),
  };
}

/** String to string, written in the order of the keys. */
export const stringMap: Codec<StringMap> = {
  decode(value) {
    if (value === undefined || value === null) return {};
    const strings = Object.entries(asObject(value)).map(([key, element]) => {
      try {
        return [key, string.decode(element)] as const;
      } catch (error) {
        throw locate(error, key);
      }
    });
    return Object.fromEntries(strings);
  },
  encode: (map) => Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1))),
};

type Fields<T> = { readonly [K in keyof Required<T>]: Codec<T[K]> };

/** Every field of T, in the order in which they are written. */
export function object<T extends object>(fields: Fields<T>): Codec<T> {
  // Made when they are first needed: a start declares some thirty objects and reads a few.
  let names: readonly (keyof T & string)[] | undefined;
  let folded: ReadonlyMap<string, keyof T> | undefined;
  const inOrder = () => {
    names ??= Object.keys(fields) as (keyof T & string)[];
    return names;
  };
  const inAnyCase = (key: string) => {
    folded ??= new Map(inOrder().map((name) => [name.toLowerCase(), name]));
    return folded.get(key.toLowerCase());
  };
  return {
    decode(value) {
      const source = asObject(value);
      const found: Partial<Record<keyof T, unknown>> = {};
      for (const key of Object.keys(source)) {
        const name = Object.hasOwn(fields, key) ? (key as keyof T) : inAnyCase(key);
        if (name !== undefined) found[name] = source[key];
      }
      const result: Partial<T> = {};
      let step = "";
      try {
        for (const name of inOrder()) {
          step = name;
          const decoded = fields[name].decode(found[name]);
          if (decoded !== undefined) result[name] = decoded;
        }
      } catch (error) {
        throw locate(error, step);
      }
      return result as T;
    },
    encode(value) {
      const result: Record<string, unknown> = {};
      for (const name of inOrder()) {
        const encoded = fields[name].encode(value[name]);
        if (encoded !== undefined) result[name] = encoded;
      }
      return result;
    },
  };
}

export function optional<T>(codec: Codec<T>): Codec<T | undefined> {
  return {
    decode: (value) => (value === undefined || value === null ? undefined : codec.decode(value)),
    encode: (value) => (value === undefined ? undefined : codec.encode(value)),
  };
}

/** Absent is an error with this sentence. */
export function required<T>(codec: Codec<T>, message: string): Codec<T> {
  return {
    decode(value) {
      if (value === undefined) throw new ManifestError("MANIFEST_INVALID", message);
      return codec.decode(value);
    },
    encode: (value) => codec.encode(value),
  };
}

/** Left out when it is empty, zero or false. */
export function omitEmpty<T>(codec: Codec<T>): Codec<T> {
  return {
    decode: (value) => codec.decode(value),
    encode(value) {
      const encoded = codec.encode(value);
      if (!encoded) return undefined;
      return typeof encoded === "object" && Object.keys(encoded).length === 0 ? undefined : encoded;
    },
  };
}

/** A further check, which may also narrow or complete the value. */
export function refine<T, U extends T>(codec: Codec<T>, check: (value: T) => U): Codec<U> {
  return {
    decode: (value) => check(codec.decode(value)),
    encode: (value) => codec.encode(value),
  };
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw mismatch("an object", value);
  return value as Readonly<Record<string, unknown>>;
}

export function mismatch(wanted: string, found: unknown): ManifestError {
  const name = Array.isArray(found)
    ? "a list"
    : typeof found === "object"
      ? "an object"
      : typeof found === "boolean" || typeof found === "number"
        ? String(found)
        : `a ${typeof found}`;
  return new ManifestError("MANIFEST_INVALID", `expected ${wanted}, found ${name}`);
}

function same<T>(value: T): T {
  return value;
}
