// SPDX-License-Identifier: Apache-2.0
// The parsers of flag values that need the App Container types. Loaded only for commands that have such
// flags, so that `rkt --help` and `rkt list` do not pay for them (rkt-cli §4, §5.1, §5.2).
import {
  type ACName,
  checkEnvironmentName,
  type ExposedPort,
  type Mount,
  parseACIdentifier,
  parseACName,
  parseExposedPort,
  parseMount,
  parseQuantity,
  parseVolume,
  type Volume,
} from "../appc/index.ts";
import { RktError } from "../lib/errors.ts";
import { parseGoBool } from "../lib/go-bool.ts";
import { isIpAddress } from "../lib/ip-address.ts";
import { quote } from "../lib/text.ts";
import type { HostsEntry } from "../network/dns.ts";

function refuse(message: string, cause?: unknown): never {
  throw new RktError("FLAG_VALUE_INVALID", message, { cause });
}

function reason(error: unknown): string {
  if (!(error instanceof RktError)) throw error;
  return error.message;
}

export function parsePortFlag(text: string): ExposedPort {
  return parseExposedPort(text);
}

export function parseVolumeFlag(text: string): Volume {
  try {
    return parseVolume(text);
  } catch (error) {
    return refuse(`invalid value in --volume flag ${quote(text)}: ${reason(error)}`, error);
  }
}

export function parseMountFlag(text: string): Mount {
  return parseMount(text);
}

/** `VOLUME,target=PATH` of `app add`: a mount that brings its own volume. */
export function parseMountVolume(text: string): Mount {
  const parts = text.split(",");
  const target = parts.find((part) => part.startsWith("target="));
  if (target === undefined) refuse(`missing target in --mnt-volume ${quote(text)}`);
  const volume = parseVolume(parts.filter((part) => part !== target).join(","));
  const path = target.slice("target=".length);
  if (path === "") refuse("path must be set");
  return { volume: volume.name, path, appVolume: volume };
}

export function parseAppName(text: string): ACName {
  return parseACName(text);
}

/** `--readonly-rootfs` wants its boolean spelled out. */
export function parseReadOnly(text: string): boolean {
  return parseGoBool(text) ?? refuse("--readonly-rootfs must be set with a boolean");
}

export function parseGids(text: string): readonly number[] {
  return text.split(",").map((word) => {
    const number = Number(word);
    if (!/^[0-9]{1,10}$/.test(word) || number > 0xffff_fffe) {
      refuse(`${quote(word)} is not a valid group ID`);
    }
    return number;
  });
}

/** One more NAME=VALUE. A name twice is refused: `key "K" already set`, or with `what` its words. */
export function addEnvironment(
  previous: ReadonlyMap<string, string>,
  text: string,
  what?: string,
): ReadonlyMap<string, string> {
  const equals = text.indexOf("=");
  if (equals < 0) refuse("environment variable must be specified as name=value");
  const name = text.slice(0, equals);
  if (previous.has(name)) refuse(`${what ?? "key"} ${quote(name)} already set`);
  checkEnvironmentName(name);
  return new Map(previous).set(name, text.slice(equals + 1));
}

/** One more k=v of an annotation or label. Annotation names are AC Identifiers, user ones are free. */
export function addPair(
  previous: ReadonlyMap<string, string>,
  text: string,
  what: string,
): ReadonlyMap<string, string> {
  const equals = text.indexOf("=");
  if (equals < 0) refuse(`${what} must be specified as name=value`);
  const name = text.slice(0, equals);
  if (what === "annotation") parseACIdentifier(name);
  else if (name === "") refuse(`${what} name must not be empty`);
  if (previous.has(name)) refuse(`${what} ${quote(name)} already set`);
  return new Map(previous).set(name, text.slice(equals + 1));
}

export function parseStream(text: string, words: readonly string[]): string {
  if (!words.includes(text)) {
    refuse(`invalid mode ${quote(text)}, must be one of: ${words.join(", ")}`);
  }
  return text;
}

/** Less than a page is a typing mistake ("16" for "16M"). */
const MIN_MEMORY = 4096n;

/** Canonical text of the quantity, as the isolator carries it. */
export function parseMemory(text: string): string {
  const quantity = parseQuantity(text);
  if (quantity.value() < MIN_MEMORY) {
    refuse(
      `memory limit of ${quantity.value()} bytes too low. Try a reasonable value, such as --memory=16M`,
    );
  }
  return quantity.toString();
}

export function parseCpu(text: string): string {
  const quantity = parseQuantity(text);
  if (quantity.milliValue() <= 0n) refuse("cpu limit must be more than zero");
  return quantity.toString();
}

function parseRange(text: string, what: string, min: number, max: number): number {
  if (!/^[+-]?[0-9]{1,15}$/.test(text)) {
    refuse(`${quote(text)} is not a whole number`);
  }
  const number = Number(text);
  if (number < min || number > max) {
    refuse(`${what} must be between ${min} and ${max}, got ${number}`);
  }
  return number;
}

export function parseCpuShares(text: string): number {
  return parseRange(text, "os/linux/cpu-shares", 2, 262144);
}

export function parseOomScoreAdj(text: string): number {
  return parseRange(text, "os/linux/oom-score-adj", -1000, 1000);
}

export function parseCapabilities(text: string): readonly string[] {
  const set = text.split(",").filter((word) => word !== "");
  if (set.length === 0) refuse("set must be non-empty");
  return set;
}

export interface SeccompOverride {
  readonly mode: "retain" | "remove";
  readonly errno?: string | undefined;
  readonly set: readonly string[];
}

/** `mode=retain|remove[,errno=E…],syscall,…`; the order of the words does not matter. */
export function parseSeccomp(text: string): SeccompOverride {
  let mode: SeccompOverride["mode"] | undefined;
  let errno: string | undefined;
  const set: string[] = [];
  for (const word of text.split(",")) {
    const equals = word.indexOf("=");
    if (equals < 0) {
      if (word !== "") set.push(word);
      continue;
    }
    const value = word.slice(equals + 1);
    switch (word.slice(0, equals)) {
      case "mode":
        if (value !== "retain" && value !== "remove") {
          refuse("invalid seccomp mode command-line override");
        }
        mode = value;
        break;
      case "errno":
        if (!/^E[A-Z0-9]+$/.test(value)) refuse(`invalid errno ${quote(value)}`);
        errno = value;
        break;
      default:
        refuse("invalid seccomp command-line override");
    }
  }
  if (mode === undefined) refuse("invalid seccomp mode command-line override");
  if (set.length === 0) refuse("set must be non-empty");
  return errno === undefined ? { mode, set } : { mode, errno, set };
}

/** One --dns: the word `host` or `none`, or a comma list of addresses. */
export function parseDns(text: string): readonly string[] {
  if (text === "host" || text === "none") return [text];
  const servers = text.split(",");
  for (const server of servers) {
    if (!isIpAddress(server)) refuse(`Invalid IP passed to --dns: ${quote(server).slice(1, -1)}`);
  }
  return servers;
}

/** One --hosts-entry: the word `host`, or a comma list of IP=NAME. */
export function parseHostsEntry(text: string): "host" | readonly HostsEntry[] {
  if (text === "host") return "host";
  return text.split(",").map((entry) => {
    const [ip, name, extra] = entry.split("=");
    const shown = quote(entry).slice(1, -1);
    if (ip === undefined || name === undefined || name === "" || extra !== undefined) {
      refuse(`Did not understand --hosts-entry ${shown}`);
    }
    if (!isIpAddress(ip)) refuse(`Invalid IP passed to --hosts-entry: ${quote(ip).slice(1, -1)}`);
    return { ip, name };
  });
}
