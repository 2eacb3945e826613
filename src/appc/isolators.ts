// SPDX-License-Identifier: Apache-2.0
// Isolators: the typed form of the known ones, the rules for a set of them, and how tools make them.
// (appc.md sections 1.13 and 8)

import { once } from "../lib/once.ts";
import { quote, stripControl } from "../lib/text.ts";
import { boolean, type Codec, integer, list, object, string, stringMap } from "./codec.ts";
import { ManifestError } from "./errors.ts";
import { parseQuantity, type Quantity } from "./quantity.ts";
import type { ACIdentifier, Isolator, Isolators, StringMap } from "./types.ts";

/** `kind` is the last part of the isolator's name. */
export type KnownIsolator =
  | CapabilitiesIsolator
  | SeccompIsolator
  | { readonly kind: "no-new-privileges"; readonly enabled: boolean }
  | ({ readonly kind: "selinux-context" } & SELinuxContext)
  | { readonly kind: "apparmor-profile"; readonly profile: string }
  | { readonly kind: "oom-score-adj"; readonly score: number }
  | { readonly kind: "cpu-shares"; readonly shares: number }
  | { readonly kind: "sysctl"; readonly settings: StringMap }
  | ResourceIsolator;

export interface CapabilitiesIsolator {
  readonly kind: "capabilities-retain-set" | "capabilities-remove-set";
  /** As written: names are not checked. */
  readonly set: readonly string[];
}

export interface SeccompIsolator {
  readonly kind: "seccomp-retain-set" | "seccomp-remove-set";
  /** System calls and `@` wildcards, as written. */
  readonly set: readonly string[];
  /** Empty: the process is killed by SIGSYS. */
  readonly errno: string;
}

export interface SELinuxContext {
  readonly user: string;
  readonly role: string;
  readonly type: string;
  readonly level: string;
}

export interface ResourceIsolator {
  readonly kind: "cpu" | "memory" | "block-bandwidth" | "block-iops" | "network-bandwidth";
  readonly default: boolean;
  readonly request: Quantity | undefined;
  readonly limit: Quantity | undefined;
}

/** The bounding set of an app that has no capability isolator. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  "CAP_AUDIT_WRITE",
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_KILL",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_NET_BIND_SERVICE",
  "CAP_SETUID",
  "CAP_SETGID",
  "CAP_SETPCAP",
  "CAP_SETFCAP",
  "CAP_SYS_CHROOT",
];

interface Definition {
  readonly parse: (value: unknown) => KnownIsolator;
  /** An app may have only one of it. */
  readonly single?: true;
  /** The isolator that may not stand beside it. */
  readonly conflict?: string;
}

const definitions = once(
  (): ReadonlyMap<string, Definition> =>
    new Map<string, Definition>([
      ["os/linux/capabilities-retain-set", capabilities("capabilities-retain-set")],
      ["os/linux/capabilities-remove-set", capabilities("capabilities-remove-set")],
      ["os/linux/seccomp-retain-set", seccomp("seccomp-retain-set", "os/linux/seccomp-remove-set")],
      ["os/linux/seccomp-remove-set", seccomp("seccomp-remove-set", "os/linux/seccomp-retain-set")],
      [
        "os/linux/no-new-privileges",
        { parse: (value) => ({ kind: "no-new-privileges", enabled: boolean.decode(value) }) },
      ],
      ["os/linux/selinux-context", { parse: parseSELinuxContext, single: true }],
      ["os/linux/apparmor-profile", { parse: parseAppArmorProfile, single: true }],
      [
        "os/linux/oom-score-adj",
        {
          parse: (value) => ({
            kind: "oom-score-adj",
            score: between(integer.decode(value), "os/linux/oom-score-adj", -1000, 1000),
          }),
          single: true,
        },
      ],
      [
        "os/linux/cpu-shares",
        {
          parse: (value) => ({
            kind: "cpu-shares",
            shares: between(integer.decode(value), "os/linux/cpu-shares", 2, 262144),
          }),
          single: true,
        },
      ],
      [
        "os/unix/sysctl",
        { parse: (value) => ({ kind: "sysctl", settings: stringMap.decode(value) }), single: true },
      ],
      ["resource/cpu", { parse: (value) => parseReservation("cpu", value) }],
      ["resource/memory", { parse: (value) => parseReservation("memory", value) }],
      ["resource/block-bandwidth", { parse: (value) => parseThrottle("block-bandwidth", value) }],
      ["resource/block-iops", { parse: (value) => parseThrottle("block-iops", value) }],
      [
        "resource/network-bandwidth",
        { parse: (value) => parseThrottle("network-bandwidth", value) },
      ],
    ]),
);

/** The typed form; undefined when the name is not known. Throws when the value does not fit a known name. */
export function parseIsolator(isolator: Isolator): KnownIsolator | undefined {
  return definitions().get(isolator.name)?.parse(isolator.value);
}

/**
 * The rules for the set of an app, each isolator being valid by itself. Like the reference, an app with an
 * isolator of an unknown name is refused as a whole.
 */
export function checkAppIsolators(isolators: Isolators): Isolators {
  const seen = new Set<string>();
  for (const { name } of isolators) {
    const definition = definitions().get(name);
    if (definition === undefined) throw invalid("invalid isolator");
    if (definition.single && seen.has(name)) {
      throw invalid(`isolators set contains too many instances of type ${name}`);
    }
    if (definition.conflict !== undefined && seen.has(definition.conflict)) {
      throw invalid("isolators set contains incompatible types");
    }
    seen.add(name);
  }
  return isolators;
}

/** The last isolator of this name: it is the one that counts. */
export function findIsolator(isolators: Isolators, name: string): Isolator | undefined {
  return isolators.findLast((isolator) => isolator.name === name);
}

/** The isolators without those named, and with `replacement` at the end. */
export function replaceIsolators(
  isolators: Isolators,
  replacement: Isolator,
  names: readonly string[],
): Isolators {
  return [...isolators.filter(({ name }) => !names.includes(name)), replacement];
}

/** Request and limit are the same amount, as --cpu and --memory want it. */
export function resourceIsolator(resource: "cpu" | "memory", amount: string): Isolator {
  const quantity = parseQuantity(amount).toString();
  return make(`resource/${resource}`, { default: false, request: quantity, limit: quantity });
}

export function capabilitiesIsolator(mode: "retain" | "remove", set: readonly string[]): Isolator {
  return make(`os/linux/capabilities-${mode}-set`, { set });
}

export function seccompIsolator(
  mode: "retain" | "remove",
  set: readonly string[],
  errno = "",
): Isolator {
  return make(`os/linux/seccomp-${mode}-set`, { set, errno });
}

export function cpuSharesIsolator(shares: number): Isolator {
  return make("os/linux/cpu-shares", shares);
}

export function oomScoreAdjIsolator(score: number): Isolator {
  return make("os/linux/oom-score-adj", score);
}

export function noNewPrivilegesIsolator(enabled: boolean): Isolator {
  return make("os/linux/no-new-privileges", enabled);
}

function make(name: string, value: unknown): Isolator {
  const isolator = { name: name as ACIdentifier, value };
  parseIsolator(isolator);
  return isolator;
}

function capabilities(kind: CapabilitiesIsolator["kind"]): Definition {
  const codec = object<{ set: readonly string[] }>({ set: list(string) });
  return { parse: (value) => ({ kind, set: nonEmpty(codec.decode(value).set) }) };
}

function seccomp(kind: SeccompIsolator["kind"], conflict: string): Definition {
  const codec = object<{ set: readonly string[]; errno: string }>({
    set: list(string),
    errno: string,
  });
  return {
    parse(value) {
      const { set, errno } = codec.decode(value);
      nonEmpty(set);
      if (errno !== "" && !errno.startsWith("E")) {
        throw invalid(`errno must start with an 'E' character, got ${shown(errno)}`);
      }
      if (!/^[A-Z0-9]*$/.test(errno)) {
        throw invalid(
          `errno can only contain upper case or numeric characters, got ${shown(errno)}`,
        );
      }
      return { kind, set, errno };
    },
    single: true,
    conflict,
  };
}

function parseSELinuxContext(value: unknown): KnownIsolator {
  const context = SELINUX.decode(value);
  for (const part of ["user", "role", "type"] as const) {
    if (context[part] === "" || context[part].includes(":")) {
      throw invalid(`invalid ${part} value ${quote(context[part])}`);
    }
  }
  if (context.level === "") throw invalid(`invalid level value ""`);
  return { kind: "selinux-context", ...context };
}

function parseAppArmorProfile(value: unknown): KnownIsolator {
  const { profile } = APPARMOR.decode(value);
  if (profile === "") throw invalid(`invalid profile value ""`);
  return { kind: "apparmor-profile", profile };
}

function parseReservation(kind: "cpu" | "memory", value: unknown): ResourceIsolator {
  const resource = RESOURCE.decode(value);
  if (resource.default) throw invalid("default must be false");
  return { kind, ...resource };
}

function parseThrottle(
  kind: Exclude<ResourceIsolator["kind"], "cpu" | "memory">,
  value: unknown,
): ResourceIsolator {
  const resource = RESOURCE.decode(value);
  if (!resource.default) throw invalid("default must be true");
  if (resource.request !== undefined) {
    throw invalid("request not supported by this resource, must be empty");
  }
  return { kind, ...resource };
}

const SELINUX = object<SELinuxContext>({ user: string, role: string, type: string, level: string });

const APPARMOR = object<{ profile: string }>({ profile: string });

const QUANTITY: Codec<Quantity | undefined> = {
  decode(value) {
    if (value === undefined || value === null) return undefined;
    return parseQuantity(typeof value === "number" ? value : string.decode(value));
  },
  encode: (quantity) => quantity?.toString(),
};

const RESOURCE = object<Omit<ResourceIsolator, "kind">>({
  default: boolean,
  request: QUANTITY,
  limit: QUANTITY,
});

function nonEmpty(set: readonly string[]): readonly string[] {
  if (set.length === 0) throw invalid("set must be non-empty");
  return set;
}

function between(value: number, name: string, low: number, high: number): number {
  if (value < low || value > high) {
    throw invalid(`${name} must be between ${low} and ${high}, got ${value}`);
  }
  return value;
}

function shown(text: string): string {
  return stripControl(text).slice(0, 64);
}

function invalid(message: string): ManifestError {
  return new ManifestError("ISOLATOR_INVALID", message);
}
