// SPDX-License-Identifier: Apache-2.0
// From words to an exit status: find the command, parse its flags, check what the table says, load it, run
// it, and print what went wrong. Nothing here ends the process.
import { parseGoBool } from "../lib/go-bool.ts";
import { type Command, type CommandTable, type Invocation, leafName } from "./command.ts";
import { knownCommands, startRuntime } from "./command-table.ts";
import { type Context, type Globals, type Host, makeContext } from "./context.ts";
import { EXIT_FAILURE } from "./exit-status.ts";
import { type Found, findCommand } from "./find-command.ts";
import { GLOBAL_FLAGS } from "./flag-sets.ts";
import {
  type FlagSpec,
  type FlagSpecs,
  type FlagValues,
  HELP_FLAGS,
  parseFlags,
  type SetContext,
} from "./flags.ts";
import { helpText } from "./help.ts";
import type { ImageArguments } from "./image-args.ts";
import { OutputClosed } from "./output-closed.ts";
import { formatError } from "./report.ts";
import { UsageError } from "./usage-error.ts";

/** No command at all: the reference's value. */
const MISSING_COMMAND = 2;
/** As if SIGPIPE had ended us: who read our output is gone and needs no message. */
const OUTPUT_CLOSED = 141;

/** What is known so far, for the report of an error. */
interface Progress {
  readonly commands: CommandTable;
  command: Command | undefined;
  debug: boolean;
  json: boolean;
  context: Context | undefined;
}

/** Runs `rkt` with the host's words; never throws, never exits. */
export async function runRkt(host: Host): Promise<number> {
  const progress: Progress = {
    commands: knownCommands(host.env),
    command: undefined,
    debug: false,
    json: false,
    context: undefined,
  };
  try {
    return await dispatch(host, progress);
  } catch (error) {
    if (error instanceof OutputClosed) return OUTPUT_CLOSED;
    report(host, error, progress);
    return EXIT_FAILURE;
  } finally {
    progress.context?.close();
  }
}

async function dispatch(host: Host, progress: Progress): Promise<number> {
  const { commands } = progress;
  const { command, words } = findCommand(host.args, commands);
  progress.command = command;
  if (command?.unavailable) {
    throw new UsageError("COMMAND_UNAVAILABLE", "not available in this version");
  }
  if (command === undefined || command.group) return noCommand(host, { command, words }, commands);
  const parsed = await parseCommand(command, words, host);
  // One parser filled `values` from exactly these specs.
  const globals = toGlobals(parsed.values as FlagValues<typeof GLOBAL_FLAGS>, parsed.given);
  progress.debug = globals.debug;
  progress.json = typeof parsed.values["format"] === "string" && parsed.values["format"] !== "";
  for (const name of parsed.deprecated) {
    const advice = (command.flags[name] ?? command.images?.flags[name])?.deprecated ?? "";
    host.write(2, `Flag --${name} has been deprecated, ${advice}\n`);
  }
  if (parsed.help) {
    host.write(1, helpText(command, commands.all()));
    return 0;
  }
  if (command.root && host.euid !== 0) {
    throw new UsageError("NOT_PRIVILEGED", "cannot run as unprivileged user", {
      remedy: `run it as root: sudo rkt ${command.name}`,
    });
  }
  const usage = (): number => {
    const what = parsed.args.length === 0 ? "missing argument" : "wrong number of arguments";
    host.write(2, `${leafName(command.name)}: ${what}\n`);
    host.write(1, helpText(command, commands.all()));
    return EXIT_FAILURE;
  };
  const { arity } = command;
  if (arity !== undefined && (parsed.args.length < arity.min || parsed.args.length > arity.max)) {
    return usage();
  }
  const context = makeContext(host, globals, leafName(command.name));
  progress.context = context;
  const { run } = await command.load();
  const invocation: Invocation = {
    context,
    commands,
    flags: parsed.values,
    args: parsed.args,
    images: parsed.images,
    mounts: parsed.mounts,
    given: (name) => parsed.given.has(name),
    usage,
  };
  return await run(invocation);
}

function noCommand(host: Host, { command: group, words }: Found, commands: CommandTable): number {
  const { values } = parseFlags(
    words,
    { ...GLOBAL_FLAGS, ...HELP_FLAGS },
    {
      cwd: host.cwd,
      parsers: undefined,
      interspersed: true,
    },
  );
  const help = values["help"] === true;
  if (!help) host.write(2, `${group?.name ?? "rkt"}: missing command\n`);
  host.write(1, helpText(group, commands.all()));
  return help ? 0 : MISSING_COMMAND;
}

interface ParsedCommand extends ImageArguments {
  readonly args: readonly string[];
}

async function parseCommand(
  command: Command,
  words: readonly string[],
  host: Host,
): Promise<ParsedCommand> {
  const flags = { ...GLOBAL_FLAGS, ...active(command.flags, host.env), ...HELP_FLAGS };
  const imageFlags = active(command.images?.flags ?? {}, host.env);
  const context: Omit<SetContext, "given"> = {
    cwd: host.cwd,
    parsers: needsParsers(flags, imageFlags) ? (await startRuntime()).flagParsers : undefined,
  };
  if (command.images !== undefined) {
    const { parseImageArguments } = await startRuntime();
    const { appArguments } = command.images;
    return {
      ...parseImageArguments(words, { flags, imageFlags, appArguments }, context),
      args: [],
    };
  }
  const own = command.raw ? [] : words;
  const parsed = parseFlags(own, flags, { ...context, interspersed: command.interspersed });
  const help = parsed.values["help"] === true;
  return { ...parsed, help, args: command.raw ? words : parsed.rest, images: [], mounts: [] };
}

/** Without the flags of experiments that are off. */
function active(flags: FlagSpecs, env: Host["env"]): FlagSpecs {
  const known: Record<string, FlagSpec> = {};
  // A loop, as in the function below: what is called for every flag gets compiled, which costs more than it saves.
  for (const name in flags) {
    const flag = flags[name];
    if (flag === undefined) continue;
    if (flag.experiment === undefined || parseGoBool(env[flag.experiment] ?? "") === true) {
      known[name] = flag;
    }
  }
  return known;
}

function needsParsers(...sets: readonly FlagSpecs[]): boolean {
  for (const set of sets) for (const name in set) if (set[name]?.lazy === true) return true;
  return false;
}

function toGlobals(values: FlagValues<typeof GLOBAL_FLAGS>, given: ReadonlySet<string>): Globals {
  return {
    debug: values.debug,
    dir: values.dir,
    dirGiven: given.has("dir"),
    systemConfig: values["system-config"],
    localConfig: values["local-config"],
    userConfig: values["user-config"],
    insecure: values["insecure-options"],
    trustKeysFromHttps: values["trust-keys-from-https"],
  };
}

function report(host: Host, error: unknown, progress: Progress): void {
  const { command } = progress;
  if (error instanceof UsageError) {
    if (error.code === "COMMAND_UNKNOWN") {
      host.write(2, `Error: ${error.message}\n${error.remedy ?? ""}\n`);
      return;
    }
    if (error.code === "COMMAND_UNAVAILABLE") {
      host.write(2, `${command?.name ?? "rkt"}: ${error.message}\n`);
      return;
    }
    if (error.code.startsWith("FLAG_")) {
      const help = command === undefined ? "rkt help" : `rkt help ${command.name}`;
      host.write(2, `Error: ${error.message}\nsee '${help}'\n`);
      return;
    }
  }
  const commandName = command === undefined ? "rkt" : leafName(command.name);
  host.write(2, formatError(error, { commandName, debug: progress.debug, json: progress.json }));
}
