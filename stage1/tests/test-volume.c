/* SPDX-License-Identifier: Apache-2.0
 * What needs no root of the pod's volumes, under ASan and UBSan: which sources are opened, and the slots. That copies
 * are mounted where they should be is for tests/cli/volumes.test.ts. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "volume.h"

static int failures;

static void expect(const char *what, bool good) {
  if (good) return;
  printf("FAILED %s\n", what);
  failures++;
}

static struct op volume(const char *source, uint64_t flags, unsigned major, unsigned minor) {
  struct op op = {.code = OP_VOLUME};
  op.f[VOLUME_NAME].s = "v";
  op.f[VOLUME_SOURCE].s = source;
  op.f[VOLUME_FLAGS].n = flags;
  op.f[VOLUME_MAJOR].n = major;
  op.f[VOLUME_MINOR].n = minor;
  return op;
}

static void test_sources(void) {
  struct volumes v = {.source = -1};
  struct report r;
  struct op op = volume("/dev/null", VOLUME_IS_DEVICE, 1, 3);
  expect("a device is opened as what it was", volume_open(&v, &op, &r) == 0 && v.source >= 0);
  op = volume("/dev/null", VOLUME_IS_DEVICE, 1, 5);
  expect("another device is refused", volume_open(&v, &op, &r) < 0 && r.err == ENODEV);
  op = volume("/dev/null", VOLUME_IS_DEVICE | VOLUME_IS_BLOCK, 1, 3);
  expect("a block device of the same number is refused", volume_open(&v, &op, &r) < 0 && r.err == ENODEV);
  op = volume("/", VOLUME_IS_DEVICE, 1, 3);
  expect("what is no device is refused", volume_open(&v, &op, &r) < 0 && r.err == ENODEV);
  op = volume("/nowhere/at/all", 0, 0, 0);
  expect("a source that is missing", volume_open(&v, &op, &r) < 0 && r.err == ENOENT &&
                                         strcmp(r.text, "cannot open volume \"v\" from \"/nowhere/at/all\": "
                                                        "no such file or directory") == 0);
  op = volume("/proc/self/cwd", 0, 0, 0);
  expect("a way into a process", volume_open(&v, &op, &r) < 0 && r.err == ELOOP);
  op = volume("link", 0, 0, 0);
  expect("a link in the pod directory", volume_open(&v, &op, &r) < 0 && r.err == ELOOP);
  op = volume("../x", 0, 0, 0);
  expect("a way out of the pod directory", volume_open(&v, &op, &r) < 0 && r.err == EXDEV);
  op = volume("directory", 0, 0, 0);
  expect("a directory of the pod", volume_open(&v, &op, &r) == 0);
  volumes_close(&v);
}

static void test_slots(void) {
  int copies[2] = {open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/null", O_RDONLY | O_CLOEXEC)};
  struct volumes v = {.source = -1, .copies = copies, .count = 2, .maximum = 2};
  struct report r;
  struct op op = {.code = OP_COPY_VOLUME};
  int first = copies[0];
  expect("a copy without a source", volume_copy(&v, &op, &r) < 0 && r.err == EINVAL);
  expect("a copy is taken", volume_take(&v, 0) == first);
  expect("a copy is taken once", volume_take(&v, 0) < 0);
  expect("a copy that was never made", volume_take(&v, 2) < 0 && volume_take(&v, ~0ull) < 0);
  close(first);
  int second = copies[1];
  volumes_close(&v);
  expect("copies that nobody took are closed", fcntl(second, F_GETFD) < 0 && volume_take(&v, 1) < 0);
}

int main(void) {
  char directory[] = "/tmp/test-volume-XXXXXX";
  if (mkdtemp(directory) == NULL || chdir(directory) < 0 || mkdir("directory", 0755) < 0 || symlink("/", "link") < 0) {
    perror(directory);
    return 1;
  }
  test_sources();
  test_slots();
  unlink("link");
  rmdir("directory");
  rmdir(directory);
  if (failures == 0) puts("test-volume: ok");
  return failures != 0;
}
