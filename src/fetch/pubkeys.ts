// SPDX-License-Identifier: Apache-2.0
// Public keys from somewhere into the keystore: where they are, getting them, showing them to a person, trusting
// them (rkt-cli.md §3). Used by `rkt trust`, and by fetch before an image whose prefix has no key yet.
import { parseACIdentifier } from "../appc/index.ts";
import { RktError } from "../lib/errors.ts";
import { quote, redactUrl, stripControl } from "../lib/text.ts";
import {
  formatFingerprint,
  type Keystore,
  MAX_FILE_SIZE,
  type PublicKeyInfo,
  readPublicKeys,
} from "../trust/index.ts";
import type { NetworkContext, Review } from "./context.ts";
import { discoverKeyUrls } from "./discovery.ts";
import { FetchError } from "./errors.ts";
import { statusError } from "./http-status.ts";
import { type Network, openNetwork } from "./network.ts";
import { readSmallBody, readSmallFile } from "./read-small.ts";

export interface KeyNetworkOptions {
  readonly context: NetworkContext;
  /** --insecure-allow-http of `rkt trust`; --insecure-options=http,pubkey allows it too. */
  readonly allowHttp: boolean;
}

/** Certificates are ignored only with both `tls` and `pubkey`, plain http is used only with `http` and `pubkey`. */
function keyNetwork({ context, allowHttp }: KeyNetworkOptions): {
  readonly network: Network;
  readonly allowHttp: boolean;
} {
  const { tls, http, pubkey } = context.insecure;
  return { network: openNetwork(context, tls && pubkey), allowHttp: allowHttp || (http && pubkey) };
}

/** Where the keys for a prefix are, by discovery. Throws KEY_LOCATION when it finds none. */
export async function discoverPublicKeys(
  prefix: string,
  options: KeyNetworkOptions,
): Promise<readonly string[]> {
  const { discoveryPort } = options.context;
  const name = parseACIdentifier(prefix);
  try {
    const { found, failures } = await discoverKeyUrls(name, {
      ...keyNetwork(options),
      ...(discoveryPort === undefined ? {} : { port: discoveryPort }),
    });
    for (const failure of failures) {
      options.context.report.debug(
        "pubkey",
        `meta tag ac-discovery-pubkeys not found on ${failure.prefix}: ${failure.error}`,
      );
    }
    return found;
  } catch (cause) {
    if (!(cause instanceof RktError)) throw cause;
    throw new FetchError("KEY_LOCATION", "error determining key location", { cause });
  }
}

/** The bytes of a key file: a path, an https URL or, where that is allowed, an http URL. */
export async function downloadPublicKey(
  location: string,
  options: KeyNetworkOptions,
): Promise<Uint8Array> {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(location)?.[1]?.toLowerCase();
  if (scheme === undefined) return readKeyFile(location);
  const { network, allowHttp } = keyNetwork(options);
  if (scheme === "http" && !allowHttp) {
    throw new FetchError("KEY_LOCATION", "--insecure-allow-http required for http URLs", {
      details: { location: redactUrl(location) },
    });
  }
  if (scheme !== "http" && scheme !== "https") {
    throw new FetchError("KEY_LOCATION", "only local files and http or https URLs supported", {
      details: { location: redactUrl(location) },
    });
  }
  await using answer = await network.client.request(location, {
    auth: network.auth,
    allowDowngrade: allowHttp,
  });
  if (answer.status !== 200) throw statusError("key", location, answer.status);
  return await readSmallBody(answer, MAX_FILE_SIZE);
}

function readKeyFile(path: string): Uint8Array {
  try {
    return readSmallFile(path, MAX_FILE_SIZE);
  } catch (cause) {
    throw new FetchError("FILE_UNREADABLE", `error opening key file ${quote(path)}`, {
      cause,
      details: { path },
    });
  }
}

export interface TrustOptions extends KeyNetworkOptions {
  readonly keystore: Keystore;
  /** Undefined: root keys, trusted for every name. */
  readonly prefix: string | undefined;
  /** Paths and URLs. */
  readonly locations: readonly string[];
  /** Nobody asked for these keys: those that are masked for the prefix are left alone. */
  readonly automatic: boolean;
  readonly skipReview: boolean;
  /** Skips the review of keys that come over https. */
  readonly trustKeysFromHttps: boolean;
  readonly review: Review;
  /** What was asked and done, one line or several each: stdout in `rkt trust`. */
  readonly say: (text: string) => void;
}

/** Trusts the keys at these places, each after its review. A "no" is no error. */
export async function trustKeys(options: TrustOptions): Promise<void> {
  const { context, keystore, prefix, say } = options;
  const shownPrefix = quote(prefix ?? "");
  for (const location of options.locations) {
    const all = await readPublicKeys(await downloadPublicKey(location, options));
    const keys = options.automatic ? withoutMasked(all, options) : all;
    if (keys.length === 0) continue;
    const shown = quote(redactUrl(location));
    context.report.line("pubkey", `prefix: ${shownPrefix}\nkey: ${shown}`);
    for (const key of keys) say(describeKey(key));
    const reviewed = needsReview(location, options);
    if (reviewed && !(await review(location, keys, options))) {
      context.report.line("pubkey", `not trusting ${shown}`);
      continue;
    }
    say(
      `Trusting ${shown} for prefix ${shownPrefix} ${reviewed ? "after" : "without"} fingerprint review.`,
    );
    for (const { armored, fingerprint } of keys) {
      if (keystore.isMasked(prefix, fingerprint)) {
        say(`Key ${fingerprint} was masked for prefix ${shownPrefix}; it is trusted again.`);
      }
      if (prefix === undefined) {
        say(`Added root key at ${quote((await keystore.addRootKey(armored)).path)}`);
      } else {
        const { path } = await keystore.addPrefixKey(prefix, armored);
        say(`Added key for prefix ${shownPrefix} at ${quote(path)}`);
      }
    }
  }
}

/** Who masked a key wants it not to be trusted, whoever publishes it and however often it is found. */
function withoutMasked(
  keys: readonly PublicKeyInfo[],
  { context, keystore, prefix }: TrustOptions,
): readonly PublicKeyInfo[] {
  return keys.filter(({ fingerprint }) => {
    if (!keystore.isMasked(prefix, fingerprint)) return true;
    context.report.line(
      "image",
      `key ${fingerprint} is masked for ${quote(prefix ?? "")}, not trusting it`,
    );
    return false;
  });
}

function describeKey(key: PublicKeyInfo): string {
  return [
    `gpg key fingerprint is: ${formatFingerprint(key.fingerprint)}`,
    ...key.subkeyFingerprints.map((print) => `    Subkey fingerprint: ${formatFingerprint(print)}`),
    ...key.identities.map((identity) => `\t${stripControl(identity).slice(0, 300)}`),
  ].join("\n");
}

/** As in the reference, --trust-keys-from-https counts with --insecure-options=tls,pubkey, too: the user says both. */
function needsReview(location: string, options: TrustOptions): boolean {
  if (options.skipReview) return false;
  return !(options.trustKeysFromHttps && /^https:/i.test(location));
}

async function review(
  location: string,
  keys: readonly PublicKeyInfo[],
  { context, prefix, review: ask }: TrustOptions,
): Promise<boolean> {
  if (ask === undefined) {
    const what = prefix === undefined ? "every image" : quote(prefix);
    const target = prefix === undefined ? "--root" : `--prefix ${quote(prefix)}`;
    const remedies = /^https:/i.test(location)
      ? [
          "call rkt with --trust-keys-from-https",
          `run: rkt trust ${target}${prefix === undefined ? " PUBKEY" : ""}`,
        ]
      : [
          "call rkt trust with --skip-fingerprint-review, after comparing the fingerprint",
          `run on a terminal: rkt trust ${target} PUBKEY`,
        ];
    context.report.line("pubkey", `to trust the key for ${what}, do one of the following:`);
    for (const remedy of remedies) context.report.line("pubkey", ` - ${remedy}`);
    throw new FetchError(
      "REVIEW_IMPOSSIBLE",
      "error reviewing key: unable to ask user to review fingerprint due to lack of tty",
      { details: { prefix, location: redactUrl(location) } },
    );
  }
  return await ask({
    prefix: prefix ?? "",
    location,
    fingerprints: keys.map((key) => key.fingerprint),
  });
}
