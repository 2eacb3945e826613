// SPDX-License-Identifier: Apache-2.0
// The sets of system calls behind the `@` names (rkt-runtime.md §9), each with the calls that the kernel has got
// since then for the same purposes: a C library of today does not run without some of them.

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/**
 * What Docker, and so rkt, let a program call; without syslog(2), which reads the kernel's log and which Docker has
 * since bound to CAP_SYSLOG. Some are in it on a condition (see compile.ts).
 */
const DOCKER_WHITELIST = words(`
  accept accept4 access alarm bind brk capget capset chdir chmod chown chown32 clock_getres
  clock_gettime clock_nanosleep close connect copy_file_range creat dup dup2 dup3 epoll_create
  epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_wait epoll_wait_old eventfd eventfd2 execve
  execveat exit exit_group faccessat fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod
  fchmodat fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork
  fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex
  futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32
  getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom
  getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage getsid getsockname
  getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr inotify_add_watch
  inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents ioprio_get
  ioprio_set io_setup io_submit ipc kill lchown lchown32 lgetxattr link linkat listen listxattr
  llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise memfd_create mincore mkdir
  mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open
  mq_timedreceive mq_timedsend mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock munlockall
  munmap nanosleep newfstatat _newselect open openat pause personality pipe pipe2 poll ppoll prctl
  pread64 preadv prlimit64 pselect6 pwrite64 pwritev read readahead readlink readlinkat readv recv
  recvfrom recvmmsg recvmsg remap_file_pages removexattr rename renameat renameat2 restart_syscall
  rmdir rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
  rt_sigtimedwait rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam
  sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval
  sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl
  semget semop semtimedop send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32
  setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid
  setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list
  setsid setsockopt set_thread_area set_tid_address setuid setuid32 setxattr shmat shmctl shmdt shmget
  shutdown sigaltstack signalfd signalfd4 sigreturn socket socketcall socketpair splice stat stat64
  statfs statfs64 symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
  timer_create timer_delete timerfd_create timerfd_gettime timerfd_settime timer_getoverrun
  timer_gettime timer_settime times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat
  utime utimensat utimes vfork vmsplice wait4 waitid waitpid write writev arch_prctl modify_ldt chroot
  clone
`);

const ARM_WHITELIST = words(`
  arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2
`);

/** Newer ways to do what the list above allows. io_uring is none: its work is done past every filter. */
const WHITELIST_SINCE = words(`
  cachestat close_range epoll_pwait2 faccessat2 fchmodat2 futex_requeue futex_wait futex_waitv
  futex_wake getxattrat io_pgetevents landlock_add_rule landlock_create_ruleset landlock_restrict_self
  listxattrat map_shadow_stack membarrier memfd_secret mseal openat2 pidfd_open pidfd_send_signal
  pkey_alloc pkey_free pkey_mprotect preadv2 process_mrelease pwritev2 removexattrat rseq setxattrat
  statx
`);

const DOCKER_BLACKLIST = words(`
  acct add_key adjtimex bpf clock_adjtime clock_settime create_module delete_module finit_module
  get_kernel_syms get_mempolicy init_module ioperm iopl kcmp kexec_file_load kexec_load keyctl
  lookup_dcookie mbind mount move_pages name_to_handle_at nfsservctl open_by_handle_at perf_event_open
  pivot_root process_vm_readv process_vm_writev ptrace query_module quotactl reboot request_key
  set_mempolicy setns settimeofday stime swapon swapoff sysfs _sysctl umount umount2 unshare uselib
  userfaultfd ustat vm86 vm86old
`);

/** Newer ways to do what the list above forbids. */
const BLACKLIST_SINCE = words(`
  fsconfig fsmount fsopen fspick io_uring_enter io_uring_register io_uring_setup mount_setattr
  move_mount open_tree open_tree_attr pidfd_getfd process_madvise quotactl_fd set_mempolicy_home_node
  syslog
`);

export const DEFAULT_WHITELIST: readonly string[] = [
  ...DOCKER_WHITELIST,
  ...ARM_WHITELIST,
  ...WHITELIST_SINCE,
];

const DEFAULT_BLACKLIST: readonly string[] = [...DOCKER_BLACKLIST, ...BLACKLIST_SINCE];

/** systemd lets these through whatever a whitelist says; without execve no program would start. */
export const ALWAYS_RETAINED = words(`
  clock_getres clock_gettime clock_nanosleep execve exit exit_group getrlimit gettimeofday nanosleep
  pause restart_syscall rt_sigreturn sigreturn time
`);

const CLOCK = words("adjtimex clock_adjtime clock_settime settimeofday stime");
const RAW_IO = words("ioperm iopl pciconfig_iobase pciconfig_read pciconfig_write");

export interface NamedSet {
  readonly calls: readonly string[];
  /** One of the default lists, which have rules about arguments too (see compile.ts). */
  readonly isDefaultList?: true;
}

const WHITE: NamedSet = { calls: DEFAULT_WHITELIST, isDefaultList: true };
const BLACK: NamedSet = { calls: DEFAULT_BLACKLIST, isDefaultList: true };

export const NAMED_SETS: ReadonlyMap<string, NamedSet> = new Map<string, NamedSet>([
  ["@docker/default-whitelist", WHITE],
  ["@docker/default-blacklist", BLACK],
  ["@rkt/default-whitelist", WHITE],
  ["@rkt/default-blacklist", BLACK],
  ["@systemd/clock", { calls: CLOCK }],
  ["@systemd/default-whitelist", { calls: ALWAYS_RETAINED }],
  [
    "@systemd/mount",
    {
      calls: words(
        "chroot mount umount umount2 pivot_root fsconfig fsmount fsopen fspick mount_setattr move_mount open_tree open_tree_attr",
      ),
    },
  ],
  [
    "@systemd/network-io",
    {
      calls: words(`
        accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
        recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socket socketcall socketpair
      `),
    },
  ],
  [
    "@systemd/obsolete",
    {
      calls: words(`
        _sysctl afs_syscall break create_module ftime get_kernel_syms getpmsg gtty lock mpx prof
        profil putpmsg query_module security sgetmask ssetmask stty sysfs tuxcall ulimit uselib ustat
        vserver
      `),
    },
  ],
  [
    "@systemd/privileged",
    {
      calls: [
        ...CLOCK,
        ...RAW_IO,
        ...words(`
          acct bdflush bpf capset chown chown32 chroot delete_module fanotify_init fchown fchown32
          fchownat finit_module init_module kexec_file_load kexec_load lchown lchown32 nfsservctl
          pivot_root quotactl quotactl_fd reboot setdomainname setfsuid setfsuid32 setgroups
          setgroups32 sethostname setresuid setresuid32 setreuid setreuid32 setuid setuid32 swapoff
          swapon vhangup
        `),
      ],
    },
  ],
  [
    "@systemd/process",
    {
      calls: words(
        "arch_prctl clone clone3 execveat fork kill pidfd_send_signal prctl setns tgkill tkill unshare vfork",
      ),
    },
  ],
  ["@systemd/raw-io", { calls: RAW_IO }],
]);

/** In a retain-set: no filter at all. */
export const OPT_OUT = "@appc.io/all";
/** In a remove-set: the default filter. */
export const NO_BLACKLIST = "@appc.io/empty";
