# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Limits on cgroup v2, under systemd.

# Like start_pod, for an app named busybox with flags of its own; sets POD, its cgroup.
start_limited() {
  rm -f /test/uuid /test/log
  rkt run --net=none --uuid-file-save=/test/uuid "$IMAGE" "$@" -- -c 'echo up; while :; do sleep 1; done' >/test/log 2>&1 &
  for _ in $(seq 200); do
    grep -q up /test/log && break
    sleep 0.1
  done
  UUID=$(cat /test/uuid)
  POD=/sys/fs/cgroup/$(cat "/test/data/pods/run/$UUID/subcgroup")
}

test_limits_are_in_the_files_of_the_apps_cgroup() {
  start_limited --memory=32Mi --cpu=250m --cpu-shares=512
  equal "$(cat /test/log)" up
  equal "$(cat "$POD/busybox/memory.max")" 33554432
  equal "$(cat "$POD/busybox/cpu.max")" "25000 100000"
  equal "$(cat "$POD/busybox/cpu.weight")" 50
  [ ! -e "$POD/busybox/memory.swap.max" ] || equal "$(cat "$POD/busybox/memory.swap.max")" 0
  equal "$(cat "$POD/busybox/cgroup.procs" | head -1)" "$(cat "/test/data/pods/run/$UUID/stage1/rootfs/rkt/pids/busybox")"
  equal "$(cat "$POD/pod.init/cgroup.procs")" "$(rkt status "$UUID" | sed -n 's/^pid=//p')"
  # A program that is entered is in the same, and neither sees what is above it.
  equal "$(rkt enter "$UUID" /bin/cat /proc/self/cgroup)" "0::/"
  stop_pod
  equal "$(find /sys/fs/cgroup -name 'machine-rkt*')" ""
}

test_a_limited_app_is_held_by_the_pods_device_policy() {
  modprobe fuse
  [ -e /test/fuse ] || mknod -m 666 /test/fuse c 10 229
  equal "$(rkt run --net=none --volume=fuse,kind=host,source=/test/fuse,readOnly=true --mount=volume=fuse,target=/dev/fuse \
    "$IMAGE" --memory=32Mi -- -c '(exec 3</dev/fuse) && echo read; (exec 3>/dev/fuse) && echo written' 2>/dev/null)" read
  rkt gc --grace-period=0s >/dev/null
}

test_a_memory_bomb_is_killed_and_said_to_be() {
  local status=0 output
  output=$(rkt run --net=none --uuid-file-save=/test/uuid "$IMAGE" --memory=16Mi -- -c 'exec busybox dd if=/dev/zero of=/dev/null bs=64M count=1' 2>&1) || status=$?
  contains "$output" 'app "busybox" was killed: it ran out of memory, its limit is 16Mi'
  equal $status 137
  contains "$(rkt status --uuid-file=/test/uuid)" oom-kills-busybox=1
  rkt gc --grace-period=0s >/dev/null
  equal "$(find /sys/fs/cgroup -name 'machine-rkt*')" ""
}

test_four_mebibytes_are_enough_for_a_shell() {
  contains "$(rkt run --net=none --strict "$IMAGE" --memory=4Mi --cpu=1 -- -c 'echo works' 2>&1)" works
  rkt gc --grace-period=0s >/dev/null
}

test_one_stop_ends_a_fork_bomb() {
  rm -f /test/uuid
  rkt run --net=none --uuid-file-save=/test/uuid "$IMAGE" --memory=16Mi --cpu=200m -- \
    -c 'echo up; b() { b & b & busybox sleep 1; }; while :; do b; done' >/test/log 2>&1 &
  for _ in $(seq 100); do
    grep -q up /test/log && break
    sleep 0.1
  done
  sleep 5
  UUID=$(cat /test/uuid)
  stop_pod
  equal "$(find /sys/fs/cgroup -name 'machine-rkt*')" ""
}

test_a_killed_pod_with_limits_leaves_nothing_after_gc() {
  start_limited --memory=32Mi
  kill -9 "$(cat "/test/data/pods/run/$UUID/ppid")"
  wait || true
  sleep 1
  rkt gc --grace-period=0s >/dev/null
  equal "$(find /sys/fs/cgroup -name 'machine-rkt*')" ""
}

test_limits_stay_when_systemd_is_reloaded_and_stats_shows_them() {
  start_limited --memory=32Mi
  systemctl daemon-reload
  equal "$(cat "$POD/busybox/memory.max")" 33554432
  local json
  json=$(rkt stats --format=json "$UUID")
  contains "$json" '"memory_limit_bytes":33554432'
  contains "$json" '"sources":{"cpu":"cgroup","memory":"cgroup"'
  stop_pod
}

test_a_device_policy_and_limits_go_together() {
  modprobe fuse
  mknod -m 666 /test/both c 10 229
  equal "$(rkt run --net=none --volume=f,kind=host,source=/test/both,readOnly=true --mount=volume=f,target=/dev/f $IMAGE \
    --memory=16Mi -- -c '(exec 3</dev/f) && echo read; (exec 3>/dev/f) && echo written; true' 2>/dev/null)" read
}
