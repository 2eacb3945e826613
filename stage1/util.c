/* SPDX-License-Identifier: Apache-2.0
 * See util.h. */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SAY_PATIENCE_MS 1000

void close_fd(int fd) {
  int saved = errno;
  if (fd >= 0) close(fd);
  errno = saved;
}

static void text_char(struct text *t, char c) {
  if (t->length + 1 < t->size) {
    t->data[t->length++] = c;
    t->data[t->length] = 0;
  }
}

void text_add(struct text *t, const char *s) {
  while (*s != 0) text_char(t, *s++);
}

void text_quote(struct text *t, const char *s) {
  text_char(t, '"');
  for (size_t i = 0; s[i] != 0; i++) {
    if (i == 300) {
      text_add(t, "...");
      break;
    }
    unsigned char c = (unsigned char)s[i];
    if (c == '"') text_char(t, '\\');
    if (c >= 0x20 && c != 0x7f) text_char(t, s[i]);
  }
  text_char(t, '"');
}

void text_number(struct text *t, uint64_t n) {
  char digits[20];
  size_t i = sizeof digits;
  do {
    digits[--i] = (char)('0' + n % 10);
    n /= 10;
  } while (n > 0);
  while (i < sizeof digits) text_char(t, digits[i++]);
}

void text_errno(struct text *t, int err) {
  const char *s = strerror(err);
  /* "No such file" but not "I/O error". */
  if (s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'a' && s[1] <= 'z') {
    text_char(t, (char)(s[0] + 32));
    s++;
  }
  text_add(t, s);
}

bool write_all(int fd, const void *data, size_t size) {
  const char *p = data;
  while (size > 0) {
    ssize_t n = write(fd, p, size);
    if (n < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    p += n;
    size -= (size_t)n;
  }
  return true;
}

void say(const char *first, ...) {
  char buffer[2048];
  struct text t = TEXT(buffer);
  va_list rest;
  va_start(rest, first);
  for (const char *s = first; s != NULL; s = va_arg(rest, const char *)) text_add(&t, s);
  va_end(rest);
  text_char(&t, '\n');
  /* One line fits where poll says that there is room. A reader that takes nothing loses it: signals wait for us. */
  struct pollfd room = {STDERR_FILENO, POLLOUT, 0};
  if (poll(&room, 1, SAY_PATIENCE_MS) != 0) write_all(STDERR_FILENO, buffer, t.length);
}

int write_file(int dir, const char *name, const char *text) {
  char temporary[256];
  struct text t = TEXT(temporary);
  text_add(&t, ".");
  text_add(&t, name);
  text_add(&t, ".tmp");
  int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
  if (fd < 0) return errno;
  int err = write_all(fd, text, strlen(text)) ? 0 : errno;
  close_fd(fd);
  if (err == 0 && renameat(dir, temporary, dir, name) < 0) err = errno;
  if (err != 0) unlinkat(dir, temporary, 0);
  return err;
}

uint64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* openat2(2). EAGAIN means that a rename raced with the resolution: try again, but not for ever. */
int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
  for (int attempt = 0;; attempt++) {
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR) || attempt >= 100) return (int)fd;
  }
}

/* clone3(2) without a stack shares nothing: it is fork with flags. libc's idea of our thread id goes stale, which
 * matters only to raise() and abort(). */
pid_t sys_clone(uint64_t flags, int cgroup) {
  /* clone3(2) is what seccomp filters forbid, the app's own included: its flags cannot be looked at. */
  if (cgroup < 0 && (flags & ~(uint64_t)CLONE_PARENT) == 0)
    return (pid_t)syscall(SYS_clone, flags | ((flags & CLONE_PARENT) != 0 ? 0u : SIGCHLD), 0, 0, 0, 0);
  /* A sibling is reported to our parent as we are (clone3(2) wants no signal then). */
  struct clone_args args = {.flags = flags, .exit_signal = (flags & CLONE_PARENT) != 0 ? 0 : SIGCHLD};
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (__u64)(unsigned)cgroup;
  }
  return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

int sys_close_range(unsigned first, unsigned last) {
  return first > last ? 0 : (int)syscall(SYS_close_range, first, last, 0);
}

int sys_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int sys_pidfd_send_signal(int pidfd, int signal) {
  return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}
