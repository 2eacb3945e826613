/* SPDX-License-Identifier: Apache-2.0
 * See pod.h. PID 1 executes the pod's operations, forks one process per app, leaves the host's mounts, gives up its
 * power, and then only reaps and passes signals on. It decides nothing: the supervisor does. */
#include "pod.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"
#include "process.h"
#include "tree.h"
#include "util.h"

#define MS_REC_PRIVATE (16384u | 262144u) /* MS_REC | MS_PRIVATE */

/* Tells the other side and ends. What it was told to leave in the pod goes with PID 1. */
static _Noreturn void die(int socket, uint32_t app, const struct report *r, uint32_t op) {
  struct message m = {.type = MESSAGE_FAILED, .app = app, .report = *r};
  m.report.op = op;
  send_message(socket, &m, -1);
  _exit(r->status);
}

/* --- one app -------------------------------------------------------------------------------------------------- */

struct app {
  struct pod *pod;
  uint32_t index;
  const struct app_ends *ends;
  struct tree tree;
  struct process process;
  struct op post_stop; /* code 0: none */
  int stop;            /* the signal that asks the program to end */
  int gate;            /* see struct pod */
  unsigned sockets;    /* from FIRST_SOCKET on, until the program has them */
};

/* fchown so that the program may open /dev/stdout when it is not root: a pipe belongs to its maker. */
int take_stdio(int in, int out, int err, int slave, struct report *r) {
  if (setsid() < 0 && errno != EPERM) return fail(r, errno, "start a session", NULL);
  if (slave >= 0) {
    if (ioctl(slave, TIOCSCTTY, 0) < 0) return fail(r, errno, "take the terminal", NULL);
    in = out = err = slave;
  }
  /* The three may be each other's targets: lift them above 2 first. */
  int from[3] = {in, out, err};
  for (int i = 0; i < 3; i++) {
    from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
    if (from[i] < 0) return fail(r, errno, "pass on standard descriptors", NULL);
  }
  for (int i = 0; i < 3; i++)
    if (dup2(from[i], i) < 0) return fail(r, errno, "pass on standard descriptors", NULL);
  for (int i = 0; i < 3; i++) close_fd(from[i]);
  return 0;
}

/* The app's own, also where a volume covers /dev. One that a volume put in its place is not read, and does not make
 * us wait (a fifo). */
static int open_null(int dev) {
  struct stat st;
  int fd = sys_openat2(dev, "null", O_RDONLY | O_NONBLOCK, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (fd < 0 || (fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))) return fd;
  close_fd(fd);
  errno = ENODEV;
  return -1;
}

static int app_stdio(struct app *a, struct report *r) {
  CLOSING int null = -1;
  int in = STDIN_FILENO;
  if ((a->pod->flags & OPTION_IS_INTERACTIVE) == 0) {
    in = null = open_null(a->tree.dev);
    if (null < 0) return fail(r, errno, "open", "/dev/null");
  }
  return take_stdio(in, a->ends->out, a->ends->err, a->tree.slave, r);
}

/* Everything above the standard descriptors goes, except the channel and the gate. They become 3 and 4. */
static int keep_what_is_needed(struct app *a, struct app_ends *ends, struct report *r) {
  /* Each may be where the other goes. */
  int channel = fcntl(ends->channel, F_DUPFD_CLOEXEC, 5), gate = fcntl(a->gate, F_DUPFD_CLOEXEC, 5);
  if (channel < 0 || gate < 0 || dup3(channel, 3, O_CLOEXEC) < 0 || dup3(gate, 4, O_CLOEXEC) < 0)
    return fail(r, errno, "close descriptors", NULL);
  ends->channel = 3;
  a->gate = 4;
  sys_close_range(FIRST_SOCKET + a->sockets, ~0u);
  return 0;
}

/* The app's sockets move to the front of all. The numbers rise, so that none goes where one is that is still to move. */
static int take_sockets(struct app *a, const struct field *slots, struct report *r) {
  for (size_t i = 0; i < slots->n; i++) {
    unsigned slot = plan_number(slots, i);
    if (slot < i || slot >= a->pod->sockets) return fail_why(r, EBADF, "pass on a socket", NULL, "there is none");
    if (slot != i && dup3((int)(FIRST_SOCKET + slot), (int)(FIRST_SOCKET + i), O_CLOEXEC) < 0)
      return fail(r, errno, "pass on a socket", NULL);
  }
  a->sockets = (unsigned)slots->n;
  return 0;
}

/* From 3 on and open for the program; the channel makes room. Before a filter forbids it. */
static int hand_over_sockets(struct app *a, struct app_ends *ends, struct report *r) {
  if (a->sockets == 0) return 0;
  int channel = fcntl(ends->channel, F_DUPFD_CLOEXEC, FIRST_SOCKET + (int)a->sockets);
  if (channel < 0) return fail(r, errno, "pass on a socket", NULL);
  ends->channel = channel;
  for (unsigned i = 0; i < a->sockets; i++)
    if (dup2((int)(FIRST_SOCKET + i), (int)(3 + i)) < 0) return fail(r, errno, "pass on a socket", NULL);
  unsigned first = 3 + a->sockets < FIRST_SOCKET ? FIRST_SOCKET : 3 + a->sockets;
  sys_close_range(first, FIRST_SOCKET + a->sockets - 1);
  a->process.listens = true;
  return 0;
}

/* In a user namespace the supervisor did it, whose pipes they are. */
static int own_stdio(const struct app *a) {
  const struct process *p = &a->process;
  if (a->tree.slave >= 0) return fchown(0, p->uid, (gid_t)-1);
  if (a->pod->loans != NULL) return 0;
  return fchown(1, p->uid, p->gid) < 0 || fchown(2, p->uid, p->gid) < 0 ? -1 : 0;
}

static int change_directory(const char *path, struct report *r) {
  char where[4096];
  if (chdir(path) < 0) return fail(r, errno, "change to working directory", path);
  /* A way to a directory of the host through a leaked descriptor (CVE-2024-21626) shows as "(unreachable)". */
  if (syscall(SYS_getcwd, where, sizeof where) < 0 || where[0] != '/')
    return fail_why(r, EPERM, "change to working directory", path, "it is outside of the app's root");
  return 0;
}

static int set_oom_score(const struct app *a, const char *value, struct report *r) {
  /* The file belongs to the host's root, which root of a user namespace is not, unless the process can be looked at.
   * No program of the pod runs yet. */
  if (a->pod->loans != NULL) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  int result = write_proc("/proc/self/oom_score_adj", value, "set the OOM score to", r);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (result == 0) return 0;
  if (r->err == EACCES) remedy(r, "a higher os/linux/oom-score-adj: lowering it needs CAP_SYS_RESOURCE");
  return -1;
}

/* A cgroup namespace of its own: the app sees no path above its cgroup. */
static int join_cgroups(struct app *a, struct report *r) {
  struct message m = {.type = MESSAGE_JOIN, .app = a->index};
  if (!send_message(a->ends->channel, &m, -1) || receive_message(a->ends->channel, &m, true) != 1 ||
      m.type != MESSAGE_GO)
    return fail_why(r, ECANCELED, "start", NULL, "the cgroups of its limits could not be joined");
  if (unshare(CLONE_NEWCGROUP) < 0 && errno != EINVAL) return fail(r, errno, "make a cgroup namespace", NULL);
  return 0;
}

static int exit_status(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

static pid_t wait_for(pid_t pid, int *status) {
  pid_t got;
  do got = waitpid(pid, status, 0);
  while (got < 0 && errno == EINTR);
  return got;
}

/* A handler runs as root with the app's bounds, in the app's root and environment (rkt: PermissionsStartOnly). */
static int run_handler(struct app *a, const struct op *op, const char *what, struct report *r) {
  pid_t pid = sys_clone(0, -1);
  if (pid < 0) return fail(r, errno, "fork", NULL);
  if (pid == 0) {
    umask(022);
    reset_signals();
    if (process_restrict(&a->process, true, r) == 0)
      process_execute(&a->process, op->f[PRE_START_PATH].s, &op->f[PRE_START_ARGV], r);
    die(a->ends->channel, a->index, r, op->index);
  }
  int status = 0;
  wait_for(pid, &status);
  status = exit_status(status);
  if (status == 0) return 0;
  char why[64];
  struct text t = TEXT(why);
  text_add(&t, "it ended with status ");
  text_number(&t, (uint64_t)status);
  fail_why(r, ECHILD, what, op->f[PRE_START_PATH].s, why);
  r->status = status;
  return -1;
}

static _Noreturn void execute(struct app *a, const struct op *op, struct report *r) {
  struct app_ends ends = *a->ends;
  a->ends = &ends;
  if (hand_over_sockets(a, &ends, r) == 0 && process_restrict(&a->process, false, r) == 0) {
    struct message m = {.type = MESSAGE_STARTED, .app = a->index, .value = (int32_t)syscall(SYS_getpid)};
    send_message(a->ends->channel, &m, -1);
    umask(022);
    reset_signals();
    process_execute(&a->process, op->f[EXECUTE_PATH].s, &op->f[EXECUTE_ARGV], r);
  }
  die(a->ends->channel, a->index, r, op->index);
}

/* With a post-stop handler this process stays, keeps the root, and waits for the main one. TERM is passed on, as the
 * signal that the app wants. */
static _Noreturn void execute_and_stay(struct app *a, const struct op *op, struct report *r) {
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGCHLD);
  sigaddset(&awaited, SIGTERM);
  sigprocmask(SIG_BLOCK, &awaited, NULL);
  pid_t pid = sys_clone(0, -1);
  if (pid < 0) {
    fail(r, errno, "fork", NULL);
    die(a->ends->channel, a->index, r, op->index);
  }
  if (pid == 0) execute(a, op, r);
  sys_close_range(FIRST_SOCKET, FIRST_SOCKET + a->sockets - 1);
  int status = 0;
  for (;;) {
    siginfo_t info;
    if (waitpid(pid, &status, WNOHANG) == pid) break;
    if (sigwaitinfo(&awaited, &info) == SIGTERM) kill(pid, a->stop);
  }
  status = exit_status(status);
  /* The handler's own status changes nothing, as in rkt. */
  if (run_handler(a, &a->post_stop, "run the post-stop handler", r) < 0) {
    struct message m = {.type = MESSAGE_FAILED, .app = a->index, .report = *r};
    m.report.status = status;
    send_message(a->ends->channel, &m, -1);
  }
  _exit(status);
}

/* From here on programs of the pod run: neither this process nor PID 1 may then have more power than they, because
 * with CAP_SYS_PTRACE they could make it theirs. */
static int wait_until_ready(struct app *a, struct report *r) {
  char token;
  ssize_t n;
  if (process_limit(&a->process, r) < 0) return -1;
  do n = read(a->gate, &token, 1);
  while (n < 0 && errno == EINTR);
  if (n != 1) return fail_why(r, ECANCELED, "start", NULL, "the pod could not be set up");
  close_fd(a->gate);
  a->gate = -1;
  struct message m = {.type = MESSAGE_READY, .app = a->index, .value = (int32_t)syscall(SYS_getpid)};
  if (!send_message(a->ends->channel, &m, -1)) return fail(r, errno, "report to the supervisor", NULL);
  /* One app alone has nobody to wait for. */
  if (a->pod->count > 1 && (receive_message(a->ends->channel, &m, true) != 1 || m.type != MESSAGE_GO))
    return fail_why(r, ECANCELED, "start", NULL, "another app of the pod could not be set up");
  return 0;
}

static int send_terminal(struct app *a, int master, struct report *r) {
  struct message m = {.type = MESSAGE_TERMINAL, .app = a->index};
  bool sent = send_message(a->ends->channel, &m, master);
  int err = errno;
  close_fd(master);
  return sent ? 0 : fail(r, err, "pass the terminal to the supervisor", NULL);
}

static int app_apply(struct app *a, const struct op *op, struct report *r) {
  struct process *p = &a->process;
  int master = -1;
  switch (op->code) {
    case OP_OOM_SCORE_ADJ:
      return set_oom_score(a, op->f[OOM_SCORE_ADJ_VALUE].s, r);
    case OP_ENVIRONMENT:
      p->environment = op->f[ENVIRONMENT_VARIABLES];
      return 0;
    case OP_BOUNDING:
      p->bounding = op->f[BOUNDING_CAPABILITIES].n;
      return 0;
    case OP_NO_NEW_PRIVILEGES:
      p->no_new_privileges = true;
      return 0;
    case OP_FILTER:
      process_set_filter(p, op);
      return 0;
    case OP_IDS:
      p->uid = (uint32_t)op->f[IDS_UID].n;
      p->gid = (uint32_t)op->f[IDS_GID].n;
      p->groups = op->f[IDS_GROUPS];
      return own_stdio(a) < 0 ? fail(r, errno, "give the app its standard descriptors", NULL) : 0;
    case OP_WORKING_DIRECTORY:
      return change_directory(op->f[WORKING_DIRECTORY_PATH].s, r);
    case OP_LABEL:
      p->label = *op;
      return 0;
    case OP_JOIN_CGROUPS:
      return join_cgroups(a, r);
    case OP_LISTEN:
      return take_sockets(a, &op->f[LISTEN_SLOTS], r);
    case OP_READY:
      return wait_until_ready(a, r);
    case OP_PRE_START:
      return run_handler(a, op, "run the pre-start handler", r);
    case OP_POST_STOP:
      a->post_stop = *op;
      return 0;
    case OP_STOP_SIGNAL:
      a->stop = (int)op->f[STOP_SIGNAL_SIGNAL].n;
      return 0;
    default:
      if (tree_apply(&a->tree, op, &master, r) < 0) return -1;
      return master < 0 ? 0 : send_terminal(a, master, r);
  }
}

/* From the fork to execve. `cursor` stands behind `app`. */
static _Noreturn void app_main(struct pod *pod, uint32_t index, struct cursor cursor) {
  struct app_ends ends = pod->apps[index];
  struct app a = {.pod = pod, .index = index, .ends = &ends, .tree = TREE_NONE, .stop = SIGTERM, .gate = pod->gate[0]};
  struct report r = {.status = STATUS_FAILED};
  struct op op;
  a.tree.loans = pod->loans;
  /* Not even for the moment of its set-up may a process of the pod look into this one (ptrace(2), proc(5)). */
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  umask(0);
  a.tree.volumes = pod->volumes;
  close_fd(pod->gate[1]);
  if (process_leave_keyring(&r) < 0) die(ends.channel, index, &r, 0);
  while (plan_next(&cursor, &op)) {
    if (op.code == OP_EXECUTE) {
      if (a.post_stop.code != 0) execute_and_stay(&a, &op, &r);
      execute(&a, &op, &r);
    }
    int result = app_apply(&a, &op, &r);
    if (result == 0 && op.code == OP_PIVOT) {
      result = app_stdio(&a, &r);
      /* The terminal is now 0, 1 and 2; its descriptor itself goes with the others. */
      if (result == 0) result = keep_what_is_needed(&a, &ends, &r);
    }
    if (result < 0) die(ends.channel, index, &r, op.index);
  }
  _exit(STATUS_FAILED);
}

/* --- the pod -------------------------------------------------------------------------------------------------- */

static int bring_loopback_up(struct report *r) {
  CLOSING int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_flags = IFF_UP};
  memcpy(request.ifr_name, "lo", 3);
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0) return fail(r, errno, "bring up interface", "lo");
  return 0;
}

/* Through the host's /proc: what is below /proc/sys follows the namespaces of the process that asks. */
static int set_sysctl(const struct op *op, struct report *r) {
  char path[4096];
  struct text t = TEXT(path);
  text_add(&t, "/proc/sys/");
  text_add(&t, op->f[SYSCTL_PATH].s);
  if (write_proc(path, op->f[SYSCTL_VALUE].s, "set sysctl", r) == 0) return 0;
  return fail(r, r->err, "set sysctl", op->f[SYSCTL_PATH].s);
}

static int retire(const char *path, struct report *r) {
  CLOSING int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fail(r, errno, "open", path);
  return pivot_into(fd, path, r);
}

/* Takes the cursor behind the app's operations. A process that stays for a post-stop handler gets TERM in any case. */
static int stop_signal(struct cursor *cursor) {
  int signal = SIGTERM;
  struct op op;
  while (plan_next(cursor, &op) && op.code != OP_END) {
    if (op.code == OP_STOP_SIGNAL) signal = (int)op.f[STOP_SIGNAL_SIGNAL].n;
    if (op.code == OP_POST_STOP) signal = SIGTERM;
  }
  return signal;
}

static int start_app(struct pod *pod, uint32_t index, struct cursor *cursor, struct report *r) {
  struct app_ends *ends = &pod->apps[index];
  ends->pid = sys_clone(CLONE_NEWNS, -1);
  if (ends->pid < 0) return fail(r, errno, "start the process of an app", NULL);
  if (ends->pid == 0) app_main(pod, index, *cursor);
  close_fd(ends->channel);
  close_fd(ends->out);
  close_fd(ends->err);
  ends->stop = stop_signal(cursor);
  return 0;
}

static int pod_apply(struct pod *pod, const struct op *op, struct cursor *cursor, uint32_t *started, struct report *r) {
  switch (op->code) {
    case OP_HOSTNAME:
      if (sethostname(op->f[HOSTNAME_NAME].s, op->f[HOSTNAME_NAME].n) < 0)
        return fail(r, errno, "set the host name to", op->f[HOSTNAME_NAME].s);
      return 0;
    case OP_LOOPBACK:
      return bring_loopback_up(r);
    case OP_SYSCTL:
      return set_sysctl(op, r);
    case OP_MOUNT:
      return mount_new(AT_FDCWD, op, r);
    case OP_SCRATCH:
      return tree_scratch(op, r);
    case OP_RETIRE:
      return retire(op->f[RETIRE_PATH].s, r);
    default:
      return start_app(pod, (*started)++, cursor, r);
  }
}

/* The rest of PID 1's life needs only to signal processes of other users. */
static int give_up_power(struct report *r) {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  /* The caller's standard descriptors are the supervisor's business. */
  sys_close_range(0, 2);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || limit_capabilities(1ull << CAP_KILL, 1ull << CAP_KILL) < 0)
    return fail(r, errno, "give up capabilities", NULL);
  return confine_pod(r);
}

static void open_gate(struct pod *pod) {
  close_fd(pod->gate[0]);
  for (size_t i = 0; i < pod->count; i++) write_all(pod->gate[1], "", 1);
  close_fd(pod->gate[1]);
}

static void pass_signal(const struct pod *pod, int signal) {
  if (signal == SIGKILL) {
    kill(-1, SIGKILL);
    return;
  }
  for (size_t i = 0; i < pod->count; i++)
    if (pod->apps[i].pid > 0) kill(pod->apps[i].pid, signal == SIGTERM ? pod->apps[i].stop : signal);
}

/* Reaps everything that is there, reports the apps among it; returns how many of them still run. */
static size_t reap(struct pod *pod, size_t running) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
    for (size_t i = 0; i < pod->count; i++) {
      if (pod->apps[i].pid != pid) continue;
      pod->apps[i].pid = 0;
      running--;
      struct message m = {.type = MESSAGE_EXITED, .app = (uint32_t)i, .value = exit_status(status)};
      send_message(pod->control, &m, -1);
    }
  }
  return running;
}

/* Until no app runs, or the supervisor is gone. PID 1's end kills whatever is left (pid_namespaces(7)). */
static _Noreturn void serve(struct pod *pod) {
  size_t running = pod->count;
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  int signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  struct pollfd fds[2] = {{pod->control, POLLIN, 0}, {signals, POLLIN, 0}};
  while ((running = reap(pod, running)) > 0) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR) break;
    if (fds[1].revents != 0) {
      struct signalfd_siginfo info;
      ssize_t n = read(signals, &info, sizeof info);
      (void)n; /* reap() finds out what happened */
    }
    if (fds[0].revents != 0) {
      struct message m;
      int got = receive_message(pod->control, &m, false);
      if (got == 0) break;
      if (got == 1 && m.type == MESSAGE_SIGNAL) pass_signal(pod, m.value);
    }
  }
  _exit(0);
}

/* Until its map is written this process is nobody. */
static int enter_user_namespace(struct pod *pod, struct report *r) {
  struct message m = {0};
  if (receive_message(pod->control, &m, true) != 1 || m.type != MESSAGE_GO) _exit(STATUS_FAILED);
  return userns_become_root(r);
}

_Noreturn void pod_main(struct pod *pod) {
  struct report r = {.status = STATUS_FAILED};
  struct cursor cursor = pod->start;
  struct op op;
  uint32_t started = 0;
  /* The supervisor's death ends the pod: by this signal, or, had it died before this call, by the end of the
   * control socket in serve(). */
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  prctl(PR_SET_NAME, "rkt-pod", 0, 0, 0);
  setsid();
  if (pod->loans != NULL && enter_user_namespace(pod, &r) < 0) die(pod->control, 0, &r, 0);
  /* Here and not in clone3: the namespace's root is the cgroup that its maker is in, and only now we are in ours. */
  if (unshare(CLONE_NEWCGROUP) < 0 && errno != EINVAL) {
    fail(&r, errno, "make a cgroup namespace", NULL);
    die(pod->control, 0, &r, 0);
  }
  if (syscall(SYS_mount, NULL, "/", NULL, MS_REC_PRIVATE, NULL) < 0) {
    fail(&r, errno, "make mounts private below", "/");
    die(pod->control, 0, &r, 0);
  }
  if (pipe2(pod->gate, O_CLOEXEC) < 0) {
    fail(&r, errno, "make a pipe", NULL);
    die(pod->control, 0, &r, 0);
  }
  while (plan_next(&cursor, &op))
    if (pod_apply(pod, &op, &cursor, &started, &r) < 0) die(pod->control, 0, &r, op.index);
  volumes_close(pod->volumes);
  if (pod->loans != NULL) loans_close(pod->loans);
  sys_close_range(FIRST_SOCKET, FIRST_SOCKET + pod->sockets - 1);
  if (give_up_power(&r) < 0) die(pod->control, 0, &r, 0);
  open_gate(pod);
  serve(pod);
}
