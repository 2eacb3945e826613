// SPDX-License-Identifier: Apache-2.0
// The keystore: which public keys are trusted for which names, as files of two configuration directories
// (rkt-cli.md §3). `trustedkeys/root.d/FPR` is trusted for every name, `trustedkeys/prefix.d/P/FPR` for
// the names that start with P. An empty file takes the key of that name away.
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { quote } from "../lib/text.ts";
import { fsyncDir, writeFileDurable } from "../sys/durable.ts";
import { MAX_FILE_SIZE } from "./armor.ts";
import { TrustError } from "./errors.ts";
import type { PublicKey } from "./openpgp.ts";
import { ANY_NAME, parsePrefix, type TrustPrefix } from "./prefix.ts";
import { parseKeys, readPublicKeys } from "./public-keys.ts";

/** A key that is trusted for the names that were asked for. */
export interface TrustedKey {
  readonly fingerprint: string;
  readonly identities: readonly string[];
  /** The file that it came from. */
  readonly path: string;
  readonly key: PublicKey;
}

/** The keys trusted for one name. */
export interface TrustedKeys {
  readonly prefix: string;
  readonly keys: readonly TrustedKey[];
}

export interface AddedKey {
  readonly path: string;
  readonly fingerprint: string;
}

export interface Keystore {
  /** All keys that may sign an image of this name. Does not load the OpenPGP library when there are none. */
  keysFor(prefix: string): Promise<TrustedKeys>;
  /**
   * All keys that may sign an image of some name: for a file or URL, whose name is in the manifest that is
   * not read yet. The image must be verified again with `keysFor(name)` once it is known.
   */
  keysForAnyName(): Promise<TrustedKeys>;
  /** Whether a key is trusted for this prefix or a parent of it (root keys do not count): no discovery then. */
  hasKeyFor(prefix: string): boolean;
  /**
   * Whether an empty file takes this key away for the names of a prefix, or for every name when there is
   * none. Only a person may undo that: ask before a key is trusted automatically.
   */
  isMasked(prefix: string | undefined, fingerprint: string): boolean;
  /** Trusts one public key for a prefix, in the local directory. Durable when it returns. */
  addPrefixKey(prefix: string, armored: string | Uint8Array): Promise<AddedKey>;
  /** Trusts one public key for every name. */
  addRootKey(armored: string | Uint8Array): Promise<AddedKey>;
}

export interface KeystoreDirs {
  /** The vendor's, /usr/lib/rkt: only read. */
  readonly systemConfig: string;
  /** The administrator's, /etc/rkt. */
  readonly localConfig: string;
}

const MAX_KEY_FILES = 4096;
/** What `writeFileDurable` may have left in the directory, or is just renaming. */
const TEMPORARY = /\.[0-9a-f]{12}\.tmp$/;

export function openKeystore({ systemConfig, localConfig }: KeystoreDirs): Keystore {
  const bases = [join(systemConfig, "trustedkeys"), join(localConfig, "trustedkeys")];
  const local = join(localConfig, "trustedkeys");
  return {
    keysFor: (prefix) => loadKeys(bases, parsePrefix(prefix)),
    keysForAnyName: () => loadAllKeys(bases),
    hasKeyFor: (prefix) => hasKey(bases, parsePrefix(prefix)),
    isMasked: (prefix, fingerprint) => {
      const found = findKeys(bases, prefix === undefined ? undefined : parsePrefix(prefix));
      const file = found.get(fingerprint);
      return file !== undefined && file.content === undefined;
    },
    addPrefixKey: (prefix, armored) =>
      addKey(join(local, "prefix.d", parsePrefix(prefix)), armored),
    addRootKey: (armored) => addKey(join(local, "root.d"), armored),
  };
}

/** A key file by name; `content` is undefined for a mask. */
type Found = Map<string, { readonly path: string; readonly content: Uint8Array | undefined }>;

async function loadKeys(bases: readonly string[], prefix: TrustPrefix): Promise<TrustedKeys> {
  const keys: TrustedKey[] = [];
  for (const [name, { path, content }] of findKeys(bases, prefix)) {
    if (content !== undefined) keys.push(await readTrustedKey(path, name, content));
  }
  return { prefix, keys };
}

async function loadAllKeys(bases: readonly string[]): Promise<TrustedKeys> {
  const prefixes = new Set<TrustPrefix>();
  for (const base of bases) collectPrefixes(join(base, "prefix.d"), "", prefixes);
  const keys = new Map<string, TrustedKey>();
  // undefined: a name that no prefix fits, for which the root keys are not masked.
  for (const prefix of [undefined, ...prefixes]) {
    for (const [name, { path, content }] of findKeys(bases, prefix)) {
      if (content === undefined || keys.has(path)) continue;
      keys.set(path, await readTrustedKey(path, name, content));
    }
  }
  return { prefix: ANY_NAME, keys: [...keys.values()] };
}

/** Every directory below prefix.d that can be the start of a name. */
function collectPrefixes(directory: string, above: string, found: Set<TrustPrefix>): void {
  for (const entry of listDirectory(directory)) {
    if (!entry.isDirectory()) continue;
    const prefix = asPrefix(above + entry.name);
    if (prefix === undefined) continue;
    if (found.size >= MAX_KEY_FILES) {
      throw unreadable(directory, new Error(`more than ${MAX_KEY_FILES} prefixes`));
    }
    found.add(prefix);
    collectPrefixes(join(directory, entry.name), `${prefix}/`, found);
  }
}

/** undefined for a directory that no name can start with. */
function asPrefix(text: string): TrustPrefix | undefined {
  try {
    return parsePrefix(text);
  } catch (error) {
    if (error instanceof TrustError && error.code === "PREFIX_INVALID") return undefined;
    throw error;
  }
}

/** The key files that count for a name, masks included; only the root keys when there is none. */
function findKeys(bases: readonly string[], prefix: TrustPrefix | undefined): Found {
  const found: Found = new Map();
  for (const base of bases) collect(found, join(base, "root.d"), () => false);
  if (prefix === undefined) return found;
  const top = prefix.split("/", 1)[0] ?? prefix;
  for (const base of bases) {
    const wanted = join(base, "prefix.d", prefix);
    collect(found, join(base, "prefix.d", top), (directory) => wanted.startsWith(directory));
  }
  return found;
}

/**
 * Adds the key files of a directory, then those of the subdirectories that `descend` wants, in order of
 * their names. A deeper file wins over a shallower one of the same name, so that a mask for a longer
 * prefix always works.
 */
function collect(found: Found, directory: string, descend: (directory: string) => boolean): void {
  const subdirectories: string[] = [];
  for (const entry of listDirectory(directory)) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      if (descend(path)) subdirectories.push(path);
      continue;
    }
    if (TEMPORARY.test(entry.name)) continue;
    const content = readKeyFile(path);
    if (content === undefined) continue;
    if (found.size >= MAX_KEY_FILES) {
      throw unreadable(directory, new Error(`more than ${MAX_KEY_FILES} keys`));
    }
    found.set(entry.name, { path, content: content.length === 0 ? undefined : content });
  }
  for (const subdirectory of subdirectories) collect(found, subdirectory, descend);
}

function listDirectory(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true }).sort((a, b) =>
      a.name < b.name ? -1 : 1,
    );
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw unreadable(directory, error);
  }
}

/** A key file's bytes; undefined when it went away since it was listed. Links are followed. */
function readKeyFile(path: string): Uint8Array | undefined {
  let fd: number;
  try {
    // O_NONBLOCK: a FIFO put here must not stop every fetch.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw unreadable(path, error);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw unreadable(path, new Error("not a regular file"));
    if (stat.size > MAX_FILE_SIZE) throw unreadable(path, new Error("too large for a key"));
    const content = new Uint8Array(stat.size);
    let at = 0;
    while (at < content.length) {
      const n = readSync(fd, content, at, content.length - at, at);
      if (n === 0) throw unreadable(path, new Error("it became shorter while it was read"));
      at += n;
    }
    return content;
  } finally {
    closeSync(fd);
  }
}

async function readTrustedKey(
  path: string,
  name: string,
  content: Uint8Array,
): Promise<TrustedKey> {
  let keys: PublicKey[];
  try {
    keys = await parseKeys(content);
  } catch (error) {
    throw unreadable(path, error);
  }
  const [key, ...others] = keys;
  if (key === undefined || others.length > 0) {
    throw unreadable(path, new Error(`it holds ${keys.length} keys instead of one`));
  }
  const fingerprint = key.getFingerprint();
  if (fingerprint !== name) {
    throw new TrustError(
      "KEYSTORE_MISMATCH",
      `fingerprint mismatch: ${quote(path)} holds the key ${fingerprint}`,
      { remedy: `remove the file, or name it ${fingerprint}`, details: { path, fingerprint } },
    );
  }
  return { fingerprint, identities: key.getUserIDs(), path, key };
}

function hasKey(bases: readonly string[], prefix: TrustPrefix): boolean {
  const parts = prefix.split("/");
  const names = new Map<string, boolean>();
  for (const base of bases) {
    for (let depth = 1; depth <= parts.length; depth++) {
      const directory = join(base, "prefix.d", ...parts.slice(0, depth));
      for (const entry of listDirectory(directory)) {
        if (entry.isDirectory() || TEMPORARY.test(entry.name)) continue;
        names.set(entry.name, !isEmptyFile(join(directory, entry.name)));
      }
    }
  }
  return [...names.values()].includes(true);
}

function isEmptyFile(path: string): boolean {
  try {
    return statSync(path).size === 0;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return true;
    throw unreadable(path, error);
  }
}

async function addKey(directory: string, armored: string | Uint8Array): Promise<AddedKey> {
  const keys = await readPublicKeys(typeof armored === "string" ? Buffer.from(armored) : armored);
  const [key, ...others] = keys;
  if (key === undefined || others.length > 0) {
    throw new TrustError("KEY_MALFORMED", `expected one public key, found ${keys.length}`);
  }
  const path = join(directory, key.fingerprint);
  try {
    makeDirectories(directory);
    writeFileDurable(path, key.armored, 0o644);
  } catch (error) {
    throw new TrustError("KEYSTORE_UNWRITABLE", `cannot write the trusted key ${quote(path)}`, {
      cause: error,
      remedy: isErrno(error, "EACCES", "EPERM")
        ? "run as root or as a member of the group rkt-admin"
        : undefined,
      details: { path },
    });
  }
  return { path, fingerprint: key.fingerprint };
}

/**
 * mkdir -p with mode 0755 whatever the umask. The set-group-ID bit of /etc/rkt (2775 rkt-admin) is
 * inherited and kept, so that the whole keystore belongs to that group.
 */
function makeDirectories(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o755 });
  } catch (error) {
    if (isErrno(error, "EEXIST")) return;
    if (!isErrno(error, "ENOENT") || dirname(directory) === directory) throw error;
    makeDirectories(dirname(directory));
    makeDirectories(directory);
    return;
  }
  chmodSync(directory, (statSync(directory).mode & 0o7000) | 0o755);
  fsyncDir(dirname(directory));
}

function unreadable(path: string, cause: unknown): TrustError {
  return new TrustError("KEYSTORE_UNREADABLE", `cannot read the trusted keys at ${quote(path)}`, {
    cause,
    details: { path },
  });
}
