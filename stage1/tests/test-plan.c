/* SPDX-License-Identifier: Apache-2.0
 * The plan's decoder, under ASan and UBSan: the order rules, and every cut and every flipped byte of a good plan. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

static unsigned char buffer[4096];
static size_t length;

static void put32(uint32_t v) {
  for (int i = 0; i < 4; i++) buffer[length++] = (unsigned char)(v >> (8 * i));
}
static void put_string(const char *s) {
  put32((uint32_t)strlen(s));
  memcpy(buffer + length, s, strlen(s) + 1);
  length += strlen(s) + 1;
}
static size_t begin(uint32_t code) {
  put32(code);
  put32(0);
  return length;
}
static void end(size_t start) {
  size_t now = length;
  length = start - 4;
  put32((uint32_t)(now - start));
  length = now;
}
static void empty_op(uint32_t code) { end(begin(code)); }

static void header(void) {
  memcpy(buffer, PLAN_MAGIC, 8);
  length = 8;
  put32(0);
  put32(0);
}
static void finish(uint32_t count) {
  size_t now = length;
  length = 8;
  put32((uint32_t)now);
  put32(count);
  length = now;
}
static void options(uint32_t apps) {
  size_t at = begin(OP_OPTIONS);
  put_string("run");
  put_string("uuid");
  put32(0);
  put32(10000);
  put32(0);
  put32(0);
  put32(apps);
  end(at);
}
static void app(const char *name) {
  size_t at = begin(OP_APP);
  put_string(name);
  end(at);
}
static void user_namespace(uint32_t first, uint32_t count) {
  size_t at = begin(OP_USER_NAMESPACE);
  put32(first);
  put32(count);
  end(at);
}
static void root(void) {
  size_t at = begin(OP_BIND_ROOT);
  put_string("/r");
  put32(4);
  end(at);
}
static void volume(void) {
  size_t at = begin(OP_VOLUME);
  put_string("v");
  put_string("/srv");
  for (int i = 0; i < 3; i++) put32(0);
  end(at);
}
static void attach(void) {
  size_t at = begin(OP_ATTACH);
  put_string("v");
  put32(0);
  put_string("/v");
  put32(0);
  end(at);
}
static void execute(uint32_t words) {
  size_t at = begin(OP_EXECUTE);
  put_string("/x");
  put32(words);
  for (uint32_t i = 0; i < words; i++) put_string("word");
  end(at);
}

static void devices(uint32_t numbers) {
  size_t at = begin(OP_DEVICES);
  put32(numbers);
  for (uint32_t i = 0; i < numbers; i++) put32(i);
  put32(0);
  end(at);
}

static void filter(uint32_t size) {
  size_t at = begin(OP_FILTER);
  put_string("f");
  put32(FILTER_IS_EARLY);
  put32(size);
  for (uint32_t i = 0; i < size; i++) buffer[length++] = (unsigned char)i;
  end(at);
}

static void stop_signal(uint32_t number) {
  size_t at = begin(OP_STOP_SIGNAL);
  put32(number);
  end(at);
}

static int failures;

static void expect(const char *what, const char *wanted) {
  struct plan plan;
  /* A block of its own, so that ASan sees any read past its end. */
  void *copy = malloc(length);
  if (copy == NULL) abort();
  memcpy(copy, buffer, length);
  const char *wrong = plan_open(&plan, copy, length);
  if ((wrong == NULL) != (wanted == NULL) || (wrong != NULL && strcmp(wrong, wanted) != 0)) {
    printf("FAILED %s: %s\n", what, wrong == NULL ? "accepted" : wrong);
    failures++;
  }
  free(copy);
}

static void good_plan(void) {
  header();
  options(1);
  empty_op(OP_POD);
  app("a");
  root();
  filter(16);
  execute(2);
  empty_op(OP_END);
  finish(7);
}

static void test_cuts_and_flips(void) {
  good_plan();
  size_t whole = length;
  static unsigned char saved[sizeof buffer];
  memcpy(saved, buffer, whole);
  for (size_t cut = 0; cut < whole; cut++) {
    unsigned char *copy = malloc(cut + 1);
    struct plan plan;
    if (copy == NULL) abort();
    memcpy(copy, saved, cut);
    if (plan_open(&plan, copy, cut) == NULL) {
      printf("FAILED a plan cut at %zu was accepted\n", cut);
      failures++;
    }
    free(copy);
  }
  for (size_t at = 0; at < whole; at++) {
    for (int bit = 0; bit < 8; bit++) {
      unsigned char *copy = malloc(whole);
      struct plan plan;
      if (copy == NULL) abort();
      memcpy(copy, saved, whole);
      copy[at] ^= (unsigned char)(1 << bit);
      /* Accepted or not: walking it must be safe. */
      if (plan_open(&plan, copy, whole) == NULL) {
        struct cursor cursor = plan_start(&plan);
        struct op op;
        while (plan_next(&cursor, &op)) continue;
      }
      free(copy);
    }
  }
}

int main(void) {
  good_plan();
  expect("a good plan", NULL);
  struct plan plan;
  struct op op;
  plan_open(&plan, buffer, length);
  struct cursor cursor = plan_start(&plan);
  if (!plan_find(&cursor, OP_EXECUTE, &op) || op.f[EXECUTE_ARGV].n != 2) failures++, puts("FAILED find");
  const char *at = op.f[EXECUTE_ARGV].s;
  if (strcmp(plan_string(&at), "word") != 0 || strcmp(plan_string(&at), "word") != 0) failures++, puts("FAILED strings");

  header(), empty_op(OP_POD), finish(1);
  expect("no options", "the options are not the first operation");
  header(), options(0), options(0), finish(2);
  expect("options twice", "the options are not the first operation");
  header(), options(0), finish(1);
  expect("no pod", "the last operation is missing");
  header(), options(PLAN_MAX_APPS + 1), finish(1);
  expect("too many apps", "there are too many apps");
  for (uint32_t number = 0; number <= 65; number += 65) {
    header(), options(1), empty_op(OP_POD), app("a"), root(), stop_signal(number), execute(1), empty_op(OP_END), finish(7);
    expect("a stop signal out of range", "a signal is none");
  }
  header(), options(1), empty_op(OP_POD), app("a"), root(), stop_signal(64), execute(1), empty_op(OP_END), finish(7);
  expect("a stop signal", NULL);
  header(), options(1), empty_op(OP_POD), app("a"), stop_signal(3), finish(4);
  expect("a stop signal before the root", "an app's first operation makes no root");
  header(), options(0), empty_op(OP_POD), app("a"), finish(3);
  expect("an app that was not announced", "there are more apps than announced");
  header(), options(2), empty_op(OP_POD), app("a"), root(), execute(1), empty_op(OP_END), finish(6);
  expect("an app that is missing", "there are fewer apps than announced");
  header(), options(1), empty_op(OP_POD), app("../a"), finish(3);
  expect("a name with a slash", "an app's name is no file name");
  header(), options(1), empty_op(OP_POD), app(".."), finish(3);
  expect("a name with dots", "an app's name is no file name");
  header(), options(1), empty_op(OP_POD), app("a"), empty_op(OP_PIVOT), finish(4);
  expect("no root", "an app's first operation makes no root");
  header(), options(1), empty_op(OP_POD), app("a"), root(), root(), finish(5);
  expect("two roots", "an app has two roots");
  header(), options(1), empty_op(OP_POD), app("a"), root(), empty_op(OP_END), finish(5);
  expect("nothing executed", "an app executes nothing");
  header(), options(1), empty_op(OP_POD), app("a"), root(), execute(0), finish(5);
  expect("an empty argv", "an argument vector is empty");
  header(), options(1), empty_op(OP_POD), app("a"), root(), execute(1), root(), finish(6);
  expect("something after the execution", "an operation follows the execution");
  header(), options(1), empty_op(OP_POD), app("a"), root(), filter(0), finish(5);
  expect("a filter of nothing", "a filter is no program");
  header(), options(1), empty_op(OP_POD), app("a"), root(), filter(12), finish(5);
  expect("a filter of one and a half instructions", "a filter is no program");
  header(), options(0), empty_op(OP_POD), filter(8), finish(3);
  expect("a filter outside of an app", "an operation is in the wrong place");
  header(), options(0), devices(4), empty_op(OP_POD), finish(3);
  expect("a device policy", NULL);
  header(), options(0), devices(3), empty_op(OP_POD), finish(3);
  expect("half an instruction", "an instruction is cut");
  header(), options(0), empty_op(OP_POD), devices(2), finish(3);
  expect("a device policy in the pod", "an operation is in the wrong place");
  header(), options(0), root(), finish(2);
  expect("a root outside of an app", "an operation is in the wrong place");
  header(), options(0), empty_op(OP_POD), volume(), finish(3);
  expect("a volume opened inside of the pod", "an operation is in the wrong place");
  header(), options(0), attach(), finish(2);
  expect("a volume attached outside of an app", "an operation is in the wrong place");
  header(), options(1), volume(), empty_op(OP_POD), app("a"), root(), attach(), execute(1), empty_op(OP_END), finish(8);
  expect("a volume", NULL);
  header(), options(0), empty_op(OP_POD), empty_op(OP_LOOPBACK), finish(2);
  expect("more operations than counted", "bytes follow the last operation");
  header(), options(0), empty_op(99), finish(2);
  expect("an unknown operation", "an operation cannot be decoded");
  header(), options(0), user_namespace(65536, 65536), empty_op(OP_POD), finish(3);
  expect("a user namespace", NULL);
  header(), options(0), user_namespace(0, 65536), empty_op(OP_POD), finish(3);
  expect("a user namespace with the host's root", "a range of ids is none");
  header(), options(0), user_namespace(0xffff0000u, 65536), empty_op(OP_POD), finish(3);
  expect("ids that do not exist", "a range of ids is none");
  header(), options(0), empty_op(OP_POD), user_namespace(65536, 65536), finish(3);
  expect("a user namespace inside of the pod", "an operation is in the wrong place");
  good_plan(), buffer[7] = 9;
  expect("another version", "it is of another version");
  good_plan(), length++;
  expect("a byte too many", "its length is wrong");
  test_cuts_and_flips();
  if (failures == 0) puts("test-plan: ok");
  return failures != 0;
}
