// SPDX-License-Identifier: Apache-2.0
// What stage1 itself calls between giving up CAP_SYS_ADMIN and the program's execve, for an app, its handlers and
// `enter`, failures and their explanation included. A filter that lets all of it through is installed before the
// power is given up, and needs no no_new_privs for that (stage1/process.c). A test runs pods with exactly this.

/** Names of both architectures; the C library takes the one that there is. */
export const NEEDED_CALLS: readonly string[] = [
  // Identity, limits, signals.
  ...["capget", "capset", "prctl", "setgroups", "setresgid", "setresuid", "umask"],
  ...["prlimit64", "setrlimit", "rt_sigaction", "rt_sigprocmask", "rt_sigtimedwait", "kill"],
  // Processes: handlers, and the wait for the main one.
  ...["clone", "wait4", "getpid", "setsid", "execve", "exit", "exit_group"],
  // Messages and descriptors.
  ...["read", "write", "writev", "sendmsg", "recvmsg", "poll", "ppoll", "close", "close_range"],
  ...["fcntl", "dup2", "dup3", "ioctl", "open", "openat", "fstatfs"],
  // Looking for the program, and for why it does not run.
  ...["chdir", "getcwd", "access", "faccessat", "stat", "fstat", "newfstatat", "pread64"],
  ...["mmap", "munmap", "brk"],
];
