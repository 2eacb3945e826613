// SPDX-License-Identifier: Apache-2.0
// What a command is. A command is data (name, brief, flags, args) in command-table.ts plus a lazily loaded
// module with one function, `run`, that gets everything it needs and returns the exit status.
//
// How to write src/cli/commands/NAME.ts:
//
//   import type { Run } from "../command.ts";
//   import type { listFlags } from "../flag-sets.ts";          // type only: flag-sets.ts has the flags
//
//   export const run: Run<typeof listFlags> = async ({ context, flags, args, usage }) => {
//     if (args.length > 1) return usage();                       // usage on stdout, status 254
//     const store = await context.store();                       // opened on first use
//     context.reporter.line("", "something to say");             // stderr: `list: something to say`
//     context.reporter.line("image", "…");                       // stderr: `image: …`
//     if (flags.full) …;  flags["no-legend"] …                   // typed, by the flag's own name
//     context.out("text\n");                                     // stdout, synchronous, complete
//     return 0;
//   };
//
// - Errors are thrown (RktError and subclasses); report.ts prints `list: message: root cause`, status 254.
//   A cause of yours: `throw new PodError(…, { cause, remedy })`. Nothing in a command calls process.exit.
// - `run` may be synchronous (returns number) or asynchronous, or never return (execve).
// - `given("volume")`: was the flag on the command line at all.
// - Root is checked before `run` (table: `root: true`); the number of arguments too, where the table says
//   `arity`; what the spec words otherwise is the command's own business.
// - run, prepare, fetch (table: `images`): `args` is empty, `images` holds the image arguments of §4 as
//   ImageRequest (image-args.ts), and `mounts` the --mount flags given before the first image.
// - Durations are milliseconds. --insecure-options and the other global flags: context.globals.
// - context.dataDir() is §1.2's data directory (flag, `paths` configuration, default; symlinks resolved).
import type { Context } from "./context.ts";
import type { FlagSet, FlagSpecs, FlagValues } from "./flags.ts";
import type { ImageRequest, MountRequest } from "./image-args.ts";

export interface Invocation<F extends FlagSet = FlagSet> {
  readonly context: Context;
  readonly flags: FlagValues<ReturnType<F>>;
  /** Words that are not flags. */
  readonly args: readonly string[];
  /** Image arguments, for the commands that take them. */
  readonly images: readonly ImageRequest[];
  /** --mount before the first image: for every app. */
  readonly mounts: readonly MountRequest[];
  /** Every command that this environment knows, for help and completion. */
  readonly commands: CommandTable;
  /** Was the flag on the command line? */
  given(name: string): boolean;
  /** Prints the command's usage on stdout and returns 254. */
  usage(): number;
}

export type Run<F extends FlagSet = FlagSet> = (
  invocation: Invocation<F>,
) => number | Promise<number>;

export interface CommandModule<F extends FlagSet = FlagSet> {
  readonly run: Run<F>;
}

/** Which words complete an argument. */
export type Completes = "pods" | "images" | "files" | "commands" | "shells" | "none";

export interface Command {
  /** As typed: "list", "image list". The last word is what stands before the colon in its messages. */
  readonly name: string;
  /** One line, for the list of commands. */
  readonly brief: string;
  /** Further paragraphs, for help and the man page. */
  readonly description: string;
  /** The argument form behind the name, "" for none. */
  readonly args: string;
  readonly flags: FlagSpecs;
  /** Checked before `run`; otherwise usage on stdout, 254. */
  readonly arity: { readonly min: number; readonly max: number } | undefined;
  /** Needs euid 0. */
  readonly root: boolean;
  /** False: the first word that is not a flag ends the flags. */
  readonly interspersed: boolean;
  /** The words after the flags follow the image-argument grammar. */
  readonly images: { readonly flags: FlagSpecs; readonly appArguments: boolean } | undefined;
  /** Not in help, completion and abbreviations. */
  readonly hidden: boolean;
  /** Known only while this environment variable is a true Go boolean. */
  readonly experiment: string | undefined;
  /** Has sub-commands and does nothing itself. */
  readonly group: boolean;
  /** A tool with flags of its own: its words are `args` as they are. */
  readonly raw: boolean;
  /** Comes in a later version: ends with a clear sentence. */
  readonly unavailable: boolean;
  readonly completes: Completes;
  readonly seeAlso: readonly string[];
  load(): Promise<CommandModule>;
}

/** The commands that an environment knows. Each is made when it is asked for: a start pays for one. */
export interface CommandTable {
  byName(name: string): Command | undefined;
  all(): readonly Command[];
}

/** A command as it is declared: everything but name, brief and load has a default. */
export type CommandDeclaration<F extends FlagSpecs> = Pick<Command, "name" | "brief"> &
  Partial<Omit<Command, "name" | "brief" | "flags" | "load">> & {
    readonly flags?: F;
    readonly load?: () => Promise<CommandModule<() => F>>;
  };

/** Fills in the defaults, and ties the module's flag types to the flags declared here. */
export function command<const F extends FlagSpecs>(declaration: CommandDeclaration<F>): Command {
  const { flags, load, ...rest } = declaration;
  const missing = () => Promise.reject(new Error(`${declaration.name}: declared without a module`));
  return {
    description: "",
    args: "",
    arity: undefined,
    root: false,
    interspersed: true,
    images: undefined,
    hidden: false,
    experiment: undefined,
    group: false,
    raw: false,
    unavailable: false,
    completes: "none",
    seeAlso: [],
    ...rest,
    flags: flags ?? {},
    // The parser fills exactly the flags of the declaration, so the wider type is safe to call.
    load: (load ?? missing) as () => Promise<CommandModule>,
  };
}

/** "list" of "image list": what stands before the colon in a message. */
export function leafName(name: string): string {
  return name.slice(name.lastIndexOf(" ") + 1);
}
