// SPDX-License-Identifier: Apache-2.0
// The value of --insecure-options: what the person gave up on purpose (rkt-cli §1.4).
import { RktError } from "./errors.ts";
import { quote } from "./text.ts";

export interface InsecureOptions {
  /** No signature check, and no keystore at all. */
  readonly image: boolean;
  /** TLS certificates are not checked. */
  readonly tls: boolean;
  /** Discovery may fall back to plain HTTP. */
  readonly http: boolean;
  /** Public keys may come over what `http` and `tls` allow. */
  readonly pubkey: boolean;
  /** Accepted, without effect. */
  readonly ondisk: boolean;
  /** Apps get every capability. */
  readonly capabilities: boolean;
  /** Kernel paths are not protected, devices not restricted. */
  readonly paths: boolean;
  /** No seccomp filter. */
  readonly seccomp: boolean;
}

export const SECURE: InsecureOptions = {
  image: false,
  tls: false,
  http: false,
  pubkey: false,
  ondisk: false,
  capabilities: false,
  paths: false,
  seccomp: false,
};

const FETCH = ["image", "tls", "http", "pubkey"] as const;
const RUN = ["capabilities", "paths", "seccomp"] as const;

const MEANING: Readonly<Record<string, readonly (keyof InsecureOptions)[]>> = {
  none: [],
  image: ["image"],
  tls: ["tls"],
  http: ["http"],
  pubkey: ["pubkey"],
  ondisk: ["ondisk"],
  capabilities: ["capabilities"],
  paths: ["paths"],
  seccomp: ["seccomp"],
  "all-fetch": FETCH,
  "all-run": RUN,
  all: [...FETCH, "ondisk", ...RUN],
};

/** The words that the flag knows, for help and completion. */
export const INSECURE_WORDS: readonly string[] = Object.keys(MEANING);

/** Parses a comma list; case does not matter. Throws INSECURE_OPTION_INVALID. */
export function parseInsecureOptions(text: string): InsecureOptions {
  const options: { -readonly [K in keyof InsecureOptions]: boolean } = { ...SECURE };
  if (text === "") return options;
  const seen = new Set<string>();
  for (const word of text.toLowerCase().split(",")) {
    const meaning = Object.hasOwn(MEANING, word) ? MEANING[word] : undefined;
    if (meaning === undefined) {
      throw new RktError("INSECURE_OPTION_INVALID", `unknown option ${quote(word)}`);
    }
    if (seen.has(word)) {
      throw new RktError("INSECURE_OPTION_INVALID", `duplicated option ${quote(word)}`);
    }
    seen.add(word);
    for (const option of meaning) options[option] = true;
  }
  return options;
}
