// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import {
  findCgroup2Mount,
  findOwnCgroup,
  podCgroup,
  removePodCgroup,
  scopeName,
} from "./pod-cgroup.ts";

const UUID = "6733c088-a507-4694-aabf-fbbb5cab7a34";
const HYBRID = `30 1 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
32 30 0:27 / /sys/fs/cgroup/uni\\040fied rw shared:9 - cgroup2 cgroup2 rw
`;

test("the cgroup2 mount is found among others, its name unescaped", () => {
  expect(findCgroup2Mount(HYBRID)).toBe("/sys/fs/cgroup/uni fied");
  expect(findCgroup2Mount("31 30 0:26 / /c rw - cgroup cgroup rw\n")).toBeUndefined();
  expect(findCgroup2Mount("32 30 0:27 /part /c rw - cgroup2 cgroup2 rw\n")).toBeUndefined();
});

test("the own cgroup is that of hierarchy 0", () => {
  expect(findOwnCgroup("1:cpu:/a\n0::/user.slice/x\n")).toBe("/user.slice/x");
  expect(findOwnCgroup("1:cpu:/a\n")).toBeUndefined();
});

test("a pod's cgroup is below the own one, its name escaped as systemd does", () => {
  expect(scopeName(UUID)).toBe(
    "machine-rkt\\x2d6733c088\\x2da507\\x2d4694\\x2daabf\\x2dfbbb5cab7a34.scope",
  );
  const cgroup = podCgroup(UUID, { mountinfo: HYBRID, cgroups: "0::/user.slice\n" });
  expect(cgroup).toEqual({
    directory: `/sys/fs/cgroup/uni fied/user.slice/${scopeName(UUID)}`,
    subcgroup: `user.slice/${scopeName(UUID)}`,
  });
});

test("there is none without the hierarchy, or in a part of it that we cannot see", () => {
  expect(podCgroup(UUID, { mountinfo: "", cgroups: "0::/\n" })).toBeUndefined();
  expect(podCgroup(UUID, { mountinfo: HYBRID, cgroups: "0::/../../x\n" })).toBeUndefined();
});

test("only what could be a pod's cgroup is ever removed", () => {
  for (const path of [
    "",
    "user.slice",
    "../machine-rkt\\x2d1.scope",
    "a/../machine-rkt\\x2d1.scope",
  ]) {
    expect(removePodCgroup(path)).toBe(true);
  }
});
