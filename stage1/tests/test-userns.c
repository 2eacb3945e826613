/* SPDX-License-Identifier: Apache-2.0
 * What needs no root of a pod's user namespace, under ASan and UBSan: which operations need a mount of the supervisor's,
 * who gets it, and what a failed clone advises. The rest is in tests/cli/userns.test.ts. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "userns.h"

static int failures;

static void expect(const char *what, bool good) {
  if (good) return;
  printf("FAILED %s\n", what);
  failures++;
}

static unsigned char buffer[1024];
static size_t length;

static void put32(uint32_t v) {
  for (int i = 0; i < 4; i++) buffer[length++] = (unsigned char)(v >> (8 * i));
}
static void put_string(const char *s) {
  put32((uint32_t)strlen(s));
  memcpy(buffer + length, s, strlen(s) + 1);
  length += strlen(s) + 1;
}

/* An operation of strings and numbers, as its schema says; every string is "/x", every number `number`. */
static void operation(uint32_t code, uint32_t number) {
  put32(code);
  size_t size_at = length;
  put32(0);
  for (const char *type = op_schema[code]; *type != 0; type++) {
    if (*type == 's') put_string("/x");
    if (*type == 'u') put32(number);
    if (*type == 'q') put32(number), put32(0);
    if (*type == 'v') put32(1), put_string("/x");
    if (*type == 'n' || *type == 'b') put32(0);
  }
  size_t end = length;
  length = size_at;
  put32((uint32_t)(end - size_at - 4));
  length = end;
}

static void test_need(void) {
  memcpy(buffer, PLAN_MAGIC, 8);
  length = 16;
  operation(OP_OPTIONS, 1);
  operation(OP_POD, 0);
  operation(OP_APP, 0);
  operation(OP_OVERLAY, 0);
  operation(OP_BIND, BIND_IS_LENT);
  operation(OP_BIND, 0);
  operation(OP_EXECUTE, 0);
  operation(OP_END, 0);
  struct plan plan = {buffer, length, 8};
  expect("a root and a file of the host are lent", loans_needed(&plan) == 2);
}

static void test_taking(void) {
  struct loan list[2] = {{3, open("/dev/null", O_RDONLY | O_CLOEXEC)}, {9, open("/dev/null", O_RDONLY | O_CLOEXEC)}};
  struct loans loans = {.list = list, .count = 2};
  int kept = list[1].mount, mount = loans_take(&loans, 3);
  expect("a mount is found by its operation", mount >= 0);
  expect("a mount is taken once", loans_take(&loans, 3) == -1);
  expect("an operation without a mount", loans_take(&loans, 4) == -1);
  loans_close(&loans);
  expect("what was taken stays open", fcntl(mount, F_GETFD) >= 0);
  expect("what was not taken is closed", fcntl(kept, F_GETFD) < 0 && errno == EBADF);
  expect("nothing is left", loans.count == 0 && loans_take(&loans, 9) == -1);
  close(mount);
}

static void test_advice(void) {
  static const int known[] = {EINVAL, EPERM, ENOSPC, EUSERS};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    struct report r = {0};
    fail(&r, known[i], "make a user namespace", NULL);
    userns_remedy(&r);
    expect("a failure has a remedy", r.remedy[0] != 0);
  }
}

int main(void) {
  test_need();
  test_taking();
  test_advice();
  if (failures == 0) puts("test-userns: ok");
  return failures != 0;
}
