# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A user namespace for a pod, on a kernel that reads an overlay's options as text.

test_a_pod_in_a_user_namespace_starts() {
  local map
  map=$(rkt run --net=none --private-users $IMAGE -- -c 'cat /proc/self/uid_map; id -u; stat -c %u /bin/busybox; echo mine >/tmp/x && stat -c %u /tmp/x' 2>&1)
  set -- $map
  equal "$1" 0
  [ "$2" -ge 65536 ]
  equal "$3" 65536
  equal "$4 $5 $6" "0 0 0"
}

test_two_pods_have_ranges_of_their_own_and_processes_that_are_nobody() {
  start_pod 'while :; do sleep 1; done' --private-users
  local first=$UUID pid
  pid=$(cat "/test/data/pods/run/$UUID/stage1/rootfs/rkt/pids/busybox")
  local uid
  uid=$(stat -c %u "/proc/$pid")
  [ "$uid" -ge 65536 ]
  local other
  other=$(rkt run --net=none --private-users $IMAGE -- -c 'cat /proc/self/uid_map')
  set -- $other
  [ "$2" != "$uid" ]
  equal "$(rkt enter "$first" /bin/id -u)" 0
  equal "$(rkt enter "$first" /bin/cat /proc/self/uid_map | xargs | cut -d' ' -f2)" "$uid"
  UUID=$first
  stop_pod
  equal "$(find /sys/fs/cgroup -name 'machine-rkt*')" ""
}

test_a_user_namespace_and_limits_go_together() {
  local output status=0
  output=$(rkt run --net=none --private-users $IMAGE --memory=16Mi -- -c 'exec busybox dd if=/dev/zero of=/dev/null bs=64M count=1' 2>&1) || status=$?
  contains "$output" 'it ran out of memory, its limit is 16Mi'
  equal $status 137
  rkt gc --grace-period=0s >/dev/null
  equal "$(find /sys/fs/cgroup -name 'machine-rkt*')" ""
}

test_a_volume_of_a_pod_in_a_user_namespace_belongs_to_whom_it_belongs() {
  mkdir -p /test/volume
  echo root >/test/volume/file
  equal "$(rkt run --net=none --private-users --volume=v,kind=host,source=/test/volume --mount=volume=v,target=/v $IMAGE -- \
    -c 'stat -c %u /v/file && echo new >/v/new && stat -c %u /v/new' 2>&1 | xargs)" "0 0"
  equal "$(stat -c %u /test/volume/new)" 0
}
