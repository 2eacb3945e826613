// SPDX-License-Identifier: Apache-2.0
// The pod arguments that several commands share: UUIDs (or their beginnings) and --uuid-file.
import { readFileSync } from "node:fs";
import { RktError } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { type PodRef, resolvePod } from "../pod/directory.ts";
import type { Context } from "./context.ts";
import { formatError } from "./report.ts";

const MAX_UUID_FILE = 4096;

/** `status` and `stop` end with 1 for a file that they cannot read; the others with 254 (rkt-cli §1.3). */
const EXIT_UUID_FILE = 1;

class UuidFileError extends RktError<"UUID_FILE"> {}

/** Runs a command's work with the reference's own status for an unreadable --uuid-file. */
export async function withUuidFileStatus(
  context: Context,
  work: () => Promise<number>,
): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UuidFileError)) throw error;
    reportFailure(context, error);
    return EXIT_UUID_FILE;
  }
}

/** The UUID in a file that --uuid-file-save wrote. */
export function readUuidFile(path: string): string {
  try {
    return readFileSync(path, "utf8").slice(0, MAX_UUID_FILE).trim();
  } catch (error) {
    throw new UuidFileError("UUID_FILE", `unable to read uuid from file ${quote(path)}`, {
      cause: error,
    });
  }
}

/** One pod by its only argument or --uuid-file; undefined when the words are wrong (print usage). */
export function onePod(
  dataDir: string,
  args: readonly string[],
  uuidFile: string,
): PodRef | undefined {
  if (uuidFile !== "") {
    return args.length === 0 ? resolvePod(dataDir, readUuidFile(uuidFile)) : undefined;
  }
  const [uuid] = args;
  return uuid === undefined || args.length > 1 ? undefined : resolvePod(dataDir, uuid);
}

/** The words that name pods: the arguments, or the one in --uuid-file; undefined: print usage. */
export function podWords(args: readonly string[], uuidFile: string): readonly string[] | undefined {
  if (uuidFile !== "") return args.length === 0 ? [readUuidFile(uuidFile)] : undefined;
  return args.length === 0 ? undefined : args;
}

/** Prints why one pod of several failed; the others go on. */
export function reportFailure(context: Context, error: unknown): void {
  const { commandName, globals } = context;
  context.err(formatError(error, { commandName, debug: globals.debug, json: false }));
}
