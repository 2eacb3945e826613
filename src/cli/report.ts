// SPDX-License-Identifier: Apache-2.0
// The only place that turns an error into text: `COMMAND: message: root cause` with the remedy on its own
// line, the whole chain with --debug, JSON with --format=json, and a stack for what is a bug of ours.
import { errorChain, RktError } from "../lib/errors.ts";
import { stripControl } from "../lib/text.ts";

export interface ReportOptions {
  /** The leaf command's name, "" when there is no command yet. */
  readonly commandName: string;
  readonly debug: boolean;
  /** --format=json or json-pretty is in effect. */
  readonly json: boolean;
}

/** Text for stderr, with its line end. */
export function formatError(error: unknown, options: ReportOptions): string {
  const chain = errorChain(error);
  const first = chain[0];
  if (first === undefined || !isExpected(first)) return formatBug(error, options);
  const message = shown(first);
  const root = chain.at(-1);
  const cause = root === undefined || root === first ? undefined : shown(root);
  const remedy = chain.map(remedyOf).find((text) => text !== undefined);
  if (options.json)
    return `${formatJsonError(first, options.commandName, message, cause, remedy)}\n`;
  const lines = options.debug
    ? tree(chain.map(shown))
    : cause === undefined || message.endsWith(cause)
      ? message
      : `${message}: ${cause}`;
  const prefix = options.commandName === "" ? "" : `${options.commandName}: `;
  const advice = remedy === undefined ? "" : `  try: ${cleanLines(remedy)}\n`;
  return `${prefix}${lines}\n${advice}`;
}

function tree(levels: readonly string[]): string {
  return levels
    .map((text, level) => (level === 0 ? text : `${"  ".repeat(level)}└─${text}`))
    .join("\n");
}

function remedyOf(error: Error): string | undefined {
  return error instanceof RktError ? error.remedy : undefined;
}

interface SystemError extends Error {
  readonly code: string;
  readonly syscall: string;
  readonly path?: string | undefined;
  readonly dest?: string | undefined;
}

function isSystemError(error: Error): error is SystemError {
  return (
    "code" in error &&
    typeof error.code === "string" &&
    /^E[A-Z0-9]+$/.test(error.code) &&
    "syscall" in error &&
    typeof error.syscall === "string"
  );
}

/** A failed system call that nobody wrapped is the machine's doing, not a bug: a file not readable, a full disk. */
function isExpected(error: Error): boolean {
  return error instanceof RktError || isSystemError(error);
}

/** An error's own words, safe to print. */
function shown(error: Error): string {
  return cleanLines(isSystemError(error) ? describeSystemError(error) : error.message);
}

/** `open "/x": permission denied`, whether node or our own libc door made the error. */
function describeSystemError(error: SystemError): string {
  // node: "ENOENT: no such file or directory, open '/x'"; ours: "open: no such file or directory".
  const words =
    /^E[A-Z0-9]+: (.*?), [a-z0-9_]+(?: '|$)/s.exec(error.message)?.[1] ??
    error.message.replace(`${error.syscall}: `, "");
  const path =
    typeof error.path === "string" && error.path !== "" ? ` ${JSON.stringify(error.path)}` : "";
  const dest = typeof error.dest === "string" ? ` ${JSON.stringify(error.dest)}` : "";
  return `${error.syscall}${path}${dest}: ${words}`;
}

/** Keeps line breaks and tabs (some messages have several lines), drops every other control character. */
export function cleanLines(text: string): string {
  return text
    .split("\n")
    .map((line) => line.split("\t").map(stripControl).join("\t"))
    .join("\n");
}

function formatBug(error: unknown, options: ReportOptions): string {
  const prefix = options.commandName === "" ? "rkt" : options.commandName;
  const text =
    error instanceof Error ? (error.stack ?? `${error.name}: ${error.message}`) : String(error);
  return `${prefix}: internal error: this is a bug, please report it with what is below\n${cleanLines(text)}\n`;
}

function formatJsonError(
  error: Error,
  command: string,
  message: string,
  cause: string | undefined,
  remedy: string | undefined,
): string {
  return JSON.stringify({
    error: {
      command,
      code: "code" in error ? error.code : undefined,
      message,
      cause,
      remedy,
      details: error instanceof RktError ? error.details : undefined,
    },
  });
}
