# SPDX-License-Identifier: Apache-2.0
# What the tests inside the virtual machine share.
export NO_COLOR=1 LC_ALL=C
IMAGE=example.com/busybox

rkt() { /test/rkt --dir=/test/data --local-config=/test/config --system-config=/test/system "$@"; }

# A shell script as the only app of a pod; flags before the word --.
sh_in_pod() {
  local flags=()
  while [ "$1" != -- ]; do flags+=("$1"); shift; done
  rkt run --net=none "${flags[@]}" "$IMAGE" -- -c "$2"
}

# Starts a pod that prints "up"; sets UUID. The flags are of `rkt run`.
start_pod() {
  local script=$1
  shift
  rm -f /test/uuid /test/log
  rkt run --net=none --uuid-file-save=/test/uuid "$@" "$IMAGE" -- -c "echo up; $script" >/test/log 2>&1 &
  for _ in $(seq 200); do
    if grep -q up /test/log; then UUID=$(cat /test/uuid); return 0; fi
    kill -0 $! 2>/dev/null || break
    sleep 0.1
  done
  cat /test/log
  return 1
}

stop_pod() {
  rkt stop --force "$UUID" >/dev/null
  wait || true
  rkt gc --grace-period=0s >/dev/null
}

equal() { [ "$1" = "$2" ] || { echo "expected: $2"; echo "got:      $1"; return 1; }; }
contains() { case $1 in *"$2"*) ;; *) echo "expected: ...$2..."; echo "got:      $1"; return 1 ;; esac; }
skip() { echo "$1"; exit 77; }
