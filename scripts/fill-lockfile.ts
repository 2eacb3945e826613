// SPDX-License-Identifier: Apache-2.0
// Completes package-lock.json after `npm install`: where a registry lacks the packages of other
// platforms, npm leaves them out and the next `npm ci` calls the lock file out of date. Each missing
// optional package gets an entry that says for which platform it is, so that `npm ci` passes over it.
// And `engines` go: our tools run under Bun, but an older npm leaves optional packages out, a tool's native
// part among them, that want a newer Node than Debian's.
import { readFileSync, writeFileSync } from "node:fs";

interface LockedPackage {
  readonly version?: string;
  readonly engines?: unknown;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly [key: string]: unknown;
}

const OS = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"];
const CPU: Readonly<Record<string, string>> = {
  x64: "x64",
  arm64: "arm64",
  arm: "arm",
  ia32: "ia32",
};
const OTHER_CPU = ["ppc64", "riscv64", "s390x"];

/** The platform in a package name such as `@x/binding-linux-arm-musleabihf`; undefined when none. */
export function platformOf(name: string): { os: string; cpu: string; libc?: string } | undefined {
  const words = name.split(/[/-]/);
  const os = words.find((word) => OS.includes(word));
  const cpu = words.map((word) => CPU[word] ?? (OTHER_CPU.includes(word) ? word : undefined));
  const found = cpu.find((word) => word !== undefined);
  if (os === undefined || found === undefined) return undefined;
  return words.some((word) => word.startsWith("musl"))
    ? { os, cpu: found, libc: "musl" }
    : { os, cpu: found };
}

if (import.meta.main) {
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
  const packages: Record<string, LockedPackage> = lock.packages;
  let added = 0;
  for (const [key, { engines, ...entry }] of Object.entries(packages)) {
    if (engines !== undefined && key !== "") packages[key] = entry;
  }
  for (const entry of Object.values({ ...packages })) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const key = `node_modules/${name}`;
      if (packages[key] !== undefined) continue;
      const platform = platformOf(name);
      if (platform === undefined) throw new Error(`no platform in the name of ${name}`);
      packages[key] = {
        version,
        cpu: [platform.cpu],
        dev: true,
        ...(platform.libc === undefined ? {} : { libc: [platform.libc] }),
        optional: true,
        os: [platform.os],
      };
      added += 1;
    }
  }
  const root = packages[""];
  lock.packages = Object.fromEntries(
    Object.entries(packages)
      .filter(([key]) => key !== "")
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  lock.packages = { "": root, ...lock.packages };
  writeFileSync("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`package-lock.json: ${added} packages of other platforms added`);
}
