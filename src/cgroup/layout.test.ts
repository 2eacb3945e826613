// SPDX-License-Identifier: Apache-2.0
// Which directory and which text for which kernel: golden, because most of these kernels are not the one that runs
// the tests.
import { describe, expect, test } from "bun:test";
import { parseHierarchies } from "./hierarchies.ts";
import {
  type Layout,
  type LimitFacts,
  type PodLimits,
  planLayout,
  type UnifiedParent,
} from "./layout.ts";
import { scopeName } from "./pod-cgroup.ts";
import { cpuBandwidth, cpuWeight } from "./settings.ts";
import { HYBRID, V1_ONLY, V2_ONLY } from "./testing.ts";

const UUID = "6733c088-a507-4694-aabf-fbbb5cab7a34";
const DEVICES = ["8:0", "254:0"];
const ALL = ["cpu", "io", "memory"];

const TWO_APPS: PodLimits = {
  uuid: UUID,
  pod: {},
  apps: [
    { name: "web", limits: { memory: 4n << 20n, cpu: 250n, cpuShares: 512 } },
    { name: "log", limits: { blockBandwidth: 1000n, blockIops: 10n } },
    { name: "free", limits: {} },
  ],
};

const parent = (directory: string, more: Partial<UnifiedParent> = {}): UnifiedParent => ({
  directory,
  root: directory === "/sys/fs/cgroup",
  controllers: ALL,
  enabled: [],
  populated: false,
  writable: true,
  ...more,
});

const facts = (
  proc: { readonly mountinfo: string; readonly cgroups: string },
  parents: readonly UnifiedParent[] = [],
): LimitFacts => ({ hierarchies: parseHierarchies(proc), parents, devices: DEVICES });

const SESSION = "/sys/fs/cgroup/user.slice/user-0.slice/session-1.scope";
/** As systemd has it: the session holds processes, the slices do not, some controllers are on. */
const SYSTEMD = [
  parent(SESSION, { controllers: ["cpu", "memory"], populated: true }),
  parent("/sys/fs/cgroup/user.slice/user-0.slice", {
    controllers: ["memory"],
    enabled: ["memory"],
  }),
  parent("/sys/fs/cgroup/user.slice", { enabled: ["memory"] }),
  parent("/sys/fs/cgroup", { enabled: ["cpu", "memory"], populated: true }),
];

/** One line for each thing that is done; POD is the name of the pod's cgroup. */
function shown({ hierarchies, unenforced }: Layout): string {
  const lines = hierarchies.flatMap((hierarchy) => [
    `v${hierarchy.version} ${hierarchy.controllers.join(" ")}`,
    ...hierarchy.directories.map((directory) => `  mkdir ${directory}`),
    ...hierarchy.writes.map(
      ({ directory, file, text, optional, isolator }) =>
        `  ${directory}/${file} = ${text}${optional ? " (optional)" : ""} <${isolator}>`,
    ),
    ...[...hierarchy.apps].map(([app, directory]) => `  ${app} joins ${directory}`),
    `  init ${hierarchy.init} subcgroup ${hierarchy.subcgroup}`,
  ]);
  const not = unenforced.map(({ app, isolator, reason }) => `not ${app}: ${isolator}: ${reason}`);
  return [...lines, ...not].join("\n").replaceAll(scopeName(UUID), "POD");
}

describe("golden layouts", () => {
  test("cgroup v1 only", () => {
    expect(shown(planLayout(TWO_APPS, facts(V1_ONLY)))).toMatchSnapshot();
  });

  test("hybrid: v1 has the controllers, v2 none", () => {
    const none = [
      parent("/sys/fs/cgroup/unified", { root: true, controllers: [], populated: true }),
    ];
    const layout = shown(planLayout(TWO_APPS, facts(HYBRID, none)));
    expect(layout).toBe(shown(planLayout(TWO_APPS, facts(V1_ONLY))));
  });

  test("cgroup v2 under systemd: the nearest parent without processes", () => {
    expect(shown(planLayout(TWO_APPS, facts(V2_ONLY, SYSTEMD)))).toMatchSnapshot();
  });

  test("a delegated parent that passes the controllers on already", () => {
    const own = parent("/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice", {
      enabled: ["cpu", "memory"],
      controllers: ["cpu", "memory"],
    });
    const limits: PodLimits = {
      uuid: UUID,
      pod: { memory: 1n << 30n },
      apps: [
        { name: "web", limits: { memory: 2n << 30n, memoryRequest: 1n << 20n, cpuRequest: 500n } },
      ],
    };
    const above = parent("/sys/fs/cgroup/user.slice", { writable: false });
    expect(shown(planLayout(limits, facts(V2_ONLY, [own, above])))).toMatchSnapshot();
  });

  test("no parent that could pass a controller on", () => {
    const full = parent(SESSION, { populated: true });
    const foreign = parent("/sys/fs/cgroup/user.slice", { writable: false, enabled: ALL });
    expect(shown(planLayout(TWO_APPS, facts(V2_ONLY, [full, foreign])))).toMatchSnapshot();
  });

  test("no cgroups at all", () => {
    const nothing = { mountinfo: "", cgroups: "" };
    expect(shown(planLayout(TWO_APPS, facts(nothing)))).toMatchSnapshot();
  });

  test("the pod's limits bound the apps'", () => {
    const limits: PodLimits = {
      uuid: UUID,
      pod: { cpu: 1000n, memory: 1n << 20n },
      apps: [
        { name: "more", limits: { cpu: 4000n, memory: 1n << 30n } },
        { name: "less", limits: { cpu: 500n } },
        { name: "none", limits: {} },
      ],
    };
    expect(shown(planLayout(limits, facts(V1_ONLY)))).toMatchSnapshot();
  });
});

test("a pod without limits needs nothing", () => {
  const free: PodLimits = { uuid: UUID, pod: {}, apps: [{ name: "a", limits: {} }] };
  expect(planLayout(free, facts(HYBRID))).toEqual({ hierarchies: [], unenforced: [] });
});

test("a part of a CPU is a part of a period", () => {
  expect(cpuBandwidth(1000n)).toEqual({ quota: 100_000n, period: 100_000n });
  expect(cpuBandwidth(10n)).toEqual({ quota: 1000n, period: 100_000n });
  expect(cpuBandwidth(9n)).toEqual({ quota: 9000n, period: 1_000_000n });
  expect(cpuBandwidth(1n)).toEqual({ quota: 1000n, period: 1_000_000n });
  expect(cpuBandwidth(1n << 60n)).toBeUndefined();
});

test("shares and weights have their defaults and their ratios in common", () => {
  expect([2, 10, 512, 1024, 2048, 262_144].map(cpuWeight)).toEqual([1, 1, 50, 100, 200, 10_000]);
});
