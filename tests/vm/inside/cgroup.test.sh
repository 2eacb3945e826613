# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Pods under systemd with cgroup v2.

test_systemd_is_pid_1_with_cgroup_v2() {
  equal "$(cat /proc/1/comm)" systemd
  equal "$(stat -f -c %T /sys/fs/cgroup)" cgroup2fs
  contains "$(cat /sys/fs/cgroup/cgroup.controllers)" memory
}

test_a_pod_runs_and_gives_its_status() {
  local status=0
  contains "$(sh_in_pod -- 'echo from the pod')" "from the pod"
  sh_in_pod -- 'exit 7' || status=$?
  equal $status 7
}

test_a_pod_has_a_cgroup_of_its_own() {
  start_pod 'while :; do sleep 1; done'
  local pid escaped
  pid=$(rkt status "$UUID" | sed -n 's/^pid=//p')
  escaped=${UUID//-/\\x2d}
  contains "$(cat "/proc/$pid/cgroup")" "machine-rkt\\x2d$escaped.scope"
  stop_pod
}

test_gc_leaves_nothing_in_the_hierarchy() {
  start_pod 'while :; do sleep 1; done'
  stop_pod
  equal "$(find /sys/fs/cgroup -name 'machine-rkt*')" ""
  equal "$(ls /test/data/pods/run /test/data/pods/exited-garbage)" "/test/data/pods/exited-garbage:

/test/data/pods/run:"
  equal "$(grep -c /test/data /proc/self/mounts || true)" 0
}

test_a_killed_supervisor_leaves_nothing_after_gc() {
  start_pod 'while :; do sleep 1; done'
  kill -9 "$(cat "/test/data/pods/run/$UUID/ppid")"
  wait || true
  sleep 1
  rkt gc --grace-period=0s >/dev/null
  equal "$(find /sys/fs/cgroup -name 'machine-rkt*')" ""
}

test_a_read_only_device_volume_cannot_be_written() {
  modprobe fuse
  mknod -m 666 /test/fuse c 10 229
  local flags=(--volume=fuse,kind=host,source=/test/fuse,readOnly=true --mount=volume=fuse,target=/dev/fuse)
  local script='(exec 3</dev/fuse) && echo read; (exec 3>/dev/fuse) && echo written; busybox mknod /tmp/disk b 254 0 && echo made'
  equal "$(sh_in_pod "${flags[@]}" -- "$script" 2>/dev/null)" read
  equal "$(sh_in_pod "${flags[@]/,readOnly=true/}" -- "$script" 2>/dev/null)" "read
written"
}

test_an_app_cannot_open_the_node_of_the_disk() {
  contains "$(sh_in_pod -- 'busybox mknod /tmp/disk b 254 0 && cat /tmp/disk' 2>&1 || true)" "Permission denied"
}
