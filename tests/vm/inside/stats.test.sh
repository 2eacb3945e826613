# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash

test_stats_takes_the_cpu_time_from_cgroup_v2() {
  start_pod 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo counted; while :; do sleep 1; done'
  for _ in $(seq 100); do grep -q counted /test/log && break; sleep 0.1; done
  local json
  json=$(rkt stats --format=json "$UUID")
  contains "$json" '"sources":{"cpu":"cgroup"'
  contains "$(rkt stats)" "${UUID%%-*}"
  case $json in *'"cpu_seconds":0,'*) echo "$json"; return 1 ;; esac
  stop_pod
}
