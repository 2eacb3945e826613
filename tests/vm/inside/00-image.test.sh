# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# First of all: the image that every other test runs.

test_fetch_takes_the_signed_image() {
  contains "$(rkt fetch /test/busybox.aci)" sha512-
}
