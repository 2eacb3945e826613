// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import {
  capabilitiesIsolator,
  checkAppIsolators,
  cpuSharesIsolator,
  DEFAULT_CAPABILITIES,
  findIsolator,
  noNewPrivilegesIsolator,
  oomScoreAdjIsolator,
  parseIsolator,
  replaceIsolators,
  resourceIsolator,
  seccompIsolator,
} from "./isolators.ts";
import { parseACIdentifier } from "./names.ts";
import type { Isolator } from "./types.ts";

function isolator(name: string, value: unknown): Isolator {
  return { name: parseACIdentifier(name), value };
}

function parse(name: string, value: unknown) {
  return parseIsolator(isolator(name, value));
}

test("known isolators have a typed form", () => {
  expect(parse("os/linux/capabilities-retain-set", { set: ["CAP_KILL"] })).toEqual({
    kind: "capabilities-retain-set",
    set: ["CAP_KILL"],
  });
  expect(parse("os/linux/seccomp-remove-set", { Set: ["@docker/x"], ERRNO: "EPERM" })).toEqual({
    kind: "seccomp-remove-set",
    set: ["@docker/x"],
    errno: "EPERM",
  });
  expect(parse("os/linux/no-new-privileges", true)).toEqual({
    kind: "no-new-privileges",
    enabled: true,
  });
  const context = { user: "u", role: "r", type: "t", level: "s0:c1" };
  expect(parse("os/linux/selinux-context", context)).toEqual({
    kind: "selinux-context",
    ...context,
  });
  expect(parse("os/linux/apparmor-profile", { profile: "p" })).toEqual({
    kind: "apparmor-profile",
    profile: "p",
  });
  expect(parse("os/linux/oom-score-adj", -1000)).toEqual({ kind: "oom-score-adj", score: -1000 });
  expect(parse("os/linux/cpu-shares", 2)).toEqual({ kind: "cpu-shares", shares: 2 });
  expect(parse("os/unix/sysctl", { "net.x": "1" })).toEqual({
    kind: "sysctl",
    settings: { "net.x": "1" },
  });
  expect(parse("vendor/own", "anything")).toBeUndefined();
});

test("resource isolators carry quantities, as text or as numbers", () => {
  const memory = parse("resource/memory", { request: " 1G ", limit: 2 });
  if (memory?.kind !== "memory") throw new Error("not a memory isolator");
  expect(memory.request?.value()).toBe(1_000_000_000n);
  expect(memory.limit?.value()).toBe(2n);
  expect(memory.default).toBe(false);
  const cpu = parse("resource/cpu", { limit: "500m", request: null });
  expect(cpu).toMatchObject({ kind: "cpu", default: false });
  const bandwidth = parse("resource/network-bandwidth", { default: true, limit: "1G" });
  expect(bandwidth).toMatchObject({ kind: "network-bandwidth", default: true });
});

test("a known isolator with a bad value is refused in the reference's words", () => {
  for (const [name, value, message] of [
    ["os/linux/capabilities-retain-set", { set: [] }, "set must be non-empty"],
    ["os/linux/capabilities-remove-set", {}, "set must be non-empty"],
    ["os/linux/capabilities-remove-set", undefined, "set must be non-empty"],
    ["os/linux/seccomp-retain-set", { set: null }, "set must be non-empty"],
    [
      "os/linux/seccomp-retain-set",
      { set: ["a"], errno: "PERM" },
      "errno must start with an 'E' character, got PERM",
    ],
    [
      "os/linux/seccomp-retain-set",
      { set: ["a"], errno: "Eperm" },
      "errno can only contain upper case or numeric characters, got Eperm",
    ],
    [
      "os/linux/selinux-context",
      { user: "a:b", role: "r", type: "t", level: "l" },
      `invalid user value "a:b"`,
    ],
    ["os/linux/selinux-context", { user: "u", role: "r", type: "t" }, `invalid level value ""`],
    ["os/linux/apparmor-profile", {}, `invalid profile value ""`],
    [
      "os/linux/oom-score-adj",
      1001,
      "os/linux/oom-score-adj must be between -1000 and 1000, got 1001",
    ],
    ["os/linux/cpu-shares", 1, "os/linux/cpu-shares must be between 2 and 262144, got 1"],
    ["resource/cpu", { default: true }, "default must be false"],
    ["resource/memory", { default: true }, "default must be false"],
    ["resource/memory", { limit: "1K" }, "unable to parse quantity's suffix"],
    ["resource/block-iops", { limit: "1" }, "default must be true"],
    [
      "resource/block-bandwidth",
      { default: true, request: "1", limit: "1" },
      "request not supported by this resource, must be empty",
    ],
    ["os/linux/no-new-privileges", "yes", "expected true or false, found a string"],
  ] as const) {
    expect(() => parse(name, value)).toThrow(message);
  }
});

test("an app's set refuses unknown names, a second single one, and both kinds of seccomp", () => {
  const seccomp = (mode: "retain" | "remove") => seccompIsolator(mode, ["open"]);
  expect(() => checkAppIsolators([isolator("vendor/own", 1)])).toThrow("invalid isolator");
  expect(() => checkAppIsolators([cpuSharesIsolator(2), cpuSharesIsolator(3)])).toThrow(
    "isolators set contains too many instances of type os/linux/cpu-shares",
  );
  expect(() => checkAppIsolators([seccomp("retain"), seccomp("remove")])).toThrow(
    "isolators set contains incompatible types",
  );
  const twice = [
    capabilitiesIsolator("retain", ["CAP_KILL"]),
    capabilitiesIsolator("retain", ["CAP_CHOWN"]),
    resourceIsolator("cpu", "1"),
    resourceIsolator("cpu", "2"),
    noNewPrivilegesIsolator(true),
    noNewPrivilegesIsolator(false),
  ];
  expect(checkAppIsolators(twice)).toBe(twice);
});

test("tools make isolators in the reference's form", () => {
  expect<unknown>(resourceIsolator("memory", "1024Mi")).toEqual({
    name: "resource/memory",
    value: { default: false, request: "1Gi", limit: "1Gi" },
  });
  expect<unknown>(seccompIsolator("remove", ["reboot"])).toEqual({
    name: "os/linux/seccomp-remove-set",
    value: { set: ["reboot"], errno: "" },
  });
  expect(() => oomScoreAdjIsolator(-1001)).toThrow("must be between -1000 and 1000, got -1001");
  expect(() => capabilitiesIsolator("remove", [])).toThrow("set must be non-empty");
});

test("the last isolator of a name counts; replacing removes all that are named", () => {
  const all = [cpuSharesIsolator(2), oomScoreAdjIsolator(1), cpuSharesIsolator(3)];
  expect(findIsolator(all, "os/linux/cpu-shares")?.value).toBe(3);
  expect(findIsolator(all, "resource/cpu")).toBeUndefined();
  expect(replaceIsolators(all, cpuSharesIsolator(9), ["os/linux/cpu-shares"])).toEqual([
    oomScoreAdjIsolator(1),
    cpuSharesIsolator(9),
  ]);
});

test("there are fourteen default capabilities", () => {
  expect(DEFAULT_CAPABILITIES).toHaveLength(14);
  expect(DEFAULT_CAPABILITIES).not.toContain("CAP_SYS_ADMIN");
});
