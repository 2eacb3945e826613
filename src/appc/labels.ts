// SPDX-License-Identifier: Apache-2.0
// Labels: their rules, the known operating systems and architectures, matching. (appc.md section 1.9)

import { quote, stripControl } from "../lib/text.ts";
import { ManifestError } from "./errors.ts";
import type { ACIdentifier, Label, Labels } from "./types.ts";

type OSArch = ReadonlyMap<string, readonly string[]>;

/** What the specification knows. */
export const VALID_OS_ARCH: OSArch = new Map([
  [
    "linux",
    [
      "amd64",
      "i386",
      "aarch64",
      "aarch64_be",
      "armv6l",
      "armv7l",
      "armv7b",
      "ppc64",
      "ppc64le",
      "s390x",
    ],
  ],
  ["freebsd", ["amd64", "i386", "arm"]],
  ["darwin", ["x86_64", "i386"]],
]);

/** What rkt runs. */
export const RUNTIME_OS_ARCH: OSArch = new Map([
  ["linux", ["amd64", "i386", "aarch64", "aarch64_be", "armv6l", "armv7l", "armv7b", "ppc64le"]],
]);

export function getLabel(labels: Labels, name: string): string | undefined {
  return labels.find((label) => label.name === name)?.value;
}

/** The labels with `name` set: in its place when it was there, else at the end. */
export function setLabel(labels: Labels, name: ACIdentifier, value: string): Labels {
  return labels.some((label) => label.name === name)
    ? labels.map((label) => (label.name === name ? { name, value } : label))
    : [...labels, { name, value }];
}

/** Refuses the label `name`, duplicates, and an os or os/arch that the specification does not know. */
export function checkLabels(labels: Labels): Labels {
  const seen = new Set<string>();
  for (const { name } of labels) {
    if (name === "name") throw invalid(`invalid label name: "name"`);
    if (seen.has(name)) throw invalid(`duplicate labels of name ${quote(name)}`);
    seen.add(name);
  }
  checkOSArch(labels);
  return labels;
}

/** Checks os, and arch when there is an os: arch alone means nothing. */
export function checkOSArch(labels: Labels, known: OSArch = VALID_OS_ARCH): void {
  const os = getLabel(labels, "os");
  if (os === undefined) return;
  const archs = known.get(os);
  if (archs === undefined) {
    const names = [...known.keys()].sort().join(" ");
    throw invalid(`bad os ${quote(os)} (must be one of: [${names}])`);
  }
  const arch = getLabel(labels, "arch");
  if (arch !== undefined && !archs.includes(arch)) {
    throw invalid(`bad arch ${quote(arch)} for ${os} (must be one of: [${archs.join(" ")}])`);
  }
}

/** Refuses an image that does not say its os and arch, or says one that rkt does not run. */
export function checkRuntimeLabels(labels: Labels): void {
  for (const name of ["os", "arch"]) {
    if (getLabel(labels, name) === undefined) {
      throw new ManifestError("LABELS_INVALID", `missing ${name} label in the image manifest`, {
        remedy: `who builds the image gives it a label ${name}, for example ${name === "os" ? "linux" : "amd64"}`,
      });
    }
  }
  checkOSArch(labels, RUNTIME_OS_ARCH);
}

/** Undefined when `actual` has every requested label with the same value, else the first difference. */
export function labelMismatch(requested: Labels, actual: Labels): string | undefined {
  for (const { name, value } of requested) {
    const found = getLabel(actual, name);
    if (found === undefined) {
      return `requested label ${quote(name)} not provided by the image manifest`;
    }
    if (found !== value) {
      return `requested value for label ${quote(name)}: ${quote(value)} differs from fetched aci label value: ${quote(found)}`;
    }
  }
  return undefined;
}

export function matchLabels(requested: Labels, actual: Labels): boolean {
  return labelMismatch(requested, actual) === undefined;
}

export interface Host {
  /** As `process.platform`, or Go's GOOS. */
  readonly platform: string;
  /** As `process.arch`, or Go's GOARCH. */
  readonly arch: string;
  /** The ARM version ("6", "7"), for 32-bit ARM on Linux. */
  readonly armVersion?: string | undefined;
}

const APPC_ARCH: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  linux: {
    x64: "amd64",
    amd64: "amd64",
    ia32: "i386",
    "386": "i386",
    arm64: "aarch64",
    arm: "armv6l",
    arm7: "armv7l",
    // Node and Bun say ppc64 for either byte order; the runtimes only exist for little endian.
    ppc64: "ppc64le",
    ppc64le: "ppc64le",
    s390x: "s390x",
  },
  freebsd: { x64: "amd64", amd64: "amd64", ia32: "i386", "386": "i386", arm: "arm" },
  darwin: { x64: "x86_64", amd64: "x86_64", ia32: "i386", "386": "i386" },
};

/** The os and arch labels of a machine, in appc's words. */
export function hostLabels(host: Host): readonly [Label, Label] {
  const { platform, arch, armVersion } = host;
  const table = Object.hasOwn(APPC_ARCH, platform) ? APPC_ARCH[platform] : undefined;
  const versioned = platform === "linux" && arch === "arm" && armVersion === "7" ? "arm7" : arch;
  const value =
    table !== undefined && Object.hasOwn(table, versioned) ? table[versioned] : undefined;
  if (value === undefined) {
    throw invalid(
      `unknown arch tuple: ${quote(platform)} - ${quote(arch)} - ${quote(armVersion ?? "")}`,
    );
  }
  return [
    { name: "os" as ACIdentifier, value: platform },
    { name: "arch" as ACIdentifier, value },
  ];
}

/** The labels with the host's os and arch where they are not given. */
export function withHostLabels(labels: Labels, host: Host): Labels {
  const missing = hostLabels(host).filter(({ name }) => getLabel(labels, name) === undefined);
  return [...labels, ...missing];
}

/** `a=1,b=2`, for people. */
export function formatLabels(labels: Labels): string {
  return labels.map(({ name, value }) => `${name}=${stripControl(value)}`).join(",");
}

function invalid(message: string): ManifestError {
  return new ManifestError("LABELS_INVALID", message);
}
