/* SPDX-License-Identifier: Apache-2.0
 * See relay.h. */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

/* Untouched memory costs nothing; it is asked for once per sink and once per prefixed stream. */
static uint8_t *pages(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

/* --- the caller's side ------------------------------------------------------------------------------------------ */

/* O_NONBLOCK belongs to the open file, which the caller shares: set on a new one, got through /proc. That works for
 * pipes and terminals; sockets have MSG_DONTWAIT; a regular file never blocks for long. */
void sink_open(struct sink *s, int fd) {
  struct stat st;
  *s = (struct sink){.fd = -1, .data = pages(RELAY_CHUNK)};
  if (s->data == NULL || fstat(fd, &st) < 0) return;
  s->fd = fd;
  s->socket = S_ISSOCK(st.st_mode);
  if (!S_ISFIFO(st.st_mode) && !(S_ISCHR(st.st_mode) && isatty(fd))) return;
  char path[32];
  struct text t = TEXT(path);
  text_add(&t, "/proc/self/fd/");
  text_number(&t, (uint64_t)fd);
  int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (own >= 0) s->fd = own;
}

bool sink_busy(const struct sink *s) { return s->at < s->end; }

void sink_flush(struct sink *s) {
  while (s->at < s->end && s->fd >= 0) {
    const uint8_t *data = s->data + s->at;
    size_t size = s->end - s->at;
    ssize_t n = s->socket ? send(s->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) : write(s->fd, data, size);
    if (n >= 0) {
      s->at += (size_t)n;
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      s->fd = -1; /* EPIPE and the like: the apps go on, their logs too */
    }
  }
  s->at = s->end = 0;
}

/* --- logs --------------------------------------------------------------------------------------------------------- */

static struct {
  uint8_t data[64 * 1024];
  size_t used;
} out;

void log_open(struct log *l, int dir, const char *name, uint64_t limit) {
  *l = (struct log){.dir = limit > 0 ? dir : -1, .fd = -1, .name = name, .limit = limit};
}

static bool log_reopen(struct log *l) {
  l->fd = openat(l->dir, l->name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
  l->size = 0;
  if (l->fd < 0) l->dir = -1;
  return l->fd >= 0;
}

/* One old file is kept: APP.1. */
static void log_rotate(struct log *l) {
  char old[256];
  struct text t = TEXT(old);
  text_add(&t, l->name);
  text_add(&t, ".1");
  close_fd(l->fd);
  /* Not one rename over the other: ext4 takes that for an editor's save and writes the file to the disk at once. */
  unlinkat(l->dir, old, 0);
  renameat(l->dir, l->name, l->dir, old);
  log_reopen(l);
}

/* A log that cannot be written (a full disk) is given up with a word; the app must not suffer from it. */
static void log_put(struct log *l, struct iovec *parts, int count) {
  size_t size = 0;
  for (int i = 0; i < count; i++) size += parts[i].iov_len;
  if (size == 0 || l->dir < 0) return;
  if (l->fd < 0 && !log_reopen(l)) return;
  if (l->size > 0 && l->size + size > l->limit) log_rotate(l);
  while (l->dir >= 0 && count > 0) {
    ssize_t n = writev(l->fd, parts, count);
    if (n < 0) {
      if (errno == EINTR) continue;
      say("run: the log of ", l->name, " ends here: ", strerror(errno), NULL);
      close_fd(l->fd);
      l->dir = l->fd = -1;
      return;
    }
    l->size += (uint64_t)n;
    size_t done = (size_t)n;
    while (count > 0 && done >= parts->iov_len) {
      done -= parts->iov_len;
      parts++;
      count--;
    }
    if (count > 0) {
      parts->iov_base = (uint8_t *)parts->iov_base + done;
      parts->iov_len -= done;
    }
  }
}

static void digits(char *at, unsigned value, int count) {
  while (count-- > 0) {
    at[count] = (char)('0' + value % 10);
    value /= 10;
  }
}

/* "2026-01-31T23:59:59.123456789Z"; the day is computed once per second (days from civil, H. Hinnant). */
static void format_time(char stamp[30]) {
  static time_t known = -1;
  static char text[20];
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (now.tv_sec != known) {
    known = now.tv_sec;
    unsigned second = (unsigned)(now.tv_sec % 86400);
    int64_t z = (int64_t)(now.tv_sec / 86400) + 719468;
    unsigned era = (unsigned)(z / 146097), doe = (unsigned)(z % 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    unsigned month = mp < 10 ? mp + 3 : mp - 9;
    memcpy(text, "0000-00-00T00:00:00.", 20);
    digits(text, yoe + era * 400 + (month <= 2), 4);
    digits(text + 5, month, 2);
    digits(text + 8, doy - (153 * mp + 2) / 5 + 1, 2);
    digits(text + 11, second / 3600, 2);
    digits(text + 14, second / 60 % 60, 2);
    digits(text + 17, second % 60, 2);
  }
  memcpy(stamp, text, 20);
  digits(stamp + 20, (unsigned)now.tv_nsec, 9);
  stamp[29] = 'Z';
}

/* `TIME stdout F text` per line; P instead of F for a piece without its end, which the next piece continues. Short
 * pieces are gathered, a long one goes to the file from where it lies. */
void log_write(struct log *l, const char *tag, const uint8_t *data, size_t size) {
  if (l == NULL || l->dir < 0) return;
  char head[48];
  format_time(head);
  head[30] = ' ';
  memcpy(head + 31, tag, 6);
  memcpy(head + 37, " F ", 3);
  const size_t head_size = 40;
  while (size > 0) {
    const uint8_t *end = memchr(data, '\n', size);
    size_t n = end == NULL ? size : (size_t)(end - data);
    head[38] = end == NULL ? 'P' : 'F';
    if (n + head_size + 1 > sizeof out.data - out.used) {
      struct iovec full = {out.data, out.used};
      log_put(l, &full, 1);
      out.used = 0;
    }
    if (n + head_size + 1 > sizeof out.data) {
      union {
        const uint8_t *in;
        uint8_t *out;
      } text = {.in = data}; /* writev reads only */
      char newline = '\n';
      struct iovec parts[3] = {{head, head_size}, {text.out, n}, {&newline, 1}};
      log_put(l, parts, 3);
    } else {
      memcpy(out.data + out.used, head, head_size);
      memcpy(out.data + out.used + head_size, data, n);
      out.used += head_size + n;
      out.data[out.used++] = '\n';
    }
    size_t step = n + (end != NULL);
    data += step;
    size -= step;
  }
  struct iovec rest = {out.data, out.used};
  log_put(l, &rest, 1);
  out.used = 0;
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

bool stream_wants(const struct stream *s) { return s->fd >= 0 && !sink_busy(s->sink); }

/* One line, with its prefix and an end. It fits: see take_lines. */
static void put_line(struct stream *s, const uint8_t *line, size_t size) {
  struct sink *k = s->sink;
  if (k->fd < 0) return;
  char prefix[256];
  struct text t = TEXT(prefix);
  text_add(&t, s->app);
  text_add(&t, "[");
  text_number(&t, (uint64_t)s->pid);
  text_add(&t, "]: ");
  if (k->end + t.length + size + 1 > RELAY_CHUNK) return;
  memcpy(k->data + k->end, prefix, t.length);
  k->end += t.length;
  memcpy(k->data + k->end, line, size);
  k->end += size;
  k->data[k->end++] = '\n';
}

/* Room for the lines of one read, however short they are, is not there in general: when the sink fills up, it is
 * flushed, and where that does not help the rest waits in s->line. */
static void take_lines(struct stream *s) {
  size_t at = 0;
  while (at < s->have) {
    if (s->sink->fd >= 0 && s->sink->end + RELAY_LINE + 300 > RELAY_CHUNK) {
      sink_flush(s->sink);
      if (sink_busy(s->sink)) break;
    }
    const uint8_t *end = memchr(s->line + at, '\n', s->have - at);
    size_t n = end == NULL ? s->have - at : (size_t)(end - s->line) - at;
    if (end == NULL && (at > 0 || n < RELAY_LINE)) break;
    put_line(s, s->line + at, n);
    at += n + (end != NULL);
  }
  memmove(s->line, s->line + at, s->have - at);
  s->have -= at;
  sink_flush(s->sink);
}

static void end_stream(struct stream *s) {
  close_fd(s->fd);
  s->fd = -1;
  if (s->line == NULL) return;
  if (s->have > 0) {
    put_line(s, s->line, s->have);
    sink_flush(s->sink);
  }
  munmap(s->line, RELAY_LINE);
  s->line = NULL;
}

bool stream_read(struct stream *s) {
  uint8_t *buffer = s->sink->data;
  size_t room = RELAY_CHUNK;
  if (s->app != NULL) {
    if (s->line == NULL) s->line = pages(RELAY_LINE);
    buffer = s->line == NULL ? NULL : s->line + s->have;
    room = RELAY_LINE - s->have;
  }
  if (buffer == NULL) {
    end_stream(s);
    return false;
  }
  ssize_t n = 0;
  if (room > 0) {
    n = read(s->fd, buffer, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
    /* EIO: a terminal whose last user is gone. */
    if (n <= 0) {
      if (s->app != NULL) take_lines(s);
      if (sink_busy(s->sink)) return true;
      end_stream(s);
      return true;
    }
    log_write(s->log, s->log_tag, buffer, (size_t)n);
  }
  if (s->app != NULL) {
    s->have += (size_t)n;
    take_lines(s);
  } else if (s->sink->fd >= 0) {
    s->sink->end = (size_t)n;
    sink_flush(s->sink);
  }
  return true;
}

void relay_trim(struct sink *sinks, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!sink_busy(&sinks[i]) && sinks[i].data != NULL) madvise(sinks[i].data, RELAY_CHUNK, MADV_DONTNEED);
  uintptr_t start = ((uintptr_t)out.data + 4095) & ~(uintptr_t)4095, end = ((uintptr_t)out.data + sizeof out.data) & ~(uintptr_t)4095;
  if (out.used == 0 && start < end) madvise((void *)start, end - start, MADV_DONTNEED);
}
