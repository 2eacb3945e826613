// SPDX-License-Identifier: Apache-2.0
// What fetching needs of the rest of the program.
import type { Config } from "../config/index.ts";
import type { InsecureOptions } from "../lib/insecure-options.ts";
import type { Reporter } from "../lib/reporter.ts";
import type { Store } from "../store/index.ts";
import type { Keystore } from "../trust/index.ts";
import type { HttpTimeouts } from "./http.ts";
import type { Environment } from "./proxy.ts";

/** `new` is the default of run and prepare, `update` that of fetch (rkt-cli.md §2.1). */
export type PullPolicy = "never" | "new" | "update";

/** What a person is asked before a key is trusted. */
export interface ReviewQuestion {
  readonly prefix: string;
  /** Where the key came from. */
  readonly location: string;
  readonly fingerprints: readonly string[];
  /** The question itself, when it is not about a key. */
  readonly ask?: string;
}

/** Undefined stands for "there is nobody to ask". */
export type Review = ((question: ReviewQuestion) => Promise<boolean>) | undefined;

/** How to talk to servers; separate from FetchContext for `rkt trust`, which has no store. */
export interface NetworkContext {
  readonly config: Config;
  readonly insecure: InsecureOptions;
  readonly version: string;
  readonly report: Reporter;
  /** Proxies and certificates; the process's environment when left out. */
  readonly env?: Environment;
  readonly timeouts?: HttpTimeouts;
  /** Waits before a registry is asked again; milliseconds. */
  readonly pause?: (milliseconds: number) => Promise<unknown>;
  /** For discovery, in place of 443 and 80. */
  readonly discoveryPort?: number;
}

/** What it takes to find an image in the store: no keys, no configuration, no network. */
export interface LocalContext {
  readonly store: Store;
  readonly insecure: InsecureOptions;
  readonly report: Reporter;
  readonly pullPolicy: PullPolicy;
  /** Whether dependencies are fetched too; stage1 images have none. */
  readonly dependencies: boolean;
  /** --platform, of an image that is there for several; the machine's own when left out. */
  readonly platform?: string | undefined;
}

export interface FetchContext extends NetworkContext, LocalContext {
  /** Undefined with --insecure-options=image: nothing is verified. */
  readonly keystore: Keystore | undefined;
  readonly trustKeysFromHttps: boolean;
  /** Where sigstore's trusted_root.json may be; the first that is there counts. */
  readonly trustRoots?: readonly string[];
  readonly review?: Review;
  /** The largest image, in bytes; 64 GiB when left out. */
  readonly maxImageSize?: number;
}
