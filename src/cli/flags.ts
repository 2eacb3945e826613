// SPDX-License-Identifier: Apache-2.0
// GNU-style flags as rkt's parser (spf13/pflag) reads them, and the small vocabulary that declares them.
// A flag is data plus a `set` function; help, completion and man pages read the data (rkt-cli §1.1).
import { formatDuration, parseDuration } from "../lib/duration.ts";
import { parseGoBool } from "../lib/go-bool.ts";
import { quote } from "../lib/text.ts";
import type * as FlagValuesModule from "./flag-values.ts";
import { UsageError } from "./usage-error.ts";

/** What a flag's `set` may look at. */
export interface SetContext {
  readonly cwd: string;
  /** Names of the flags given so far. */
  readonly given: ReadonlySet<string>;
  /** Parsers that need the appc types; loaded only for a command that has a flag with `lazy`. */
  readonly parsers: typeof FlagValuesModule | undefined;
}

export interface FlagSpec<T = unknown> {
  readonly type: "bool" | "string" | "int" | "duration" | "value";
  readonly usage: string;
  /** The value when the flag is not given. */
  readonly initial: T;
  /** The default as help shows it. */
  readonly shown: string;
  /** The text that a bare `--flag` stands for; such a flag takes its value only after `=`. */
  readonly implied?: string | undefined;
  /** Word for the value in man pages: FILE, UUID, K=V. */
  readonly metavar: string;
  /** Words that completion may offer. */
  readonly words?: readonly string[] | undefined;
  readonly short?: string | undefined;
  readonly hidden?: boolean;
  /** The advice behind "Flag --x has been deprecated, ". */
  readonly deprecated?: string | undefined;
  /** The flag exists only while this environment variable is a true Go boolean. */
  readonly experiment?: string | undefined;
  /** `set` uses `context.parsers`. */
  readonly lazy?: boolean;
  /** The value after one more occurrence of the flag with the text `text`. Throws an Error with the reason. */
  set(previous: T, text: string, context: SetContext): T;
}

export type FlagSpecs = Readonly<Record<string, FlagSpec>>;
/** Makes the flags of a command; only the command that was chosen calls its own. */
export type FlagSet = () => FlagSpecs;
type ValueOf<S> = S extends FlagSpec<infer T> ? T : never;
/** The typed values of a set of flags, by flag name. */
export type FlagValues<F extends FlagSpecs> = { readonly [K in keyof F]: ValueOf<F[K]> };

/** What a declaration may say beyond the kind of flag and its usage. */
type Extras<T = never> = Partial<
  Pick<
    FlagSpec,
    | "hidden"
    | "deprecated"
    | "experiment"
    | "short"
    | "metavar"
    | "words"
    | "lazy"
    | "shown"
    | "implied"
  >
> & { readonly initial?: T };

// One literal and one spread for each flag: a start makes some eighty of them. The functions that set a value
// are shared, not closures.

/** `--b`, `--b=false`; Go's twelve spellings. */
export function bool(usage: string, extras: Extras<boolean> = {}): FlagSpec<boolean> {
  return {
    type: "bool",
    usage,
    initial: false,
    shown: extras.initial === true ? "true" : "false",
    implied: "true",
    metavar: "BOOL",
    set: setBool,
    ...extras,
  };
}

function setBool(_: boolean, text: string): boolean {
  const value = parseGoBool(text);
  if (value === undefined) {
    throw new Error("neither true nor false");
  }
  return value;
}

/** Any text; the last one given counts. */
export function text(usage: string, extras: Extras<string> = {}): FlagSpec<string> {
  return {
    type: "string",
    usage,
    initial: "",
    shown: extras.initial ?? "",
    metavar: "VALUE",
    set: setText,
    ...extras,
  };
}

function setText(_: string, value: string): string {
  return value;
}

/** A decimal integer. */
export function int(usage: string, extras: Extras<number> = {}): FlagSpec<number> {
  return {
    type: "int",
    usage,
    initial: 0,
    shown: String(extras.initial ?? 0),
    metavar: "N",
    set: setInt,
    ...extras,
  };
}

function setInt(_: number, value: string): number {
  if (!/^[+-]?[0-9]+$/.test(value)) {
    throw new Error("not a whole number");
  }
  const number = Number(value);
  if (!Number.isSafeInteger(number)) {
    throw new Error("the number is too large");
  }
  return number;
}

/** A Go duration; the value is in milliseconds. */
export function duration(usage: string, initial: number, extras: Extras = {}): FlagSpec<number> {
  return {
    type: "duration",
    usage,
    shown: formatDuration(initial),
    metavar: "DURATION",
    set: (_, value) => parseDuration(value),
    ...extras,
    initial,
  };
}

/** One word of a fixed list. */
export function choice<const W extends string, I extends string = W>(
  usage: string,
  words: readonly W[],
  initial: I,
  extras: Extras & { readonly refuse?: (text: string) => string } = {},
): FlagSpec<W | I> {
  const { refuse, ...rest } = extras;
  return {
    type: "value",
    usage,
    shown: initial,
    metavar: words.join("|"),
    words,
    ...rest,
    initial,
    set: (_, value) => {
      const word = words.find((candidate) => candidate === value);
      if (word === undefined) {
        throw new Error(
          refuse?.(value) ?? `unknown value ${quote(value)}, must be one of: ${words.join(", ")}`,
        );
      }
      return word;
    },
  };
}

/** A flag with a parser of its own. `set` gets the value so far: lists and "already set" live there. */
export function parsed<T>(
  usage: string,
  initial: T,
  set: FlagSpec<T>["set"],
  extras: Extras = {},
): FlagSpec<T> {
  return { type: "value", usage, shown: "", metavar: "VALUE", ...extras, initial, set };
}

/** A repeatable flag whose values need `flag-values.ts`. */
export function many<T>(
  usage: string,
  parse: (text: string, parsers: typeof FlagValuesModule, previous: readonly T[]) => T,
  extras: Extras = {},
): FlagSpec<readonly T[]> {
  return {
    type: "value",
    usage,
    initial: [],
    shown: "",
    metavar: "VALUE",
    lazy: true,
    set: (previous, value, { parsers }) => [...previous, parse(value, needed(parsers), previous)],
    ...extras,
  };
}

/** A repeatable flag of plain texts. */
export function texts(usage: string, extras: Extras = {}): FlagSpec<readonly string[]> {
  return {
    type: "value",
    usage,
    initial: [],
    shown: "",
    metavar: "VALUE",
    set: addText,
    ...extras,
  };
}

function addText(previous: readonly string[], value: string): readonly string[] {
  return [...previous, value];
}

/** The lazily loaded parsers; to be absent here is a bug in the command table. */
export function needed(parsers: typeof FlagValuesModule | undefined): typeof FlagValuesModule {
  if (parsers === undefined)
    throw new TypeError("a flag with lazy parsers was declared without `lazy`");
  return parsers;
}

/** One flag token (and its value) as it stands on the command line. */
export interface ScannedFlag {
  readonly name: string;
  readonly spec: FlagSpec;
  readonly text: string;
  /** Index of the first word after the flag and its value. */
  readonly next: number;
}

const HELP: FlagSpec<boolean> = bool("help for this command", { short: "h" });
/** `--help`, which every command has. */
export const HELP_FLAGS = { help: HELP } as const satisfies FlagSpecs;

/**
 * Reads the flag at `words[index]`, which must start with "-" and be neither "-" nor "--".
 * Throws UsageError: unknown flag, bad syntax, missing value. The value is not looked at.
 */
export function scanFlag(words: readonly string[], index: number, specs: FlagSpecs): ScannedFlag {
  const word = words[index] ?? "";
  if (!word.startsWith("--")) return scanShort(word, index, specs);
  const body = word.slice(2);
  if (body.startsWith("-") || body.startsWith("=")) {
    throw new UsageError("FLAG_SYNTAX", `bad flag syntax: ${clean(word)}`);
  }
  const equals = body.indexOf("=");
  const name = equals < 0 ? body : body.slice(0, equals);
  const flag = own(specs, name);
  if (flag === undefined) throw new UsageError("FLAG_UNKNOWN", `unknown flag: --${clean(name)}`);
  if (equals >= 0) return { name, spec: flag, text: body.slice(equals + 1), next: index + 1 };
  if (flag.implied !== undefined) return { name, spec: flag, text: flag.implied, next: index + 1 };
  const value = words[index + 1];
  if (value === undefined) {
    throw new UsageError("FLAG_VALUE_MISSING", `flag needs an argument: --${clean(name)}`);
  }
  return { name, spec: flag, text: value, next: index + 2 };
}

function scanShort(word: string, index: number, specs: FlagSpecs): ScannedFlag {
  const letter = word.slice(1, 2);
  const entry = Object.entries(specs).find(([, flag]) => flag.short === letter);
  if (entry === undefined) {
    throw new UsageError(
      "FLAG_UNKNOWN",
      `unknown shorthand flag: '${clean(letter)}' in ${clean(word)}`,
    );
  }
  const [name, flag] = entry;
  // The only short flag is -h, a boolean: "-h" or "-h=false".
  const rest = word.slice(2);
  if (rest !== "" && !rest.startsWith("=")) {
    const other = rest.slice(0, 1);
    throw new UsageError(
      "FLAG_UNKNOWN",
      `unknown shorthand flag: '${clean(other)}' in ${clean(word)}`,
    );
  }
  return { name, spec: flag, text: rest === "" ? "true" : rest.slice(1), next: index + 1 };
}

/** `set` with pflag's sentence around its reason. */
export function applyFlag(flag: ScannedFlag, previous: unknown, context: SetContext): unknown {
  try {
    return flag.spec.set(previous, flag.text, context);
  } catch (cause) {
    // A TypeError or the like is a bug of ours and must not hide as bad input.
    if (!(cause instanceof Error) || cause instanceof TypeError || cause instanceof RangeError)
      throw cause;
    throw new UsageError(
      "FLAG_VALUE_INVALID",
      `invalid argument ${quote(flag.text)} for --${flag.name}: ${cause.message}`,
    );
  }
}

export interface ParsedFlags {
  readonly values: Readonly<Record<string, unknown>>;
  readonly given: ReadonlySet<string>;
  /** Words that are not flags, in order. */
  readonly rest: readonly string[];
  /** Names of the deprecated flags used, in order. */
  readonly deprecated: readonly string[];
}

/**
 * Parses `words`. With `interspersed` false the first word that is not a flag, or `--` itself, ends the
 * flags and stays in `rest`; otherwise flags may stand anywhere and a lone `--` (dropped) ends them.
 */
export function parseFlags(
  words: readonly string[],
  specs: FlagSpecs,
  options: Omit<SetContext, "given"> & { readonly interspersed: boolean },
): ParsedFlags {
  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(specs)) values[name] = flag.initial;
  const given = new Set<string>();
  const context: SetContext = { cwd: options.cwd, parsers: options.parsers, given };
  const rest: string[] = [];
  const deprecated: string[] = [];
  let index = 0;
  while (index < words.length) {
    const word = words[index] ?? "";
    if (!isFlagWord(word)) {
      if (!options.interspersed || word === "--") {
        rest.push(...words.slice(options.interspersed ? index + 1 : index));
        break;
      }
      rest.push(word);
      index++;
      continue;
    }
    const flag = scanFlag(words, index, specs);
    values[flag.name] = applyFlag(flag, values[flag.name], context);
    given.add(flag.name);
    if (flag.spec.deprecated !== undefined) deprecated.push(flag.name);
    index = flag.next;
  }
  return { values, given, rest, deprecated };
}

/** True for "-x" and "--x"; "-" and "--" are words. */
export function isFlagWord(word: string): boolean {
  return word.length > 1 && word.startsWith("-") && word !== "--";
}

export function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function clean(word: string): string {
  return quote(word).slice(1, -1);
}
