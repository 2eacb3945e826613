# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# First of all: the images that the other tests run.

test_fetch_takes_the_signed_images() {
  equal "$(rkt fetch /test/busybox.aci /test/confined.aci | grep -c ^sha512-)" 2
}
