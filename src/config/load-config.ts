// SPDX-License-Identifier: Apache-2.0
// Reads the configuration directories, vendor's first, and merges them: a later directory overrides an
// earlier one key by key. This is on the way of every command, so a part is read when it is needed.
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { ConfigError } from "./errors.ts";
import { FieldError, fieldsOf, text } from "./fields.ts";
import { type Definitions, findParser } from "./parsers.ts";
import type { Config } from "./types.ts";

export interface ConfigDirs {
  /** /usr/lib/rkt */
  readonly system: string;
  /** /etc/rkt */
  readonly local: string;
  /** --user-config; empty or undefined when there is none. */
  readonly user?: string | undefined;
}

interface Subdirectory {
  readonly name: string;
  readonly kinds: readonly string[];
}

const AUTH: Subdirectory = { name: "auth.d", kinds: ["auth", "dockerAuth"] };
const PATHS: Subdirectory = { name: "paths.d", kinds: ["paths"] };
const TRUST: Subdirectory = { name: "trust.d", kinds: ["trustPolicy"] };
const STAGE1: Subdirectory = { name: "stage1.d", kinds: ["stage1"] };

const MAX_FILE_SIZE = 1 << 20;

/** The configuration of the three directories. Reads nothing yet: see `Config`. */
export function loadConfig(dirs: ConfigDirs): Config {
  const bases = [dirs.system, dirs.local, dirs.user ?? ""].filter((base) => base !== "");
  const auth = once(() => readMerged(bases, AUTH));
  const paths = once(() => readMerged(bases, PATHS).paths);
  const trust = once(() => readMerged(bases, TRUST).trustPolicies);
  const stage1 = once(() => readMerged(bases, STAGE1).stage1);
  return {
    get auth() {
      return auth().auth;
    },
    get dockerAuth() {
      return auth().dockerAuth;
    },
    get paths() {
      return paths();
    },
    get stage1() {
      return stage1();
    },
    get trustPolicies() {
      return trust();
    },
  };
}

function once<T>(read: () => T): () => T {
  let known: { readonly value: T } | undefined;
  return () => {
    known ??= { value: read() };
    return known.value;
  };
}

function readMerged(bases: readonly string[], subdirectory: Subdirectory): Definitions {
  const merged = noDefinitions();
  for (const base of bases) {
    const own = readDirectory(join(base, subdirectory.name), subdirectory.kinds);
    if (own === undefined) continue;
    for (const [domain, method] of own.auth) merged.auth.set(domain, method);
    for (const [registry, login] of own.dockerAuth) merged.dockerAuth.set(registry, login);
    Object.assign(merged.paths, own.paths);
    Object.assign(merged.stage1, own.stage1);
    for (const [prefix, policy] of own.trustPolicies) merged.trustPolicies.set(prefix, policy);
  }
  return merged;
}

function noDefinitions(): Definitions {
  return {
    auth: new Map(),
    dockerAuth: new Map(),
    paths: {},
    stage1: {},
    trustPolicies: new Map(),
  };
}

/** What the `*.json` files of a directory say together; undefined when it does not exist. */
function readDirectory(directory: string, kinds: readonly string[]): Definitions | undefined {
  const names = listFiles(directory);
  if (names === undefined) return undefined;
  const definitions = noDefinitions();
  for (const name of names) {
    readFile({ directory, name, kinds }, definitions);
  }
  return definitions;
}

/** Regular files only: symbolic links and subdirectories are ignored. In order of their names. */
function listFiles(directory: string): string[] | undefined {
  try {
    // A missing directory is the usual case, and making an error object for it costs more than a stat.
    if (statSync(directory, { throwIfNoEntry: false }) === undefined) return undefined;
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".json"))
      .map((entry) => entry.name)
      .sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    if (isErrno(error, "ENOTDIR")) {
      throw new ConfigError("CONFIG_INVALID", `expected ${quote(directory)} to be a directory`);
    }
    throw unreadable(directory, error);
  }
}

function readFile(
  file: { readonly directory: string; readonly name: string; readonly kinds: readonly string[] },
  into: Definitions,
): void {
  const { directory, name, kinds } = file;
  const path = join(directory, name);
  const bytes = readBytes(path);
  try {
    const fields = fieldsOf(parseJson(bytes), "the file");
    const kind = text(fields, "rktKind");
    if (kind === "") throw invalid(`no rktKind specified in ${quote(path)}`);
    const version = text(fields, "rktVersion");
    if (version === "") throw invalid(`no rktVersion specified in ${quote(path)}`);
    if (!kinds.includes(kind)) {
      const expected = kinds.map((k) => `"${k}"`).join(", ");
      throw invalid(
        `the configuration directory ${quote(directory)} expects to have configuration files of ` +
          `kinds ${expected}, but ${quote(name)} has kind of ${quote(kind)}`,
      );
    }
    const parse = findParser(kind, version);
    if (parse === undefined) {
      throw invalid(
        `no parser available for configuration of kind ${quote(kind)} and version ${quote(version)}`,
      );
    }
    parse(fields, into);
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    throw new ConfigError("CONFIG_INVALID", `failed to parse ${quote(path)}`, {
      cause: error,
      details: { path },
    });
  }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8").replace(/^\ufeff/, ""));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // The parser's own words may quote a credential.
    throw new FieldError("it is not valid JSON");
  }
}

function readBytes(path: string): Buffer {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    const { size } = fstatSync(fd);
    if (size > MAX_FILE_SIZE) throw invalid(`configuration file ${quote(path)} is too large`);
    const bytes = Buffer.alloc(size);
    let at = 0;
    while (at < size) {
      const n = readSync(fd, bytes, at, size - at, at);
      if (n === 0) break;
      at += n;
    }
    return bytes.subarray(0, at);
  } finally {
    closeSync(fd);
  }
}

function invalid(message: string): ConfigError {
  return new ConfigError("CONFIG_INVALID", message);
}

function unreadable(path: string, cause: unknown): ConfigError {
  return new ConfigError("CONFIG_UNREADABLE", `cannot read the configuration ${quote(path)}`, {
    cause,
    details: { path },
  });
}
