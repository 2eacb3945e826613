# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What needs a kernel with its security modules, or a policy that only cgroup v2 has.

test_an_apparmor_profile_holds_the_app_and_what_enters_it() {
  local run=(rkt run --net=none example.com/confined -- -c)
  contains "$("${run[@]}" true 2>&1 || true)" 'AppArmor profile "rkt-test": it is not loaded'
  apparmor_parser -r <<'PROFILE'
profile rkt-test flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  signal,
  ptrace,
  deny /etc/passwd r,
}
PROFILE
  equal "$("${run[@]}" 'cat /proc/self/attr/current' 2>&1)" "rkt-test (enforce)"
  contains "$("${run[@]}" 'cat /etc/passwd' 2>&1 || true)" "Permission denied"
  rm -f /test/uuid
  rkt run --net=none --uuid-file-save=/test/uuid example.com/confined -- -c 'echo up; while :; do sleep 1; done' >/test/log 2>&1 &
  for _ in $(seq 200); do grep -q up /test/log && break; sleep 0.1; done
  UUID=$(cat /test/uuid)
  equal "$(rkt enter "$UUID" /bin/cat /proc/self/attr/current)" "rkt-test (enforce)"
  contains "$(rkt enter "$UUID" /bin/cat /etc/passwd 2>&1 || true)" "Permission denied"
  stop_pod
}

test_an_app_that_may_mount_makes_no_node_of_the_disk() {
  local run=(rkt --insecure-options=seccomp run --net=none $IMAGE --caps-retain=CAP_SYS_ADMIN,CAP_MKNOD -- -c)
  contains "$("${run[@]}" 'mount -t tmpfs x /tmp && busybox mknod /tmp/disk b 254 0' 2>&1 || true)" "Operation not permitted"
  equal "$("${run[@]}" 'mount -t tmpfs x /tmp && busybox mknod /tmp/null c 1 3 && echo text >/tmp/null && echo open' 2>&1)" open
}

test_the_kernels_addresses_and_memory_are_hidden() {
  local file
  for file in kallsyms kcore interrupts slabinfo vmallocinfo kpageflags timer_list; do
    equal "$(sh_in_pod -- "busybox head -c 1 /proc/$file | busybox wc -c" 2>&1)" 0
  done
}
