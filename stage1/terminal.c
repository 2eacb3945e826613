/* SPDX-License-Identifier: Apache-2.0
 * See terminal.h. */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "util.h"

static struct termios before;

void terminal_resize(const struct terminal *t) {
  struct winsize size;
  if (t->master >= 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) ioctl(t->master, TIOCSWINSZ, &size);
}

void terminal_attach(struct terminal *t, int master) {
  t->master = master;
  fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
  terminal_resize(t);
  if (tcgetattr(STDIN_FILENO, &before) < 0) return;
  struct termios raw = before;
  cfmakeraw(&raw);
  t->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

void terminal_restore(struct terminal *t) {
  /* TCSADRAIN would wait for a stuck terminal. */
  if (t->raw) tcsetattr(STDIN_FILENO, TCSANOW, &before);
  t->raw = false;
}

bool terminal_wants_input(const struct terminal *t) { return t->master >= 0 && t->at == t->end; }

bool terminal_type(struct terminal *t) {
  struct pollfd ready = {STDIN_FILENO, POLLIN, 0};
  if (t->at == t->end) {
    /* The caller's descriptor is not ours to make non-blocking: ask first. */
    if (poll(&ready, 1, 0) != 1) return true;
    ssize_t n = read(STDIN_FILENO, t->typed, sizeof t->typed);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n <= 0) return false;
    t->at = 0;
    t->end = (size_t)n;
  }
  ssize_t n = write(t->master, t->typed + t->at, t->end - t->at);
  if (n > 0) t->at += (size_t)n;
  if (n < 0 && errno != EAGAIN && errno != EINTR) t->at = t->end; /* nobody listens any more */
  return true;
}
