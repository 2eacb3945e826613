/* SPDX-License-Identifier: Apache-2.0
 * See report.h. */
#include "report.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"

int fail_why(struct report *r, int err, const char *action, const char *path, const char *why) {
  struct text t = TEXT(r->text);
  r->err = err;
  r->status = STATUS_FAILED;
  r->remedy[0] = 0;
  text_add(&t, "cannot ");
  text_add(&t, action);
  if (path != NULL) {
    text_add(&t, " ");
    text_quote(&t, path);
  }
  text_add(&t, ": ");
  if (why != NULL)
    text_add(&t, why);
  else
    text_errno(&t, err);
  return -1;
}

int fail(struct report *r, int err, const char *action, const char *path) {
  return fail_why(r, err, action, path, NULL);
}

void remedy(struct report *r, const char *text) {
  struct text t = TEXT(r->remedy);
  text_add(&t, text);
}

bool send_message(int socket, struct message *m, int fd) {
  size_t size = m->type == MESSAGE_FAILED ? sizeof *m : offsetof(struct message, report);
  struct iovec part = {m, size};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    header.msg_control = &control;
    header.msg_controllen = sizeof control;
    struct cmsghdr *c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  ssize_t n;
  do n = sendmsg(socket, &header, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n == (ssize_t)size;
}

/* One descriptor is all that a message has: others that come with it are closed. */
static void take_descriptor(const struct cmsghdr *c, int *fd) {
  size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof *fd;
  for (size_t i = 0; i < count; i++) {
    int next;
    memcpy(&next, CMSG_DATA(c) + i * sizeof next, sizeof next);
    if (*fd < 0)
      *fd = next;
    else
      close_fd(next);
  }
}

int receive_message(int socket, struct message *m, bool wait) {
  struct iovec part = {m, sizeof *m};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr header = {
      .msg_iov = &part,
      .msg_iovlen = 1,
      .msg_control = &control,
      .msg_controllen = sizeof control,
  };
  ssize_t n;
  do n = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return -1;
  if (n < 0) return 0;
  /* Nothing of an earlier message is left in a shorter one. */
  if (n < (ssize_t)sizeof *m) memset(&m->report, 0, sizeof m->report);
  m->sender = 0;
  m->fd = -1;
/* musl's CMSG_NXTHDR mixes signs. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
#pragma GCC diagnostic pop
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_RIGHTS) take_descriptor(c, &m->fd);
    if (c->cmsg_type == SCM_CREDENTIALS) {
      struct ucred creds;
      memcpy(&creds, CMSG_DATA(c), sizeof creds);
      m->sender = creds.pid;
    }
  }
  if (n < (ssize_t)offsetof(struct message, report)) {
    close_fd(m->fd);
    m->fd = -1;
    return 0;
  }
  m->report.text[sizeof m->report.text - 1] = 0;
  m->report.remedy[sizeof m->report.remedy - 1] = 0;
  return 1;
}
