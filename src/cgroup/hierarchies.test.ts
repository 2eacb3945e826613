// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { cgroupsOfPod } from "./app-cgroups.ts";
import { parseHierarchies } from "./hierarchies.ts";
import { scopeName } from "./pod-cgroup.ts";
import { HYBRID, V2_ONLY } from "./testing.ts";

test("each controller has the hierarchy that it is mounted in, and this process's place there", () => {
  const { unified, v1 } = parseHierarchies(HYBRID);
  expect(unified).toEqual({ mountPoint: "/sys/fs/cgroup/unified", own: "/sys/fs/cgroup/unified" });
  expect(v1.get("memory")?.own).toBe("/sys/fs/cgroup/memory/jobs/one");
  expect(v1.get("cpu")).toEqual(v1.get("cpuacct"));
  expect(v1.get("cpu")?.own).toBe("/sys/fs/cgroup/cpu,cpuacct");
  expect(v1.has("rw")).toBe(false);
});

test("cgroup v2 alone", () => {
  const { unified, v1 } = parseHierarchies(V2_ONLY);
  expect(unified?.own).toBe("/sys/fs/cgroup/user.slice/user-0.slice/session-1.scope");
  expect(v1.size).toBe(0);
});

test("a mount of a part of a hierarchy shows what is in that part only", () => {
  const mountinfo = "30 1 0:25 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
  const own = (cgroups: string) => parseHierarchies({ mountinfo, cgroups }).unified?.own;
  expect(own("0::/docker/x\n")).toBe("/sys/fs/cgroup");
  expect(own("0::/docker/x/y\n")).toBe("/sys/fs/cgroup/y");
  expect(own("0::/docker/xy\n")).toBeUndefined();
  expect(own("0::/../z\n")).toBeUndefined();
});

test("a program that is entered joins the pod's cgroups and no others", () => {
  const uuid = "6733c088-a507-4694-aabf-fbbb5cab7a34";
  const pod = scopeName(uuid);
  const cgroups = `7:blkio:/\n4:memory:/jobs/one/${pod}/app\n1:cpu,cpuacct:/user.slice\n0::/${pod}\n`;
  expect(cgroupsOfPod(uuid, { ...HYBRID, cgroups })).toEqual({
    unified: `/sys/fs/cgroup/unified/${pod}`,
    v1: [`/sys/fs/cgroup/memory/jobs/one/${pod}/app`],
  });
  expect(cgroupsOfPod(uuid.replace("6", "7"), { ...HYBRID, cgroups })).toEqual({
    unified: undefined,
    v1: [],
  });
});
