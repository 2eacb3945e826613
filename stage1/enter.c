/* SPDX-License-Identifier: Apache-2.0
 * See enter.h. Three processes, of which two remain: this one (outside, without power, relays and waits); a helper
 * that is cloned into the pod's cgroup, joins the namespaces, gives up what the app must not have and clones the
 * program as our child (CLONE_PARENT), then ends. The program never exists inside the pod with more power than
 * the app: rkt's CVE-2019-10144, -10145, -10147. */
#include "enter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"
#include "pod.h"
#include "process.h"
#include "relay.h"
#include "report.h"
#include "supervise.h"
#include "terminal.h"
#include "util.h"

#define DEVPTS_MAGIC 0x1cd1
#define APP_NAMESPACES \
  (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP)

struct entry {
  struct op options, enter, execute;
  struct process process;
  struct field joins; /* cgroups of v1: clone3 takes only that of v2 */
  const char *directory;
  int pidfd, channel;
  int out, err; /* of the program: ours, or pipes where ours are a terminal's */
  bool terminal, sized;
  struct winsize size; /* of the caller's terminal */
};

/* --- the app, seen from outside ------------------------------------------------------------------------------- */

static int proc_path(char *buffer, size_t size, uint64_t pid, const char *file) {
  struct text t = {buffer, size, 0};
  text_add(&t, "/proc/");
  text_number(&t, pid);
  text_add(&t, file);
  return 0;
}

static bool namespace_of(uint64_t pid, struct stat *st) {
  char path[64];
  proc_path(path, sizeof path, pid, "/ns/pid");
  return stat(path, st) == 0;
}

/* The hexadecimal or decimal number after `key` in the text of /proc/PID/status. */
static bool status_number(const char *text, const char *key, unsigned base, uint64_t *value) {
  const char *at = strstr(text, key);
  if (at == NULL) return false;
  *value = 0;
  for (at += strlen(key); *at == '\t' || *at == ' '; at++) continue;
  for (; *at != '\n' && *at != 0; at++) {
    unsigned digit = *at >= '0' && *at <= '9' ? (unsigned)(*at - '0') : *at >= 'a' && *at <= 'f' ? (unsigned)(*at - 'a') + 10 : 99;
    if (digit >= base) return false;
    *value = *value * base + digit;
  }
  return true;
}

/* The plan says what the manifest allows; the app may have less. */
static int take_limits_of_app(struct entry *e, uint64_t pid, struct report *r) {
  char path[64], text[8192];
  proc_path(path, sizeof path, pid, "/status");
  CLOSING int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (n < 0) return fail(r, errno, "read", path);
  text[n] = 0;
  uint64_t bounding, no_new_privileges, filtered;
  if (!status_number(text, "\nCapBnd:", 16, &bounding) || !status_number(text, "\nNoNewPrivs:", 10, &no_new_privileges))
    return fail_why(r, EINVAL, "read", path, "it lacks the app's limits");
  e->process.bounding &= bounding;
  if (no_new_privileges != 0) e->process.no_new_privileges = true;
  /* The pod was run with --insecure-options=seccomp: what enters it is as free as the app. Not with a filter that comes
   * right before execve: the app may be about to take it on. */
  if (e->process.filter_early && (!status_number(text, "\nSeccomp:", 10, &filtered) || filtered == 0))
    e->process.filter.n = 0;
  return 0;
}

/* Pids are reused: pin the process, then see that it is one of the pod's, then that it is still the pinned one. */
static int find_app(struct entry *e, struct report *r) {
  uint64_t pod = e->enter.f[ENTER_POD_PID].n, app = e->enter.f[ENTER_APP_PID].n;
  struct stat of_pod, of_app, of_us;
  e->pidfd = sys_pidfd_open((pid_t)app);
  if (e->pidfd < 0) return fail_why(r, errno, "enter the app", NULL, errno == ESRCH ? "it is not running" : NULL);
  if (!namespace_of(pod, &of_pod) || !namespace_of(app, &of_app) || stat("/proc/self/ns/pid", &of_us) < 0)
    return fail_why(r, errno, "enter the app", NULL, errno == ENOENT ? "it is not running" : NULL);
  if (of_pod.st_ino != of_app.st_ino || of_pod.st_dev != of_app.st_dev || of_app.st_ino == of_us.st_ino)
    return fail_why(r, ESRCH, "enter the app", NULL, "it is not running");
  if (take_limits_of_app(e, app, r) < 0) return -1;
  if (sys_pidfd_send_signal(e->pidfd, 0) < 0) return fail_why(r, errno, "enter the app", NULL, "it is not running");
  return 0;
}

static int read_plan(struct entry *e, const struct plan *plan, struct report *r) {
  struct cursor cursor = plan_start(plan);
  struct op op;
  while (plan_next(&cursor, &op)) {
    switch (op.code) {
      case OP_OPTIONS:
        e->options = op;
        break;
      case OP_ENTER:
        e->enter = op;
        break;
      case OP_ENVIRONMENT:
        e->process.environment = op.f[ENVIRONMENT_VARIABLES];
        break;
      case OP_BOUNDING:
        e->process.bounding = op.f[BOUNDING_CAPABILITIES].n;
        break;
      case OP_NO_NEW_PRIVILEGES:
        e->process.no_new_privileges = true;
        break;
      case OP_FILTER:
        process_set_filter(&e->process, &op);
        break;
      case OP_IDS:
        e->process.uid = (uint32_t)op.f[IDS_UID].n;
        e->process.gid = (uint32_t)op.f[IDS_GID].n;
        e->process.groups = op.f[IDS_GROUPS];
        break;
      case OP_WORKING_DIRECTORY:
        e->directory = op.f[WORKING_DIRECTORY_PATH].s;
        break;
      case OP_JOIN_CGROUPS:
        e->joins = op.f[JOIN_CGROUPS_DIRECTORIES];
        break;
      case OP_LABEL:
        e->process.label = op;
        break;
      case OP_EXECUTE:
        e->execute = op;
        break;
      default:
        break;
    }
  }
  if (e->enter.code != OP_ENTER || e->directory == NULL) return fail_why(r, EINVAL, "enter the app", NULL, "the plan is for a pod");
  e->terminal = (e->enter.f[ENTER_FLAGS].n & ENTER_IS_TERMINAL) != 0;
  return 0;
}

/* --- inside --------------------------------------------------------------------------------------------------- */

static _Noreturn void die(int channel, const struct report *r) {
  struct message m = {.type = MESSAGE_FAILED, .report = *r};
  send_message(channel, &m, -1);
  _exit(r->status);
}

/* From the app's devpts. What is at /dev/pts may be the app's work by now: only a devpts will do (CVE-2025-52565). */
static int make_terminal(struct entry *e, int *slave, struct report *r) {
  struct statfs fs;
  int unlock = 0;
  CLOSING int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
  if (master < 0 || fstatfs(master, &fs) < 0) return fail(r, errno, "open terminal at", "/dev/pts/ptmx");
  if (fs.f_type != DEVPTS_MAGIC) return fail_why(r, ENODEV, "open terminal at", "/dev/pts/ptmx", "it is not a terminal device");
  if (ioctl(master, TIOCSPTLCK, &unlock) < 0 || (*slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
    return fail(r, errno, "open terminal at", "/dev/pts/ptmx");
  /* Its size, before the program can ask for it. */
  if (e->sized) ioctl(master, TIOCSWINSZ, &e->size);
  struct message m = {.type = MESSAGE_TERMINAL};
  if (!send_message(e->channel, &m, master)) return fail(r, errno, "pass the terminal on", NULL);
  return 0;
}

static const char *variable(const struct field *environment, const char *name) {
  const char *at = environment->s;
  size_t n = strlen(name);
  for (uint64_t i = 0; i < environment->n; i++) {
    const char *text = plan_string(&at);
    if (strncmp(text, name, n) == 0 && text[n] == '=') return text + n + 1;
  }
  return NULL;
}

/* As execvp does, in the app's PATH. */
static int find_program(const struct process *p, const char *word, char *out, size_t size, struct report *r) {
  struct text t = {out, size, 0};
  out[0] = 0;
  if (strchr(word, '/') != NULL) {
    text_add(&t, word);
    return t.length == strlen(word) ? 0 : fail(r, ENAMETOOLONG, "execute", word);
  }
  const char *path = variable(&p->environment, "PATH");
  for (const char *at = path; at != NULL && *word != 0;) {
    size_t n = strcspn(at, ":");
    t.length = 0;
    if (n + strlen(word) + 2 < size) {
      memcpy(out, at, n);
      t.length = n;
      out[n] = 0;
      text_add(&t, n == 0 ? "./" : "/");
      text_add(&t, word);
      if (access(out, X_OK) == 0) return 0;
    }
    at = at[n] == ':' ? at + n + 1 : NULL;
  }
  fail_why(r, ENOENT, "execute", word, "it is not in the app's PATH");
  r->status = STATUS_EXEC;
  return -1;
}

static _Noreturn void program_main(struct entry *e) {
  struct report r = {.status = STATUS_FAILED};
  const struct field *argv = &e->execute.f[EXECUTE_ARGV];
  char program[4096];
  int slave = -1;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  /* Had it died before this call: its end of the channel is closed (getppid is 0 in another PID namespace). */
  struct pollfd parent = {e->channel, 0, 0};
  if (poll(&parent, 1, 0) != 0) _exit(STATUS_FAILED);
  if (e->terminal && make_terminal(e, &slave, &r) < 0) die(e->channel, &r);
  if (take_stdio(0, e->out, e->err, slave, &r) < 0) die(e->channel, &r);
  sys_close_range(4, ~0u);
  if (chdir(e->directory) < 0) {
    fail(&r, errno, "change to", e->directory);
    die(e->channel, &r);
  }
  umask(022);
  reset_signals();
  /* Identity and limits are the helper's already. */
  if (find_program(&e->process, e->execute.f[EXECUTE_PATH].s, program, sizeof program, &r) == 0)
    process_execute(&e->process, program, argv, &r);
  die(e->channel, &r);
}

/* The program's process can be seen in the pod from its first moment on, by an app with CAP_SYS_PTRACE with all that it
 * has open: nothing of the caller's is among that but what the program gets. The channel becomes 3. */
static int keep_what_is_needed(struct entry *e, struct report *r) {
  if (e->terminal) {
    e->sized = ioctl(STDIN_FILENO, TIOCGWINSZ, &e->size) == 0;
    sys_close_range(0, 2);
  } else if (dup2(e->out, 1) < 0 || dup2(e->err, 2) < 0) {
    return fail(r, errno, "pass on standard descriptors", NULL);
  }
  e->out = 1;
  e->err = 2;
  if (e->channel != 3 && dup3(e->channel, 3, O_CLOEXEC) < 0) return fail(r, errno, "close descriptors", NULL);
  e->channel = 3;
  sys_close_range(4, ~0u);
  return 0;
}

/* Between the worlds: in the pod's cgroup, not yet visible in it. */
static _Noreturn void helper_main(struct entry *e) {
  struct report r = {.status = STATUS_FAILED};
  const char *at = e->joins.s;
  if (process_take_limits((uint32_t)e->enter.f[ENTER_APP_PID].n, &r) < 0) die(e->channel, &r);
  /* Whose limits these were: the app's, unless it has ended meanwhile and the number is another's. */
  if (sys_pidfd_send_signal(e->pidfd, 0) < 0) {
    fail_why(&r, errno, "enter the app", NULL, "it is not running");
    die(e->channel, &r);
  }
  for (uint64_t i = 0; i < e->joins.n; i++)
    if (write_member(plan_string(&at), "0", &r) < 0) die(e->channel, &r);
  int user = (e->enter.f[ENTER_FLAGS].n & ENTER_IS_USER_NAMESPACE) != 0 ? CLONE_NEWUSER : 0;
  if (setns(e->pidfd, APP_NAMESPACES | user) < 0) {
    fail(&r, errno, "join the app's namespaces", NULL);
    die(e->channel, &r);
  }
  if (process_leave_keyring(&r) < 0 || process_restrict(&e->process, false, &r) < 0) die(e->channel, &r);
  if (keep_what_is_needed(e, &r) < 0) die(e->channel, &r);
  pid_t pid = sys_clone(CLONE_PARENT, -1);
  if (pid < 0) {
    fail(&r, errno, "start the program", NULL);
    die(e->channel, &r);
  }
  if (pid == 0) program_main(e);
  struct message m = {.type = MESSAGE_STARTED, .value = pid};
  send_message(e->channel, &m, -1);
  _exit(0);
}

/* --- outside -------------------------------------------------------------------------------------------------- */

struct watch {
  const char *command;
  int channel, signals;
  pid_t helper, program;
  bool failed, ended, abandoned;
  int status;
  struct sink sinks[2];
  struct stream streams[2];
  struct terminal terminal;
};

static void read_channel(struct watch *w) {
  struct message m = {0};
  int got;
  while ((got = receive_message(w->channel, &m, false)) == 1) {
    if (m.type == MESSAGE_STARTED) w->program = m.value;
    if (m.type == MESSAGE_TERMINAL) {
      w->streams[0].fd = fcntl(m.fd, F_DUPFD_CLOEXEC, 3);
      terminal_attach(&w->terminal, m.fd);
    }
    if (m.type == MESSAGE_FAILED) {
      terminal_restore(&w->terminal);
      print_report(w->command, NULL, &m.report);
      w->failed = true;
      w->status = m.report.status;
    }
  }
  if (got == 0) {
    close_fd(w->channel);
    w->channel = -1;
  }
}

/* Both are our children; the helper's end without a program is the end. */
static void reap(struct watch *w) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (w->channel >= 0) read_channel(w);
    if (pid == w->helper) {
      w->helper = 0;
      if (w->program == 0) w->ended = true;
      if (w->program == 0 && !w->failed) w->status = STATUS_FAILED;
    } else {
      w->ended = true;
      if (!w->failed) w->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
  }
}

static void read_signals(struct watch *w) {
  struct signalfd_siginfo info;
  while (read(w->signals, &info, sizeof info) == (ssize_t)sizeof info) {
    int signal = (int)info.ssi_signo;
    if (signal == SIGCHLD)
      reap(w);
    else if (signal == SIGWINCH)
      terminal_resize(&w->terminal);
    else if (w->ended)
      w->abandoned = true;
    else if (w->program > 0)
      kill(w->program, signal);
  }
}

/* What the program left in its pipes; a slow reader is waited for, until a signal says not to. */
static void drain(struct watch *w) {
  for (;;) {
    struct pollfd fds[3] = {{w->signals, POLLIN, 0}, {-1, POLLOUT, 0}, {-1, POLLOUT, 0}};
    bool busy = false;
    for (size_t i = 0; i < 2; i++) {
      while (stream_wants(&w->streams[i]) && stream_read(&w->streams[i])) continue;
      if (!sink_busy(&w->sinks[i])) continue;
      busy = true;
      fds[1 + i].fd = w->sinks[i].fd;
    }
    if (!busy || w->abandoned) return;
    poll(fds, 3, -1);
    if (fds[0].revents != 0) read_signals(w);
    for (size_t i = 0; i < 2; i++) sink_flush(&w->sinks[i]);
  }
}

static void watch(struct watch *w) {
  while (!w->ended) {
    bool typing = w->terminal.master >= 0;
    struct pollfd fds[8] = {
        {w->signals, POLLIN, 0},
        {w->channel, POLLIN, 0},
        {sink_busy(&w->sinks[0]) ? w->sinks[0].fd : -1, POLLOUT, 0},
        {stream_wants(&w->streams[0]) ? w->streams[0].fd : -1, POLLIN, 0},
        {typing && terminal_wants_input(&w->terminal) ? STDIN_FILENO : -1, POLLIN, 0},
        {typing && !terminal_wants_input(&w->terminal) ? w->terminal.master : -1, POLLOUT, 0},
        {sink_busy(&w->sinks[1]) ? w->sinks[1].fd : -1, POLLOUT, 0},
        {stream_wants(&w->streams[1]) ? w->streams[1].fd : -1, POLLIN, 0},
    };
    if (poll(fds, 8, -1) < 0) continue;
    if (fds[1].revents != 0) read_channel(w);
    if (fds[2].revents != 0) sink_flush(&w->sinks[0]);
    if (fds[6].revents != 0) sink_flush(&w->sinks[1]);
    if (fds[3].revents != 0) stream_read(&w->streams[0]);
    if (fds[7].revents != 0) stream_read(&w->streams[1]);
    if ((fds[4].revents != 0 || fds[5].revents != 0) && !terminal_type(&w->terminal)) {
      close_fd(w->terminal.master); /* the caller's terminal is gone: hang up */
      w->terminal.master = -1;
      if (w->program > 0) kill(w->program, SIGHUP);
    }
    if (fds[0].revents != 0) read_signals(w);
  }
  drain(w);
}

/* A program in the pod, or the app through /proc/PID/fd, could read what is typed at a terminal that it can open, long
 * after this command has ended. A caller's terminal is therefore never passed on: neither as stdin (then the program
 * gets a terminal of the pod) nor, here, as stdout or stderr. */
static int replace_terminal(struct watch *w, size_t i, int fd, int *theirs, struct report *r) {
  int pair[2];
  *theirs = fd;
  if (!isatty(fd)) return 0;
  if (pipe2(pair, O_CLOEXEC) < 0) return fail(r, errno, "make a pipe", NULL);
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  sink_open(&w->sinks[i], fd);
  w->streams[i].fd = pair[0];
  *theirs = pair[1];
  return 0;
}

int enter_app(const struct plan *plan) {
  struct entry e = {.pidfd = -1};
  struct report r = {.status = STATUS_FAILED};
  struct watch w = {.command = "enter", .streams = {{.fd = -1}, {.fd = -1}}, .terminal = {.master = -1}};
  int cgroup = -1;
  w.signals = take_signals();
  if (read_plan(&e, plan, &r) < 0 || find_app(&e, &r) < 0) goto failed;
  w.command = e.options.f[OPTIONS_COMMAND].s;
  const char *path = e.enter.f[ENTER_CGROUP].s;
  if (path[0] != 0) {
    /* The pod may run without the cgroup that was made for it: then it is gone or empty, and so are we. */
    cgroup = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (cgroup < 0 && errno != ENOENT) {
      fail(&r, errno, "open cgroup", path);
      goto failed;
    }
  }
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
    fail(&r, errno, "make a socket", NULL);
    goto failed;
  }
  w.channel = pair[0];
  e.channel = pair[1];
  for (size_t i = 0; i < 2; i++) w.streams[i].sink = &w.sinks[i];
  if (e.terminal) {
    sink_open(&w.sinks[0], STDOUT_FILENO);
  } else if (replace_terminal(&w, 0, STDOUT_FILENO, &e.out, &r) < 0 ||
             replace_terminal(&w, 1, STDERR_FILENO, &e.err, &r) < 0) {
    goto failed;
  }
  w.helper = sys_clone(0, cgroup);
  if (w.helper < 0) {
    fail(&r, errno, "join the pod's cgroup", path);
    goto failed;
  }
  if (w.helper == 0) {
    close_fd(pair[0]);
    close_fd(w.signals);
    close_fd(cgroup);
    helper_main(&e);
  }
  close_fd(pair[1]);
  close_fd(e.pidfd);
  close_fd(cgroup);
  if (e.out > 2) close_fd(e.out);
  if (e.err > 2) close_fd(e.err);
  /* What is left to do is to pass signals on: to a program of uid 0 like this process, or in a user namespace that
   * uid 0 made, without a capability (user_namespaces(7)). */
  uint64_t kept = e.process.uid == 0 || (e.enter.f[ENTER_FLAGS].n & ENTER_IS_USER_NAMESPACE) != 0 ? 0 : 1ull << CAP_KILL;
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (limit_capabilities(kept, kept) < 0) {
    fail(&r, errno, "give up capabilities", NULL);
    goto failed;
  }
  if (confine_supervisor(&r) < 0) goto failed;
  watch(&w);
  terminal_restore(&w.terminal);
  return w.status;
failed:
  print_report(w.command, NULL, &r);
  return STATUS_FAILED;
}
