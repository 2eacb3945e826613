// SPDX-License-Identifier: Apache-2.0
// Flags as Go's standard parser reads them, for the tools beside rkt: one dash or two, `-flag value` or `-flag=value`,
// booleans without a value; the first other word ends them.
import { parseGoBool } from "../lib/go-bool.ts";
import { quote } from "../lib/text.ts";
import { own } from "./flags.ts";

export interface GoFlag {
  readonly default: boolean | string;
  readonly usage: string;
}

export type GoFlagSpecs = Readonly<Record<string, GoFlag>>;

type Widen<T> = T extends boolean ? boolean : string;

export type GoFlagValues<S extends GoFlagSpecs> = {
  readonly [K in keyof S]: Widen<S[K]["default"]>;
};

export type GoFlagResult<S extends GoFlagSpecs> =
  | { readonly kind: "parsed"; readonly values: GoFlagValues<S>; readonly args: readonly string[] }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly sentence: string };

export function parseGoFlags<S extends GoFlagSpecs>(
  words: readonly string[],
  specs: S,
): GoFlagResult<S> {
  const values: Record<string, boolean | string> = {};
  for (const [name, spec] of Object.entries(specs)) values[name] = spec.default;
  const rest = [...words];
  for (let word = rest[0]; word !== undefined; word = rest[0]) {
    if (word === "-" || !word.startsWith("-")) break;
    rest.shift();
    if (word === "--") break;
    const [, name = "", value] = /^--?([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === "" || name.startsWith("-")) return wrong(`bad flag syntax: ${word}`);
    const spec = own<GoFlag>(specs, name);
    if (spec === undefined) {
      if (name === "help" || name === "h") return { kind: "help" };
      return wrong(`flag provided but not defined: -${name}`);
    }
    if (typeof spec.default === "boolean") {
      const flag = parseGoBool(value ?? "true");
      if (flag === undefined) {
        return wrong(`invalid boolean value ${quote(value ?? "")} for -${name}: parse error`);
      }
      values[name] = flag;
    } else {
      const text = value ?? rest.shift();
      if (text === undefined) return wrong(`flag needs an argument: -${name}`);
      values[name] = text;
    }
  }
  // One value of the default's type for each name, and no other.
  return { kind: "parsed", values: values as GoFlagValues<S>, args: rest };
}

/** The list of flags, as Go prints it. */
export function goFlagUsage(specs: GoFlagSpecs): string {
  return Object.entries(specs)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { default: value, usage }]) => {
      const type = typeof value === "string" ? " string" : "";
      const shown = typeof value === "string" && value !== "" ? ` (default ${quote(value)})` : "";
      return `  -${name}${type}\n    \t${usage}${shown}\n`;
    })
    .join("");
}

function wrong(sentence: string): { readonly kind: "wrong"; readonly sentence: string } {
  return { kind: "wrong", sentence };
}
