// SPDX-License-Identifier: Apache-2.0
// Everything a command may touch of the outside world, injected: a test gives its own Host and reads two
// strings. Configuration, store and keystore are opened on first use only.
import type { Config } from "../config/index.ts";
import type {
  FetchContext,
  LocalContext,
  NetworkContext,
  PullPolicy,
  Review,
} from "../fetch/index.ts";
import { isErrno, RktError } from "../lib/errors.ts";
import type { InsecureOptions } from "../lib/insecure-options.ts";
import { once } from "../lib/once.ts";
import type { Reporter } from "../lib/reporter.ts";
import { VERSION } from "../lib/version.ts";
import type { Store } from "../store/index.ts";
import type { Keystore, KeystoreDirs } from "../trust/index.ts";
import { makeReporter } from "./reporter.ts";

/** The process that we run in. `main.ts` makes the real one, tests their own. */
export interface Host {
  /** Words after the program's name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly euid: number;
  isTTY(fd: 0 | 1 | 2): boolean;
  /** Columns of the terminal on stderr; asked for only when there is one. */
  columns(): number;
  now(): Date;
  /** Complete and synchronous: nothing is lost when the process ends or becomes another program. */
  write(fd: 1 | 2, text: string | Uint8Array): void;
  /** A line from the terminal, undefined at its end. */
  readLine(): string | undefined;
  realpath(path: string): string;
}

export interface Globals {
  readonly debug: boolean;
  /** As given or by default, absolute; `context.dataDir()` is the one to use. */
  readonly dir: string;
  readonly dirGiven: boolean;
  readonly systemConfig: string;
  readonly localConfig: string;
  /** "" when not used. */
  readonly userConfig: string;
  readonly insecure: InsecureOptions;
  readonly trustKeysFromHttps: boolean;
}

export interface FetchOptions {
  readonly pullPolicy: PullPolicy;
  readonly dependencies: boolean;
  /** "" for this machine's. */
  readonly platform?: string;
}

export interface Context {
  readonly host: Host;
  readonly env: Host["env"];
  readonly cwd: string;
  readonly euid: number;
  readonly globals: Globals;
  /** What stands before the colon in this command's messages. */
  readonly commandName: string;
  readonly reporter: Reporter;
  isTTY(fd: 0 | 1 | 2): boolean;
  now(): Date;
  /** To stdout, as it is. */
  out(text: string | Uint8Array): void;
  /** To stderr, as it is; `reporter.line` is for messages. */
  err(text: string): void;
  config(): Promise<Config>;
  dataDir(): Promise<string>;
  store(): Promise<Store>;
  /** Undefined with --insecure-options=image. */
  keystore(): Promise<Keystore | undefined>;
  networkContext(): Promise<NetworkContext>;
  /** Undefined when there is nobody to ask: needs a terminal on stdin and stderr. */
  review(): Review;
  localContext(options: FetchOptions): Promise<LocalContext>;
  fetchContext(options: FetchOptions): Promise<FetchContext>;
  /** Closes what was opened. */
  close(): void;
}

/** Where sigstore's trust root is when a policy names none: the administrator's, then the vendor's. */
export function trustRootPaths(dirs: KeystoreDirs): readonly string[] {
  return [dirs.localConfig, dirs.systemConfig].map((base) => `${base}/sigstore/trusted_root.json`);
}

export function makeContext(host: Host, globals: Globals, commandName: string): Context {
  const reporter = makeReporter(host, { commandName, debug: globals.debug });
  let opened: Store | undefined;

  const directories = { systemConfig: globals.systemConfig, localConfig: globals.localConfig };

  const config = once(async () => {
    const { loadConfig } = await import("../config/index.ts");
    return loadConfig({
      system: globals.systemConfig,
      local: globals.localConfig,
      user: globals.userConfig === "" ? undefined : globals.userConfig,
    });
  });

  const dataDir = once(async () => {
    const configured = globals.dirGiven ? undefined : (await config()).paths.data;
    return resolveLinks(host, configured ?? globals.dir);
  });

  const store = once(async () => {
    const { openStore } = await import("../store/index.ts");
    opened = openStore(await dataDir());
    return opened;
  });

  const keystore = once(async () => {
    if (globals.insecure.image) return undefined;
    const { openKeystore } = await import("../trust/keystore.ts");
    return openKeystore(directories);
  });

  const networkContext = async (): Promise<NetworkContext> => ({
    config: await config(),
    insecure: globals.insecure,
    version: VERSION,
    report: reporter,
    env: host.env,
  });

  const localContext = async (options: FetchOptions): Promise<LocalContext> => ({
    store: await store(),
    insecure: globals.insecure,
    report: reporter,
    pullPolicy: options.pullPolicy,
    dependencies: options.dependencies,
    platform: options.platform === "" ? undefined : options.platform,
  });

  return {
    host,
    env: host.env,
    cwd: host.cwd,
    euid: host.euid,
    globals,
    commandName,
    reporter,
    isTTY: (fd) => host.isTTY(fd),
    now: () => host.now(),
    out: (text) => host.write(1, text),
    err: (text) => host.write(2, text),
    config,
    dataDir,
    store,
    keystore,
    networkContext,
    review: () => makeReview(host),
    localContext,
    async fetchContext(options) {
      return {
        ...(await networkContext()),
        ...(await localContext(options)),
        keystore: await keystore(),
        trustKeysFromHttps: globals.trustKeysFromHttps,
        trustRoots: trustRootPaths(directories),
        // Looked at only when there is a key to review: asking for a terminal takes 1 ms of a start.
        get review() {
          return makeReview(host);
        },
      };
    },
    close() {
      opened?.[Symbol.dispose]();
      opened = undefined;
    },
  };
}

function makeReview(host: Host): Review {
  if (!host.isTTY(0) || !host.isTTY(2)) return undefined;
  return async (question) => {
    const { reviewOn } = await import("../fetch/review.ts");
    return reviewOn({ write: (text) => host.write(2, text), readLine: () => host.readLine() })(
      question,
    );
  };
}

/** The directory behind symbolic links; one that is not there yet is taken as it is (rkt-cli §1.2). */
function resolveLinks(host: Host, path: string): string {
  try {
    return host.realpath(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return path;
    throw new RktError("DIRECTORY_INVALID", `cannot use data directory ${JSON.stringify(path)}`, {
      cause: error,
    });
  }
}
