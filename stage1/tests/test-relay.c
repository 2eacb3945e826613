/* SPDX-License-Identifier: Apache-2.0
 * The relay, under ASan and UBSan: whole lines, prefixes, slow and vanished readers, the log's format and its size. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay.h"

static int failures;
static char got[1 << 20];

static void check(bool ok, const char *what) {
  if (ok) return;
  printf("FAILED %s\n", what);
  failures++;
}

struct setup {
  int in[2], out[2];
  struct sink sink;
  struct stream stream;
  struct log log;
};

static void start(struct setup *s, const char *prefix, int log_dir, uint64_t limit) {
  if (pipe(s->in) < 0 || pipe(s->out) < 0) abort();
  fcntl(s->in[0], F_SETFL, O_NONBLOCK);
  fcntl(s->out[0], F_SETFL, O_NONBLOCK);
  sink_open(&s->sink, s->out[1]);
  log_open(&s->log, log_dir, "app", limit);
  s->stream = (struct stream){.fd = s->in[0], .sink = &s->sink, .log = &s->log, .log_tag = "stdout", .app = prefix, .pid = 7};
}

/* Sends, relays, and returns what came out. */
static const char *pass(struct setup *s, const char *text, bool close_input) {
  size_t n = strlen(text), have = 0;
  if (n > 0 && write(s->in[1], text, n) != (ssize_t)n) abort();
  if (close_input) close(s->in[1]);
  for (int i = 0; i < 1000 && (stream_wants(&s->stream) || sink_busy(&s->sink)); i++) {
    sink_flush(&s->sink);
    bool more = stream_wants(&s->stream) && stream_read(&s->stream);
    ssize_t r = read(s->out[0], got + have, sizeof got - 1 - have);
    if (r > 0) have += (size_t)r;
    if (!more && r <= 0 && !sink_busy(&s->sink)) break;
  }
  got[have] = 0;
  return got;
}

static void test_raw(void) {
  struct setup s;
  start(&s, NULL, -1, 0);
  check(strcmp(pass(&s, "a\nb", false), "a\nb") == 0, "bytes pass as they are");
  check(strcmp(pass(&s, "c", true), "c") == 0 && s.stream.fd < 0, "the end ends the stream");
}

static void test_prefix(void) {
  struct setup s;
  start(&s, "app", -1, 0);
  check(strcmp(pass(&s, "a\nb", false), "app[7]: a\n") == 0, "an unfinished line waits");
  check(strcmp(pass(&s, "c\n\n", false), "app[7]: bc\napp[7]: \n") == 0, "its rest completes it");
  check(strcmp(pass(&s, "end", true), "app[7]: end\n") == 0, "the end completes a line");
  start(&s, "app", -1, 0);
  static char longest[RELAY_LINE * 2 + 1];
  memset(longest, 'x', RELAY_LINE * 2);
  pass(&s, longest, true);
  check(strlen(got) == (RELAY_LINE + 9) * 2, "an endless line is cut");
  /* The shortest lines need 10 times the room. */
  start(&s, "app", -1, 0);
  static char newlines[60001];
  memset(newlines, '\n', 60000);
  pass(&s, newlines, true);
  check(strlen(got) == 60000u * 9, "60,000 empty lines");
}

static void test_slow_reader(void) {
  struct setup s;
  start(&s, NULL, -1, 0);
  static char block[65536];
  memset(block, 'y', sizeof block);
  size_t written = 0;
  fcntl(s.in[1], F_SETFL, O_NONBLOCK);
  for (int i = 0; i < 100; i++) {
    ssize_t n = write(s.in[1], block, sizeof block);
    if (n > 0) written += (size_t)n;
    if (stream_wants(&s.stream)) stream_read(&s.stream);
  }
  check(sink_busy(&s.sink) && !stream_wants(&s.stream), "a full reader stops the reading");
  size_t seen = 0;
  close(s.in[1]);
  for (int i = 0; i < 10000 && (s.stream.fd >= 0 || sink_busy(&s.sink)); i++) {
    ssize_t n = read(s.out[0], got, 65536);
    if (n > 0) seen += (size_t)n;
    sink_flush(&s.sink);
    if (stream_wants(&s.stream)) stream_read(&s.stream);
  }
  ssize_t n;
  while ((n = read(s.out[0], got, 65536)) > 0) seen += (size_t)n;
  check(seen == written, "nothing is lost to a slow reader");
}

static void test_gone_reader(int dir) {
  struct setup s;
  start(&s, NULL, dir, 1 << 20);
  close(s.out[0]);
  if (write(s.in[1], "x\n", 2) != 2) abort();
  stream_read(&s.stream);
  close(s.out[1]);
  if (write(s.in[1], "y\n", 2) != 2) abort();
  stream_read(&s.stream);
  check(s.sink.fd < 0 && s.stream.fd >= 0, "a reader that is gone is forgotten, the app is not");
}

static size_t read_log(int dir, const char *name) {
  int fd = openat(dir, name, O_RDONLY);
  ssize_t n = fd < 0 ? 0 : read(fd, got, sizeof got - 1);
  if (fd >= 0) close(fd);
  got[n < 0 ? 0 : n] = 0;
  return n < 0 ? 0 : (size_t)n;
}

static void test_log(int dir) {
  struct log l;
  log_open(&l, dir, "log", 1 << 20);
  log_write(&l, "stdout", (const uint8_t *)"one\ntwo", 7);
  log_write(&l, "stderr", (const uint8_t *)"\n", 1);
  read_log(dir, "log");
  unsigned year, month, day;
  check(sscanf(got, "%4u-%2u-%2uT", &year, &month, &day) == 3 && year >= 2024 && month <= 12 && day <= 31, "the time");
  check(got[19] == '.' && got[29] == 'Z' && strncmp(got + 30, " stdout F one\n", 14) == 0, "a whole line");
  const char *second = strchr(got, '\n') + 1;
  check(strncmp(second + 30, " stdout P two\n", 14) == 0, "a part of a line");
  check(strcmp(strchr(second, '\n') + 1 + 30, " stderr F \n") == 0, "an empty line");
  static uint8_t large[200000];
  memset(large, 'z', sizeof large);
  log_write(&l, "stdout", large, sizeof large);
  check(read_log(dir, "log") > 200000, "a line longer than the buffer");
}

static void test_rotation(int dir) {
  struct log l;
  log_open(&l, dir, "turn", 1000);
  for (int i = 0; i < 100; i++) log_write(&l, "stdout", (const uint8_t *)"0123456789\n", 11);
  size_t now = read_log(dir, "turn"), before = read_log(dir, "turn.1");
  check(now > 0 && now <= 1000 && before > 0 && before <= 1000, "the log is turned over at its size");
  log_open(&l, dir, "none", 0);
  log_write(&l, "stdout", (const uint8_t *)"x\n", 2);
  check(read_log(dir, "none") == 0, "no log with size 0");
}

static void test_full_disk(void) {
  struct log l;
  log_open(&l, open("/dev", O_PATH | O_DIRECTORY), "full", 1 << 20);
  log_write(&l, "stdout", (const uint8_t *)"x\n", 2);
  check(l.dir == -1, "a log that cannot be written is given up");
}

int main(void) {
  char path[] = "/tmp/test-relay-XXXXXX", command[64];
  signal(SIGPIPE, SIG_IGN);
  if (mkdtemp(path) == NULL) abort();
  int dir = open(path, O_PATH | O_DIRECTORY);
  test_raw();
  test_prefix();
  test_slow_reader();
  test_gone_reader(dir);
  test_log(dir);
  test_rotation(dir);
  fclose(stderr);
  test_full_disk();
  snprintf(command, sizeof command, "rm -r %s", path);
  if (system(command) != 0) failures++;
  if (failures == 0) puts("test-relay: ok");
  return failures != 0;
}
