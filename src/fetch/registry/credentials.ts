// SPDX-License-Identifier: Apache-2.0
// Who we are to a registry. In this order, the first that knows the registry counts: rkt's own dockerAuth;
// then the files that podman and Docker log in with. No error of this file holds a credential.
import { join } from "node:path";
import { FieldError, type Fields, fieldsOf, text } from "../../config/fields.ts";
import { isErrno } from "../../lib/errors.ts";
import { quote } from "../../lib/text.ts";
import { runProgram } from "../../sys/run-program.ts";
import type { NetworkContext } from "../context.ts";
import { HUB_NAMES } from "../docker-reference.ts";
import { FetchError } from "../errors.ts";
import type { Environment } from "../proxy.ts";
import { readSmallFile } from "../read-small.ts";

export type Credentials =
  | { readonly kind: "basic"; readonly user: string; readonly password: string }
  /** What a token server gave at login in place of a password. */
  | { readonly kind: "identity"; readonly token: string };

/** Docker's old name for its registry, the key of its credentials. */
const HUB_SERVER = "https://index.docker.io/v1/";
const MAX_FILE = 4 << 20;
const MAX_HELPER_OUTPUT = 64 * 1024;
const HELPER_TIMEOUT = 30_000;
/** What a helper prints when it has nothing for the registry. */
const NOT_FOUND = "credentials not found in native keychain";

/** Undefined: ask anonymously. */
export async function findCredentials(
  host: string,
  repository: string,
  context: Pick<NetworkContext, "config" | "env">,
): Promise<Credentials | undefined> {
  const hosts = HUB_NAMES.includes(host) ? HUB_NAMES : [host];
  for (const [registry, login] of context.config.dockerAuth) {
    if (hosts.includes(hostOfKey(registry))) return { kind: "basic", ...login };
  }
  const env = context.env ?? process.env;
  for (const path of filesOf(env)) {
    const found = await findInFile(path, { hosts, repository, env });
    if (found !== undefined) return found;
  }
  return undefined;
}

function filesOf(env: Environment): readonly string[] {
  const named = env["REGISTRY_AUTH_FILE"] ?? "";
  if (named !== "") return [named];
  const home = env["HOME"] ?? "";
  const runtime = env["XDG_RUNTIME_DIR"] || `/run/containers/${process.getuid?.() ?? 0}`;
  const config = env["XDG_CONFIG_HOME"] || (home === "" ? "" : join(home, ".config"));
  const docker = env["DOCKER_CONFIG"] || (home === "" ? "" : join(home, ".docker"));
  return [
    env["XDG_RUNTIME_DIR"] ? join(runtime, "containers/auth.json") : join(runtime, "auth.json"),
    ...(config === "" ? [] : [join(config, "containers/auth.json")]),
    ...(docker === "" ? [] : [join(docker, "config.json")]),
    ...(home === "" ? [] : [join(home, ".dockercfg")]),
  ];
}

interface Wanted {
  readonly hosts: readonly string[];
  readonly repository: string;
  readonly env: Environment;
}

async function findInFile(path: string, wanted: Wanted): Promise<Credentials | undefined> {
  let file: Fields;
  try {
    file = parseJson(readSmallFile(path, MAX_FILE));
  } catch (cause) {
    if (isErrno(cause, "ENOENT", "ENOTDIR")) return undefined;
    throw unusable(`cannot read the credentials in ${quote(path)}`, cause);
  }
  try {
    const helper = helperFor(file, wanted.hosts);
    if (helper !== undefined && helper !== "") return await askHelper(helper, wanted);
    const auths = path.endsWith(".dockercfg") ? file : fieldsOf(file["auths"], "auths");
    const entry = findEntry(auths, wanted);
    const found = entry === undefined ? undefined : parseEntry(entry);
    if (found !== undefined) return found;
    // A helper without a name stands for "only this file", as in Docker.
    const store = helper === "" ? "" : text(file, "credsStore");
    return store === "" ? undefined : await askHelper(store, wanted);
  } catch (cause) {
    if (!(cause instanceof FieldError)) throw cause;
    throw unusable(`cannot read the credentials in ${quote(path)}`, cause);
  }
}

function parseJson(bytes: Uint8Array): Fields {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // The parser's own words may quote a credential.
    throw new FieldError("it is not valid JSON");
  }
  return fieldsOf(value, "the file");
}

function helperFor(file: Fields, hosts: readonly string[]): string | undefined {
  const helpers = fieldsOf(file["credHelpers"], "credHelpers");
  const key = Object.keys(helpers).find((each) => hosts.includes(hostOfKey(each)));
  return key === undefined ? undefined : text(helpers, key);
}

/** The host that a key of such a file means: `https://index.docker.io/v1/`, `quay.io`, `localhost:5000`. */
function hostOfKey(key: string): string {
  return (key.replace(/^https?:\/\//, "").split("/", 1)[0] ?? "").toLowerCase();
}

/** The entry for the longest part of the image's name, as podman writes them; else that of the host. */
function findEntry(auths: Fields, { hosts, repository }: Wanted): Fields | undefined {
  const parts = repository.split("/");
  for (let length = parts.length; length > 0; length--) {
    for (const host of hosts) {
      const key = `${host}/${parts.slice(0, length).join("/")}`;
      if (Object.hasOwn(auths, key)) return fieldsOf(auths[key], "an entry");
    }
  }
  const isPlain = (key: string) => /^https?:\/\//.test(key) || /^[^/]+(?:\/v[12])?\/?$/.test(key);
  const key = Object.keys(auths).find((each) => isPlain(each) && hosts.includes(hostOfKey(each)));
  return key === undefined ? undefined : fieldsOf(auths[key], "an entry");
}

/** Undefined: the entry is empty, as it is where a helper has the secret. */
function parseEntry(entry: Fields): Credentials | undefined {
  const token = text(entry, "identitytoken");
  if (token !== "") return { kind: "identity", token };
  const auth = text(entry, "auth");
  if (auth !== "") {
    const pair = Buffer.from(auth, "base64").toString("utf8").replace(/\0+$/, "");
    const colon = pair.indexOf(":");
    if (colon < 1 || /[\x00-\x1f\x7f]/.test(pair)) {
      throw new FieldError("an auth is not the base64 form of USER:PASSWORD");
    }
    return { kind: "basic", user: pair.slice(0, colon), password: pair.slice(colon + 1) };
  }
  const user = text(entry, "username");
  return user === "" ? undefined : { kind: "basic", user, password: text(entry, "password") };
}

/** Runs `docker-credential-NAME get` with the registry on its stdin. */
async function askHelper(name: string, { hosts, env }: Wanted): Promise<Credentials | undefined> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw new FieldError(`${quote(name)} cannot be the name of a credential helper`);
  }
  const program = `docker-credential-${name}`;
  const path = Bun.which(program, { PATH: absoluteOnly(env["PATH"] ?? "") });
  if (path === null) {
    throw unusable(`cannot get credentials: the helper ${quote(program)} is not installed`);
  }
  const server = hosts === HUB_NAMES ? HUB_SERVER : (hosts[0] ?? "");
  const { end, stdout } = await runProgram({
    path,
    args: ["get"],
    env: Object.fromEntries(
      Object.entries(env).filter((pair): pair is [string, string] => pair[1] !== undefined),
    ),
    stdin: `${server}\n`,
    timeoutMs: HELPER_TIMEOUT,
    maxStdout: MAX_HELPER_OUTPUT,
  });
  const fail = (why: string): FetchError =>
    unusable(`cannot get credentials for ${quote(server)} from ${quote(program)}: ${why}`);
  if (end.kind === "timeout") throw fail(`it did not end within ${HELPER_TIMEOUT / 1000} s`);
  if (end.kind === "too-much-output") throw fail("it prints too much");
  if (end.kind === "signaled") throw fail(`it was ended by ${end.signal}`);
  if (end.status !== 0) {
    if (stdout.includes(NOT_FOUND)) return undefined;
    // Its own words are not repeated: what goes wrong in a keychain may have a secret in it.
    throw fail(`it ended with status ${end.status}`);
  }
  try {
    const answer = parseJson(Buffer.from(stdout));
    const user = text(answer, "Username");
    const secret = text(answer, "Secret");
    if (secret === "") return undefined;
    return user === "<token>"
      ? { kind: "identity", token: secret }
      : { kind: "basic", user, password: secret };
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    throw fail(error.message);
  }
}

/** A relative entry would be another program in each directory. */
function absoluteOnly(path: string): string {
  return path
    .split(":")
    .filter((entry) => entry.startsWith("/"))
    .join(":");
}

function unusable(message: string, cause?: unknown): FetchError {
  return new FetchError("CREDENTIALS_UNUSABLE", message, {
    ...(cause === undefined ? {} : { cause }),
    remedy: "log in again, or give the registry's credentials in auth.d (kind dockerAuth)",
  });
}
