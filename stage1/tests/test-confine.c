/* SPDX-License-Identifier: Apache-2.0
 * The filters of our own processes: every call that is not on their lists kills, each tried in a process of its own;
 * what they need goes on working. The lists stand here a second time: a longer one is a decision. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"

#define LAST_CALL 480 /* no kernel has more yet; x32 and numbers of other tables are tried besides */

static int failures;

#define COMMON                                                                                               \
  SYS_read, SYS_write, SYS_close, SYS_ppoll, SYS_sendmsg, SYS_recvmsg, SYS_kill, SYS_wait4, SYS_rt_sigprocmask, \
      SYS_rt_sigreturn, SYS_restart_syscall, SYS_exit_group

static const long pod[] = {
    COMMON, SYS_signalfd4,
#ifdef SYS_poll
    SYS_poll,
#endif
};

static const long supervisor[] = {
    COMMON,        SYS_openat, SYS_writev, SYS_sendto, SYS_unlinkat, SYS_renameat, SYS_symlinkat, SYS_fcntl,
    SYS_capget,    SYS_capset, SYS_ioctl,  SYS_mmap,   SYS_munmap,   SYS_madvise,  SYS_clock_gettime,
#ifdef SYS_poll
    SYS_poll,
#endif
#ifdef SYS_open
    SYS_open,      SYS_rmdir,
#endif
};

struct filter {
  const char *name;
  int (*install)(struct report *r);
  const long *allowed;
  size_t count;
};

static bool allows(const struct filter *f, long number) {
  for (size_t i = 0; i < f->count; i++)
    if (f->allowed[i] == number) return true;
  return false;
}

/* uretprobe and uprobe: the kernel's own trampolines make them, past every filter; anything else that does dies. */
static bool is_probe(long number) {
#if defined(__x86_64__)
  return number == 335 || number == 336;
#else
  return number < 0;
#endif
}

static void confine(const struct filter *f) {
  struct report r;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || f->install(&r) < 0) _exit(99);
}

static int status_of(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

static void must_kill(const struct filter *f, long number) {
  pid_t pid = fork();
  if (pid == 0) {
    confine(f);
    syscall(number, 0, 0, 0, 0, 0, 0);
    _exit(0);
  }
  int status = status_of(pid);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) return;
  printf("FAILED %s: call %ld did not kill (status %x)\n", f->name, number, (unsigned)status);
  failures++;
}

/* The calls that can be made without harm, with results that say that they were made. */
static void must_allow(const struct filter *f) {
  int pair[2];
  char text[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0) return;
  pid_t pid = fork();
  if (pid == 0) {
    struct pollfd fds[1] = {{pair[0], POLLIN, 0}};
    confine(f);
    bool good = write(pair[1], "x", 1) == 1 && poll(fds, 1, -1) == 1 && read(pair[0], text, 1) == 1;
    struct iovec part = {text, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    good = good && sendmsg(pair[1], &message, 0) == 1 && recvmsg(pair[0], &message, 0) == 1;
    good = good && kill(-1, 0) <= 0 && waitpid(-1, NULL, WNOHANG) == -1 && close(pair[0]) == 0;
    syscall(SYS_exit_group, good ? 0 : 1); /* _exit: the sanitizer adds calls of its own */
  }
  int status = status_of(pid);
  if (status != 0) printf("FAILED %s: what it needs is forbidden (status %x)\n", f->name, (unsigned)status), failures++;
  close(pair[0]);
  close(pair[1]);
}

/* The filter of a worker refuses, with an error: its runtime must go on. */
static void must_refuse(long number, long argument, int expected) {
  pid_t pid = fork();
  if (pid == 0) {
    struct report r;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || confine_worker(&r) < 0) syscall(SYS_exit_group, 99);
    bool refused = syscall(number, argument, -1, -1, -1, -1, -1) == -1 && errno == expected;
    syscall(SYS_exit_group, refused ? 0 : 1);
  }
  int status = status_of(pid);
  if (status != 0) printf("FAILED worker: call %ld is not refused (status %x)\n", number, (unsigned)status), failures++;
}

static void test_worker(void) {
  const long refused[] = {
      SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_io_uring_setup, SYS_io_uring_enter,
      SYS_io_uring_register, SYS_execve, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd,
      SYS_unshare, SYS_setns, SYS_chroot, SYS_pivot_root, SYS_mount, SYS_umount2, SYS_open_tree, SYS_move_mount,
      SYS_fsopen, SYS_fsmount, SYS_fspick, SYS_mount_setattr, SYS_open_by_handle_at, SYS_add_key, SYS_request_key,
      SYS_keyctl, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_kexec_load, SYS_init_module, SYS_finit_module,
#ifdef SYS_fork
      SYS_fork, SYS_vfork,
#endif
  };
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) must_refuse(refused[i], -1, EPERM);
  must_refuse(SYS_clone, SIGCHLD, EPERM);
  must_refuse(SYS_clone3, 0, ENOSYS);
  must_refuse(0x40000000 | SYS_read, 0, ENOSYS);
  /* What a thread is made with comes through to the kernel, which finds it wrong: no CLONE_VM. */
  must_refuse(SYS_clone, CLONE_THREAD | CLONE_SIGHAND, EINVAL);
  must_refuse(SYS_read, -1, EBADF);
}

int main(void) {
  const struct filter filters[] = {
      {"pod", confine_pod, pod, sizeof pod / sizeof pod[0]},
      {"supervisor", confine_supervisor, supervisor, sizeof supervisor / sizeof supervisor[0]},
  };
  for (size_t i = 0; i < 2; i++) {
    const struct filter *f = &filters[i];
    for (long number = 0; number < LAST_CALL; number++)
      if (!allows(f, number) && !is_probe(number)) must_kill(f, number);
    must_kill(f, 0x40000000 | SYS_read);
    must_kill(f, -1);
    must_allow(f);
  }
  test_worker();
  if (failures == 0) puts("test-confine: ok");
  return failures != 0;
}
