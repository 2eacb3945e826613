// SPDX-License-Identifier: Apache-2.0
// Machines for the tests of this folder: the two files of /proc.

/** v1 controllers and a cgroup2 mount without any, as Debian 10 had it. */
export const HYBRID = {
  mountinfo: `30 1 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:28 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio
34 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
35 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`,
  cgroups: "9:name=systemd:/\n7:blkio:/\n4:memory:/jobs/one\n1:cpu,cpuacct:/\n0::/\n",
};

export const V1_ONLY = {
  mountinfo: HYBRID.mountinfo.split("\n").slice(0, 5).join("\n"),
  cgroups: HYBRID.cgroups.replace("0::/\n", ""),
};

/** A login session under systemd. */
export const V2_ONLY = {
  mountinfo: "30 1 0:25 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n",
  cgroups: "0::/user.slice/user-0.slice/session-1.scope\n",
};
