// SPDX-License-Identifier: Apache-2.0
// `rkt trust` (rkt-cli §3): public keys into the keystore.

import { FetchError } from "../../fetch/errors.ts";
import { discoverPublicKeys, trustKeys } from "../../fetch/pubkeys.ts";
import { dockerIdentifier } from "../../oci/index.ts";
import type { Run } from "../command.ts";
import type { trustFlags } from "../flag-sets.ts";
import { UsageError } from "../usage-error.ts";

const UNBOUNDED = `aborting due to implicit unbounded trust (root domain)
a key without a prefix would be trusted for every image; say which of the two you mean:`;

export const run: Run<typeof trustFlags> = async (input) => {
  const { context, flags, args, usage } = input;
  const { prefix, root } = flags;
  if (flags.list || flags.remove || flags.type !== "openpgp" || flags.lookaside !== "") {
    const policies = await import("./trust-policy.ts");
    if (flags.list) return await policies.listPolicies(input);
    if (flags.remove) return await policies.removePolicy(input);
    const status = await policies.addPolicy(input);
    if (flags.type !== "openpgp" || args.length === 0) return status;
  }
  if (prefix === "" && !root) {
    if (args.length === 0) return usage();
    throw new UsageError("ARGUMENT_INVALID", UNBOUNDED, {
      remedy: "--prefix=PREFIX for the images of one prefix, or --root for all images",
    });
  }
  if (prefix !== "" && root) {
    throw new UsageError("ARGUMENT_INVALID", "--root and --prefix usage mutually exclusive");
  }
  if (prefix.includes("://")) {
    throw new UsageError(
      "ARGUMENT_INVALID",
      "--prefix must not contain a URL scheme, omit http://",
    );
  }
  const keystore = await context.keystore();
  if (keystore === undefined) {
    throw new UsageError("ARGUMENT_INVALID", "could not get the keystore", {
      remedy: "leave out --insecure-options=image, which turns the keystore off",
    });
  }
  const network = {
    context: await context.networkContext(),
    allowHttp: flags["insecure-allow-http"],
  };
  if (args.length === 0 && root) {
    throw new FetchError("KEY_LOCATION", "error determining key location: empty prefix", {
      remedy: "rkt trust --root PUBKEY, PUBKEY being a file or a URL",
    });
  }
  // Keys are kept by AC identifiers, and an OCI image's name may be none: a port is not allowed.
  const keyPrefix = flags.lookaside === "" ? prefix : (dockerIdentifier(prefix) ?? prefix);
  await trustKeys({
    ...network,
    keystore,
    prefix: root ? undefined : keyPrefix,
    locations: args.length > 0 ? args : await discoverPublicKeys(prefix, network),
    automatic: false,
    skipReview: flags["skip-fingerprint-review"],
    trustKeysFromHttps: context.globals.trustKeysFromHttps,
    review: context.review(),
    say: (text) => context.out(`${text}\n`),
  });
  return 0;
};
