/* SPDX-License-Identifier: Apache-2.0
 * See userns.h. */
#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tree.h"
#include "util.h"

#define MS_REC_PRIVATE (16384u | 262144u) /* MS_REC | MS_PRIVATE */

static bool is_lent(const struct op *op) {
  return op->code == OP_OVERLAY || op->code == OP_BIND_ROOT ||
         (op->code == OP_BIND && (op->f[BIND_FLAGS].n & BIND_IS_LENT) != 0);
}

size_t loans_needed(const struct plan *plan) {
  struct cursor cursor = plan_start(plan);
  struct op op;
  size_t n = 0;
  while (plan_next(&cursor, &op)) n += is_lent(&op);
  return n;
}

int loans_take(struct loans *l, uint32_t op) {
  for (size_t i = 0; i < l->count; i++) {
    if (l->list[i].op != op) continue;
    int mount = l->list[i].mount;
    l->list[i].mount = -1;
    return mount;
  }
  return -1;
}

void loans_close(struct loans *l) {
  for (size_t i = 0; i < l->count; i++) close_fd(l->list[i].mount);
  l->count = 0;
}

/* --- the namespace ------------------------------------------------------------------------------------------------ */

static void process_path(char *buffer, size_t size, pid_t pid, const char *file) {
  struct text t = {buffer, size, 0};
  text_add(&t, "/proc/");
  text_number(&t, (uint64_t)pid);
  text_add(&t, file);
}

static int write_map(pid_t pid, const char *file, const struct op *op) {
  char path[64], map[64];
  struct text t = TEXT(map);
  process_path(path, sizeof path, pid, file);
  text_add(&t, "0 ");
  text_number(&t, op->f[USER_NAMESPACE_FIRST].n);
  text_add(&t, " ");
  text_number(&t, op->f[USER_NAMESPACE_COUNT].n);
  CLOSING int fd = open(path, O_WRONLY | O_CLOEXEC);
  return fd >= 0 && write(fd, map, t.length) == (ssize_t)t.length ? 0 : -1;
}

int userns_map(pid_t pid, const struct op *op, struct report *r) {
  if (write_map(pid, "/uid_map", op) == 0 && write_map(pid, "/gid_map", op) == 0) return 0;
  fail(r, errno, "map the pod's users", NULL);
  if (r->err == EPERM) remedy(r, "run as root with CAP_SETUID and CAP_SETGID, outside of a container");
  return -1;
}

void userns_remedy(struct report *r) {
  if (r->err == EINVAL) remedy(r, "leave --private-users out: this kernel has no user namespaces");
  if (r->err == EPERM) remedy(r, "run as root with CAP_SYS_ADMIN, outside of a chroot or a container");
  if (r->err == ENOSPC || r->err == EUSERS) remedy(r, "raise the limit in /proc/sys/user/max_user_namespaces");
}

int userns_become_root(struct report *r) {
  if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
    return fail(r, errno, "become the pod's root", NULL);
  /* A change of ids resets both. */
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  return 0;
}

/* Only a process that gives up this namespace's power can go into the other, and its child is then PID 1: as a sibling,
 * so that it is our child. The number comes by a pipe; what is less than 0 is -errno. */
static _Noreturn void tell(int pipe, pid_t result) {
  int32_t number = result < 0 ? -errno : result;
  write_all(pipe, &number, sizeof number);
  _exit(0);
}

pid_t userns_clone(int users, uint64_t flags, int cgroup) {
  int pair[2];
  int32_t number = -ECHILD;
  if (pipe2(pair, O_CLOEXEC) < 0) return -1;
  pid_t helper = sys_clone(0, cgroup);
  if (helper == 0) {
    if (setns(users, CLONE_NEWUSER) < 0) tell(pair[1], -1);
    pid_t pid = sys_clone(flags | CLONE_PARENT, -1);
    if (pid != 0) tell(pair[1], pid);
    close_fd(pair[0]);
    close_fd(pair[1]);
    return 0;
  }
  int err = errno;
  close_fd(pair[1]);
  if (helper > 0) {
    if (read(pair[0], &number, sizeof number) != (ssize_t)sizeof number) number = -ECHILD;
    while (waitpid(helper, NULL, 0) < 0 && errno == EINTR) continue;
    err = -number;
  }
  close_fd(pair[0]);
  errno = err;
  return helper < 0 || number < 0 ? -1 : (pid_t)number;
}

int userns_hold(void) {
  char end;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) return errno;
  if (!write_all(STDOUT_FILENO, "+", 1)) return EPIPE;
  while (read(STDIN_FILENO, &end, 1) > 0) continue;
  return 0;
}

int userns_twin(const struct op *op, struct report *r) {
  pid_t us = getpid();
  pid_t pid = sys_clone(CLONE_NEWUSER, -1);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    /* Had it died before this call: the pod's lock would stay taken for ever. */
    while (getppid() == us) pause();
    _exit(STATUS_FAILED);
  }
  if (pid < 0) {
    fail(r, errno, "make a user namespace", NULL);
    userns_remedy(r);
    return -1;
  }
  char path[64];
  process_path(path, sizeof path, pid, "/ns/user");
  int fd = -1;
  if (userns_map(pid, op, r) == 0) {
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail(r, errno, "open", path);
  }
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
  return fd;
}

/* --- the lender --------------------------------------------------------------------------------------------------- */

static int make_mount(const struct op *op, int userns, struct report *r) {
  switch (op->code) {
    case OP_OVERLAY:
      return tree_overlay(op, userns, r);
    case OP_BIND_ROOT:
      return tree_root_copy(op, r);
    default:
      return tree_bind_copy(op, -1, r);
  }
}

static int lend_all(const struct plan *plan, int userns, int socket, struct report *r) {
  struct cursor cursor = plan_start(plan);
  struct op op;
  /* What is attached here for a moment is seen by nobody else. */
  if (syscall(SYS_mount, NULL, "/", NULL, MS_REC_PRIVATE, NULL) < 0)
    return fail(r, errno, "make mounts private below", "/");
  while (plan_next(&cursor, &op)) {
    if (!is_lent(&op)) continue;
    r->op = op.index;
    r->err = 0;
    CLOSING int mount = make_mount(&op, userns, r);
    if (mount < 0 && r->err == 0) continue;
    if (mount < 0) return -1;
    struct message m = {.type = MESSAGE_MOUNT, .value = (int32_t)op.index};
    if (!send_message(socket, &m, mount)) return fail(r, errno, "lend a mount to the pod", NULL);
  }
  return 0;
}

static _Noreturn void lender_main(const struct plan *plan, int userns, int socket) {
  struct report r = {.status = STATUS_FAILED};
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (lend_all(plan, userns, socket, &r) < 0) {
    struct message m = {.type = MESSAGE_FAILED, .report = r};
    send_message(socket, &m, -1);
    _exit(STATUS_FAILED);
  }
  struct message done = {.type = MESSAGE_GO};
  send_message(socket, &done, -1);
  _exit(0);
}

/* Everything that comes from the lender, up to its last word. */
static int receive_loans(struct loans *l, size_t room, int socket, struct report *r) {
  struct message m = {0};
  while (receive_message(socket, &m, true) == 1) {
    if (m.type == MESSAGE_GO) return 0;
    if (m.type == MESSAGE_FAILED) {
      *r = m.report;
      return -1;
    }
    if (m.type != MESSAGE_MOUNT || l->count == room) break;
    if (m.fd < 0) {
      fail(r, EMFILE, "take a mount for the pod", NULL);
      remedy(r, "raise the limit of open files (ulimit -n)");
      return -1;
    }
    l->list[l->count++] = (struct loan){(uint32_t)m.value, m.fd};
  }
  return fail_why(r, ECHILD, "make the pod's mounts", NULL, "the process that makes them was killed");
}

int loans_make(struct loans *l, const struct plan *plan, int userns, struct report *r) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return fail(r, errno, "make a socket", NULL);
  pid_t pid = sys_clone(CLONE_NEWNS, -1);
  if (pid == 0) {
    close_fd(pair[0]);
    lender_main(plan, userns, pair[1]);
  }
  close_fd(pair[1]);
  int result = pid < 0 ? fail(r, errno, "make namespaces", NULL) : receive_loans(l, loans_needed(plan), pair[0], r);
  close_fd(pair[0]);
  while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
  return result;
}
