// SPDX-License-Identifier: Apache-2.0
// `rkt trust --type`, `--list`, `--remove`: what has to vouch for OCI and Docker images, by prefix.
import { resolve } from "node:path";
import {
  checkPrefix,
  FieldError,
  localPolicy,
  parseTrustPolicy,
  removeTrustPolicy,
  type TrustPolicy,
  trustPolicyToJson,
  writeTrustPolicy,
} from "../../config/trust.ts";
import { FetchError } from "../../fetch/errors.ts";
import { downloadPublicKey } from "../../fetch/pubkeys.ts";
import { assertNever } from "../../lib/assert-never.ts";
import { quote, stripControl } from "../../lib/text.ts";
import type { Run } from "../command.ts";
import { trustRootPaths } from "../context.ts";
import type { trustFlags } from "../flag-sets.ts";
import { alignTabs } from "../table.ts";
import { UsageError } from "../usage-error.ts";

type Input = Parameters<Run<typeof trustFlags>>[0];

/** `--list`: each policy that counts, one line for each way that it accepts. */
export async function listPolicies({ context }: Input): Promise<number> {
  const { trustPolicies } = await context.config();
  const rows = [...trustPolicies.values()]
    .sort((a, b) => (a.prefix < b.prefix ? -1 : 1))
    .flatMap((policy) =>
      describe(policy).map((what, i) => `${i === 0 ? showPrefix(policy.prefix) : ""}\t${what}`),
    );
  if (rows.length > 0) context.out(`${alignTabs(["PREFIX\tACCEPTS", ...rows].join("\n"))}\n`);
  return 0;
}

/** `--remove`: takes away what `rkt trust --type` wrote for the prefix. */
export async function removePolicy({ context, flags }: Input): Promise<number> {
  const prefix = prefixOf(flags);
  const path = removeTrustPolicy(context.globals.localConfig, prefix);
  if (path === undefined) {
    throw new UsageError("ARGUMENT_INVALID", `there is no trust policy for ${quote(prefix)}`, {
      remedy: "rkt trust --list shows those that there are; keys are files of trustedkeys",
    });
  }
  context.out(`Removed the trust policy ${quote(path)}\n`);
  return 0;
}

/** Adds one way in which the images of a prefix may be vouched for, and writes the policy. */
export async function addPolicy(input: Input): Promise<number> {
  const { context, flags } = input;
  const prefix = prefixOf(flags);
  const [added] = parse({
    prefixes: [prefix],
    accept: await methods(input),
    attestations: flags.require.map(attestation),
    signedReference: flags["signed-reference"],
  });
  if (added === undefined) throw new Error("a policy was parsed to nothing");
  const before = localPolicy(context.globals.localConfig, prefix);
  const policy = merge(before, added);
  const shown = describe(added);
  context.reporter.line("trust", `prefix: ${quote(prefix)}`);
  for (const line of shown) context.out(`${line}\n`);
  if (!(await isReviewed(input, { prefix, policy: added }))) {
    context.reporter.line("trust", `not trusting this for ${quote(prefix)}`);
    return 0;
  }
  await checkUsable(policy, input);
  const path = writeTrustPolicy(context.globals.localConfig, policy);
  context.out(`Wrote the trust policy for prefix ${quote(prefix)} at ${quote(path)}\n`);
  return 0;
}

/** The empty prefix is every image: only when --root says so. */
function prefixOf({ prefix, root }: Input["flags"]): string {
  if (root === (prefix !== "")) {
    throw new UsageError("ARGUMENT_INVALID", "say for which images: --prefix=PREFIX, or --root");
  }
  try {
    checkPrefix(prefix);
  } catch (error) {
    throw asUsage(error);
  }
  return prefix;
}

/** A URL as it is: the policy says which ones will do. */
function placeOf(lookaside: string, cwd: string): string {
  return /^[a-z]+:\/\//.test(lookaside) ? lookaside : resolve(cwd, lookaside);
}

async function methods({ context, flags, args }: Input): Promise<object[]> {
  const { type } = flags;
  const trustRoot = flags["trust-root"];
  const root = trustRoot === "" ? {} : { trustRoot: resolve(context.cwd, trustRoot) };
  switch (type) {
    case "openpgp":
      return [{ type: "openpgp", lookaside: placeOf(flags.lookaside, context.cwd) }];
    case "sigstore-key": {
      if (args.length === 0) {
        throw new UsageError("ARGUMENT_INVALID", "--type=sigstore-key needs a public key", {
          remedy: "rkt trust --type=sigstore-key --prefix=PREFIX KEY.pub",
        });
      }
      const found: object[] = [];
      for (const location of args) {
        found.push({
          type: "sigstoreKey",
          key: await readSigstoreKey(location, { context, flags }),
          ...root,
        });
      }
      return found;
    }
    case "sigstore-keyless":
      refuseKeys(args);
      return [
        {
          type: "sigstoreKeyless",
          identity: flags.identity,
          identityRegexp: flags["identity-regexp"],
          issuer: flags.issuer,
          ...root,
        },
      ];
    case "none":
      refuseKeys(args);
      return [{ type: "nothing" }];
    default:
      return assertNever(type);
  }
}

function refuseKeys(args: readonly string[]): void {
  if (args.length === 0) return;
  throw new UsageError("ARGUMENT_INVALID", "this type takes no keys", {
    details: { args },
  });
}

async function readSigstoreKey(
  location: string,
  { context, flags }: Pick<Input, "context" | "flags">,
): Promise<string> {
  const bytes = await downloadPublicKey(location, {
    context: await context.networkContext(),
    allowHttp: flags["insecure-allow-http"],
  });
  const { sigstoreKeyOf } = await import("../../trust/oci/trust-root.ts");
  return sigstoreKeyOf(bytes, location).base64;
}

/** `provenance[,builder=ID][,source=URI]`, `sbom[,format=spdx|cyclonedx]`. */
function attestation(text: string): object {
  const [type = "", ...fields] = text.split(",");
  const rule: Record<string, string> = { type };
  for (const field of fields) {
    const equals = field.indexOf("=");
    if (equals < 1) {
      throw new UsageError("ARGUMENT_INVALID", `--require: ${quote(field)} is not NAME=VALUE`);
    }
    rule[field.slice(0, equals)] = field.slice(equals + 1);
  }
  return rule;
}

function parse(file: object): readonly TrustPolicy[] {
  try {
    return parseTrustPolicy({ ...file });
  } catch (error) {
    throw asUsage(error);
  }
}

function asUsage(error: unknown): unknown {
  if (!(error instanceof FieldError)) return error;
  return new UsageError("ARGUMENT_INVALID", error.message);
}

/** What was there stays beside what is added; requiring nothing, or something again, replaces it. */
function merge(before: TrustPolicy | undefined, added: TrustPolicy): TrustPolicy {
  if (before === undefined || added.accept.length === 0) return added;
  const isNew = (one: object, among: readonly object[]) =>
    among.every((other) => JSON.stringify(other) !== JSON.stringify(one));
  return {
    prefix: added.prefix,
    accept: [...before.accept, ...added.accept.filter((one) => isNew(one, before.accept))],
    attestations: [
      ...before.attestations,
      ...added.attestations.filter((one) => isNew(one, before.attestations)),
    ],
    signedReference: added.signedReference,
  };
}

async function isReviewed(
  { context, flags }: Input,
  { prefix, policy }: { readonly prefix: string; readonly policy: TrustPolicy },
): Promise<boolean> {
  if (flags["skip-fingerprint-review"]) return true;
  const review = context.review();
  if (review === undefined) {
    throw new FetchError(
      "REVIEW_IMPOSSIBLE",
      "error reviewing trust: unable to ask user because of lack of tty",
      { remedy: "call rkt trust with --skip-fingerprint-review, after comparing what it is about" },
    );
  }
  const ask =
    policy.accept.length === 0
      ? `Are you sure you want to accept images of ${showPrefix(prefix)} that nobody signed (yes/no)?`
      : `Are you sure you want to trust this for ${showPrefix(prefix)} (yes/no)?`;
  return await review({ prefix, location: "", fingerprints: [], ask });
}

/** A policy that could accept nothing is a mistake to tell of now, not at the next fetch. */
async function checkUsable(policy: TrustPolicy, { context }: Input): Promise<void> {
  const keyless = policy.accept.some(({ type }) => type === "sigstoreKeyless");
  const named = policy.accept.flatMap((one) =>
    one.type === "openpgp" || one.trustRoot === undefined ? [] : [one.trustRoot],
  );
  if (!keyless && named.length === 0) return;
  const { readTrustRoot } = await import("../../trust/oci/trust-root.ts");
  for (const path of named) await readTrustRoot([path]);
  if (policy.accept.some((one) => one.type === "sigstoreKeyless" && one.trustRoot === undefined)) {
    await readTrustRoot(trustRootPaths(context.globals));
  }
}

function describe(policy: TrustPolicy): string[] {
  const json = { ...trustPolicyToJson(policy) } as {
    readonly accept: readonly Readonly<Record<string, string>>[];
  };
  const methodsShown = json.accept.map(({ type = "", ...rest }) => line(type, rest));
  const wanted = policy.attestations.map(({ type, ...rest }) => `and ${line(type, rest)}`);
  return [...methodsShown, ...wanted];
}

function line(type: string, fields: Readonly<Record<string, string | undefined>>): string {
  const shown = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${stripControl(value)}`],
  );
  return [type, ...shown].join(" ");
}

const showPrefix = (prefix: string): string => (prefix === "" ? "every image" : quote(prefix));
