/* SPDX-License-Identifier: Apache-2.0
 * See confine.h. A call that is missing here shows at once in the tests: the process dies of SIGSYS. */
#include "confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "no seccomp filter for this machine"
#endif

/* The architecture, then the number; calls of the x32 table have numbers that no entry has. */
#define BEGIN                                                                      \
  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),         \
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),                     \
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),                         \
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ALLOW(name) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define END BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

/* What both do: wait, read, talk to each other, reap, end. */
#define COMMON                                                                                            \
  ALLOW(read), ALLOW(write), ALLOW(close), ALLOW(ppoll), ALLOW(sendmsg), ALLOW(recvmsg), ALLOW(kill),     \
      ALLOW(wait4), ALLOW(rt_sigprocmask), ALLOW(rt_sigreturn), ALLOW(restart_syscall), ALLOW(exit_group)

/* The C library uses the older call where a machine has it. */
#ifdef SYS_poll
#define OLDER_COMMON ALLOW(poll),
#else
#define OLDER_COMMON
#endif
#ifdef SYS_open
#define OLDER_FILES ALLOW(open), ALLOW(rmdir),
#else
#define OLDER_FILES
#endif

static const struct sock_filter supervisor[] = {
    BEGIN,
    COMMON,
    OLDER_COMMON
    /* Output, logs and their rotation, statuses, the cgroup's end. */
    OLDER_FILES
    ALLOW(openat), ALLOW(writev), ALLOW(sendto), ALLOW(unlinkat), ALLOW(renameat), ALLOW(symlinkat),
    ALLOW(fcntl), ALLOW(capget), ALLOW(capset),
    /* The terminal. */
    ALLOW(ioctl),
    /* Buffers; the time where it does not come from the vDSO. */
    ALLOW(mmap), ALLOW(munmap), ALLOW(madvise), ALLOW(clock_gettime),
    END,
};

static const struct sock_filter pod[] = {
    BEGIN,
    COMMON,
    OLDER_COMMON
    ALLOW(signalfd4),
    END,
};

#define REFUSE(name) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
/* The number of the first call of the x32 table. */
#define FOREIGN 0x40000000u
#ifdef SYS_fork
#define OLDER_PROCESSES REFUSE(fork), REFUSE(vfork),
#else
#define OLDER_PROCESSES
#endif

static const struct sock_filter worker[] = {
    BEGIN,
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FOREIGN, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    /* Its flags cannot be looked at; libc then makes threads with the older call. */
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    REFUSE(socket), REFUSE(socketpair), REFUSE(connect), REFUSE(bind), REFUSE(listen),
    REFUSE(io_uring_setup), REFUSE(io_uring_enter), REFUSE(io_uring_register),
    OLDER_PROCESSES
    REFUSE(execve), REFUSE(ptrace), REFUSE(process_vm_readv), REFUSE(process_vm_writev), REFUSE(pidfd_getfd),
    REFUSE(unshare), REFUSE(setns), REFUSE(chroot), REFUSE(pivot_root), REFUSE(mount), REFUSE(umount2),
    REFUSE(open_tree), REFUSE(move_mount), REFUSE(fsopen), REFUSE(fsmount), REFUSE(fspick), REFUSE(mount_setattr),
    REFUSE(open_by_handle_at), REFUSE(add_key), REFUSE(request_key), REFUSE(keyctl), REFUSE(bpf),
    REFUSE(perf_event_open), REFUSE(userfaultfd), REFUSE(kexec_load), REFUSE(init_module), REFUSE(finit_module),
    /* Threads only. */
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static int install(const struct sock_filter *code, size_t count, struct report *r) {
  union {
    const struct sock_filter *in;
    struct sock_filter *out;
  } list = {.in = code}; /* the kernel only reads it */
  struct sock_fprog program = {.len = (unsigned short)count, .filter = list.out};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0) return 0;
  /* A kernel without filters runs pods with --insecure-options=seccomp only: the apps' filters say so. */
  if (errno == ENOSYS || errno == EINVAL) return 0;
  return fail(r, errno, "give up system calls", NULL);
}

int confine_supervisor(struct report *r) { return install(supervisor, sizeof supervisor / sizeof supervisor[0], r); }

int confine_pod(struct report *r) { return install(pod, sizeof pod / sizeof pod[0], r); }

int confine_worker(struct report *r) { return install(worker, sizeof worker / sizeof worker[0], r); }
