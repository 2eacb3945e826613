/* SPDX-License-Identifier: Apache-2.0
 * See supervise.h. Order of a pod's life here: pipes and sockets, clone of PID 1, loss of power, one event loop
 * (signals, messages, output, terminal), the end. The decisions about statuses are all in this file. */
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"
#include "devices.h"
#include "pod.h"
#include "process.h"
#include "relay.h"
#include "report.h"
#include "terminal.h"
#include "userns.h"
#include "util.h"
#include "volume.h"

#define KILL_PATIENCE_MS 2000 /* from "kill all" to killing PID 1 itself */
#define IDLE_MS 1000          /* then buffers are given back */
#define CALM_READS 16         /* of one stream in a row, before signals are looked at again */

struct supervised {
  const char *name;
  int channel; /* -1: the program runs, or never will */
  bool ready, started, ended, failed;
  struct stream out, err;
  struct log log;
};

struct supervisor {
  const struct plan *plan;
  const char *command;
  struct op options, userns; /* userns.code 0: no user namespace */
  struct loans loans;
  struct op cgroup; /* code 0: none */
  struct op devices; /* code 0: none */
  int lock, users, control, signals; /* users: the user namespace that is there already, or -1 */
  int status_dir, pids_dir, rkt_dir, log_dir;
  pid_t pod; /* PID 1, host's number; 0: reaped */
  unsigned sockets; /* for apps, from FIRST_SOCKET on */
  size_t count;
  struct supervised *apps;
  struct app_ends *ends;
  struct pollfd *fds;
  struct volumes volumes;
  struct sink sinks[2];
  struct terminal terminal;
  int status;       /* of the pod, once something failed */
  bool failed;      /* status counts */
  bool announced;   /* supervisor-status exists */
  bool going;       /* the apps were told to go */
  int stopping;     /* 0, SIGTERM or SIGKILL: what was sent last */
  uint64_t deadline; /* of what was sent last */
  bool asked;       /* the first signal to stop came: wait for slow readers only as long as they read */
  bool abandoned;   /* a second one came: do not wait for them at all */
};

void print_report(const char *command, const char *app, const struct report *r) {
  if (app != NULL)
    say(command, ": app \"", app, "\": ", r->text, NULL);
  else
    say(command, ": ", r->text, NULL);
  if (r->remedy[0] != 0) say("  try: ", r->remedy, NULL);
}

static void *zeroed(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

int take_signals(void) {
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  sigset_t set;
  reset_signals();
  sigaction(SIGPIPE, &ignore, NULL);
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGQUIT);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGWINCH);
  sigprocmask(SIG_BLOCK, &set, NULL);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* --- preparation -------------------------------------------------------------------------------------------------- */

static int make_directory(const struct op *op, struct report *r) {
  const char *path = op->f[DIRECTORY_PATH].s;
  mode_t mode = (mode_t)op->f[DIRECTORY_MODE].n;
  bool made = mkdir(path, mode) == 0;
  if (!made && errno != EEXIST) return fail(r, errno, "make directory", path);
  if (!made && (op->f[DIRECTORY_FLAGS].n & DIRECTORY_IS_ENFORCE) == 0) return 0;
  /* By descriptor, and chmod after chown: chown clears set-id bits. */
  CLOSING int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fchown(fd, (uid_t)op->f[DIRECTORY_UID].n, (gid_t)op->f[DIRECTORY_GID].n) < 0 || fchmod(fd, mode) < 0)
    return fail(r, errno, "set owner and mode of", path);
  return 0;
}

static int open_directory(const char *path, struct report *r) {
  int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) fail(r, errno, "open", path);
  return fd;
}

/* Packets with their sender's pid (unix(7)): PID 1 and the apps know only their pids inside the pod. */
static int make_channel(int *ours, int *theirs) {
  int pair[2], on = 1;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return -1;
  setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  *ours = pair[0];
  *theirs = pair[1];
  return 0;
}

static int make_pipe(struct stream *s, int *theirs) {
  int pair[2];
  if (pipe2(pair, O_CLOEXEC) < 0) return -1;
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  fcntl(pair[0], F_SETPIPE_SZ, RELAY_CHUNK); /* a wish: the user's limit may forbid it */
  s->fd = pair[0];
  *theirs = pair[1];
  return 0;
}

static int prepare_app(struct supervisor *s, size_t i, const char *name, struct report *r) {
  uint64_t flags = s->options.f[OPTIONS_FLAGS].n;
  struct supervised *a = &s->apps[i];
  struct app_ends *e = &s->ends[i];
  a->name = name;
  log_open(&a->log, s->log_dir, name, s->options.f[OPTIONS_LOG_MAX_BYTES].n);
  struct stream stream = {.fd = -1, .log = &a->log, .app = (flags & OPTION_IS_LOG_PREFIX) != 0 ? name : NULL};
  a->out = a->err = stream;
  a->out.sink = &s->sinks[0];
  a->out.log_tag = "stdout";
  a->err.sink = &s->sinks[1];
  a->err.log_tag = "stderr";
  e->out = e->err = -1;
  if (make_channel(&a->channel, &e->channel) < 0) return fail(r, errno, "make a socket", NULL);
  if ((flags & OPTION_IS_TERMINAL) != 0) return 0;
  if (make_pipe(&a->out, &e->out) < 0 || make_pipe(&a->err, &e->err) < 0) return fail(r, errno, "make a pipe", NULL);
  return 0;
}

static int make_room_for_volumes(struct volumes *v, struct cursor cursor, struct report *r) {
  struct op op;
  while (plan_find(&cursor, OP_COPY_VOLUME, &op)) v->maximum++;
  if (v->maximum == 0) return 0;
  v->copies = zeroed(v->maximum * sizeof *v->copies);
  return v->copies == NULL ? fail(r, ENOMEM, "set up the supervisor", NULL) : 0;
}

static int prepare_apply(struct supervisor *s, const struct op *op, struct cursor cursor, struct report *r) {
  switch (op->code) {
    case OP_OPTIONS:
      s->options = *op;
      s->volumes.command = op->f[OPTIONS_COMMAND].s;
      return 0;
    case OP_CGROUP:
      s->cgroup = *op;
      return 0;
    case OP_DEVICES:
      s->devices = *op;
      return 0;
    case OP_USER_NAMESPACE:
      s->userns = *op;
      s->volumes.users = userns_twin(op, r);
      return s->volumes.users < 0 ? -1 : 0;
    case OP_DIRECTORY:
      return make_directory(op, r);
    case OP_VOLUME:
      if (s->volumes.copies == NULL && make_room_for_volumes(&s->volumes, cursor, r) < 0) return -1;
      return volume_open(&s->volumes, op, r);
    case OP_COPY_VOLUME:
      return volume_copy(&s->volumes, op, r);
    default:
      return 0;
  }
}

/* An app may open its own pipes again by name; only here somebody has power over them. */
static int own_pipes(const struct supervisor *s, struct cursor cursor, struct report *r) {
  struct op op;
  size_t app = 0;
  while (plan_next(&cursor, &op)) {
    if (op.code == OP_END) app++;
    if (op.code != OP_IDS || app >= s->count || s->ends[app].out < 0) continue;
    uid_t uid = (uid_t)(s->userns.f[USER_NAMESPACE_FIRST].n + op.f[IDS_UID].n);
    gid_t gid = (gid_t)(s->userns.f[USER_NAMESPACE_FIRST].n + op.f[IDS_GID].n);
    if (fchown(s->ends[app].out, uid, gid) < 0 || fchown(s->ends[app].err, uid, gid) < 0)
      return fail(r, errno, "give the app its standard descriptors", NULL);
  }
  return 0;
}

static int prepare_userns(struct supervisor *s, const struct plan *plan, struct cursor pod_start, struct report *r) {
  s->loans.list = zeroed((loans_needed(plan) + 1) * sizeof *s->loans.list);
  if (s->loans.list == NULL) return fail(r, ENOMEM, "set up the supervisor", NULL);
  if (own_pipes(s, pod_start, r) < 0) return -1;
  int result = loans_make(&s->loans, plan, s->volumes.users, r);
  close_fd(s->volumes.users);
  s->volumes.users = -1;
  return result;
}

static int prepare(struct supervisor *s, const struct plan *plan, struct cursor *pod_start, struct report *r) {
  struct cursor cursor = plan_start(plan);
  struct op op;
  umask(0);
  while (plan_next(&cursor, &op) && op.code != OP_POD) {
    if (prepare_apply(s, &op, cursor, r) < 0) {
      r->op = op.index;
      return -1;
    }
  }
  *pod_start = cursor;
  s->command = s->options.f[OPTIONS_COMMAND].s;
  s->count = (size_t)s->options.f[OPTIONS_APPS].n;
  s->apps = zeroed((s->count + 1) * sizeof *s->apps);
  s->ends = zeroed((s->count + 1) * sizeof *s->ends);
  s->fds = zeroed((s->count * 3 + 6) * sizeof *s->fds);
  if (s->apps == NULL || s->ends == NULL || s->fds == NULL) return fail(r, ENOMEM, "set up the supervisor", NULL);
  if ((s->rkt_dir = open_directory("stage1/rootfs/rkt", r)) < 0 ||
      (s->status_dir = open_directory("stage1/rootfs/rkt/status", r)) < 0 ||
      (s->pids_dir = open_directory("stage1/rootfs/rkt/pids", r)) < 0 || (s->log_dir = open_directory("logs", r)) < 0)
    return -1;
  sink_open(&s->sinks[0], STDOUT_FILENO);
  sink_open(&s->sinks[1], STDERR_FILENO);
  for (size_t i = 0; plan_find(&cursor, OP_APP, &op); i++)
    if (prepare_app(s, i, op.f[APP_NAME].s, r) < 0) return -1;
  return s->userns.code == 0 ? 0 : prepare_userns(s, plan, *pod_start, r);
}

static int write_number(int dir, const char *name, uint64_t n) {
  char text[24];
  struct text t = TEXT(text);
  text_number(&t, n);
  text_add(&t, "\n");
  return write_file(dir, name, text);
}

/* The lock is a way to the host's directories: a program with CAP_SYS_PTRACE sees what PID 1 has open. */
static void close_our_ends(struct supervisor *s) {
  close_fd(s->lock);
  close_fd(s->users);
  close_fd(s->control);
  close_fd(s->signals);
  close_fd(s->status_dir);
  close_fd(s->pids_dir);
  close_fd(s->rkt_dir);
  close_fd(s->log_dir);
  for (size_t i = 0; i < 2; i++)
    if (s->sinks[i].fd > 2) close_fd(s->sinks[i].fd);
  for (size_t i = 0; i < s->count; i++) {
    close_fd(s->apps[i].channel);
    close_fd(s->apps[i].out.fd);
    close_fd(s->apps[i].err.fd);
  }
}

static void close_their_ends(struct supervisor *s) {
  for (size_t i = 0; i < s->count; i++) {
    close_fd(s->ends[i].channel);
    close_fd(s->ends[i].out);
    close_fd(s->ends[i].err);
  }
}

/* Where the kernel refuses the program, every mount of the pod is nodev all the same. That does not hold a program
 * that may mount, nor does it make a device read-only, nor does it come with what the host mounts in a volume later:
 * then nothing comes. */
static int lose_devices(struct supervisor *s, struct report *r) {
  if ((s->devices.f[DEVICES_FLAGS].n & DEVICES_IS_FOR_VOLUMES) == 0)
    say(s->command, ": warning: ", r->text, ": an app that may mount can open any device", NULL);
  s->devices.code = 0;
  *r = (struct report){.status = r->status};
  return volumes_part(&s->volumes, r);
}

static bool needs_devices(const struct supervisor *s) {
  return s->devices.code != 0 && (s->devices.f[DEVICES_FLAGS].n & DEVICES_IS_REQUIRED) != 0;
}

static int restrict_devices(struct supervisor *s, int cgroup, struct report *r) {
  if (s->devices.code == 0 || devices_restrict(cgroup, &s->devices, r) == 0) return 0;
  return needs_devices(s) ? -1 : lose_devices(s, r);
}

static int open_cgroup(const struct supervisor *s, size_t field) {
  const char *path = s->cgroup.code == 0 ? "" : s->cgroup.f[field].s;
  return path[0] == 0 ? -1 : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static pid_t clone_init(const struct supervisor *s, uint64_t flags, int cgroup) {
  return s->users < 0 ? sys_clone(flags, cgroup) : userns_clone(s->users, flags, cgroup);
}

static int clone_pod(struct supervisor *s, const struct plan *plan, struct cursor start, struct report *r) {
  struct pod pod = {.plan = plan, .start = start, .apps = s->ends, .volumes = &s->volumes, .count = s->count};
  pod.sockets = s->sockets;
  pod.flags = (uint32_t)s->options.f[OPTIONS_FLAGS].n;
  uint64_t flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
  if ((pod.flags & OPTION_IS_NEW_NETWORK) != 0) flags |= CLONE_NEWNET;
  if (s->userns.code != 0) {
    if (s->users < 0) flags |= CLONE_NEWUSER;
    pod.loans = &s->loans;
  }
  if (make_channel(&s->control, &pod.control) < 0) return fail(r, errno, "make a socket", NULL);
  CLOSING int cgroup = open_cgroup(s, CGROUP_PATH), init = open_cgroup(s, CGROUP_INIT);
  if (restrict_devices(s, cgroup, r) < 0) return -1;
  s->pod = clone_init(s, flags, init < 0 ? cgroup : init);
  /* A cgroup that takes no processes costs tracking, not the pod, unless it keeps devices from it. */
  if (s->pod < 0 && cgroup >= 0 && !needs_devices(s)) {
    if (s->devices.code != 0) {
      fail(r, errno, "restrict devices", NULL);
      if (lose_devices(s, r) < 0) return -1;
    }
    s->pod = clone_init(s, flags, -1);
  }
  if (s->pod < 0) {
    fail(r, errno, "make namespaces", NULL);
    if (r->err == EPERM) remedy(r, "run as root with CAP_SYS_ADMIN, outside of a container that forbids namespaces");
    if (r->err == ENOSPC) remedy(r, "raise the limits in /proc/sys/user/max_*_namespaces");
    if (s->userns.code != 0) userns_remedy(r);
    return -1;
  }
  if (s->pod == 0) {
    close_fd(cgroup);
    close_fd(init);
    close_our_ends(s);
    pod_main(&pod);
  }
  close_fd(pod.control);
  close_their_ends(s);
  sys_close_range(FIRST_SOCKET, FIRST_SOCKET + s->sockets - 1); /* nobody listens when no app does */
  volumes_close(&s->volumes);
  if (s->userns.code != 0) {
    loans_close(&s->loans);
    struct message m = {.type = MESSAGE_GO};
    if (s->users < 0 && userns_map(s->pod, &s->userns, r) < 0) return -1;
    close_fd(s->users);
    send_message(s->control, &m, -1);
  }
  int err = write_number(AT_FDCWD, "pid", (uint64_t)s->pod);
  if (err != 0) return fail(r, err, "write", "pid");
  return 0;
}

/* What is left to do needs no capability (the files belong to uid 0, and so does PID 1) until the cgroups are removed:
 * the root of a hierarchy is mode 0555. */
#define AT_THE_END (1ull << CAP_DAC_OVERRIDE)

static int give_up_power(const struct supervisor *s, struct report *r) {
  uint64_t kept = s->cgroup.code != 0 ? AT_THE_END : 0;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || limit_capabilities(kept, 0) < 0)
    return fail(r, errno, "give up capabilities", NULL);
  return confine_supervisor(r);
}

/* --- cgroups of limits ---------------------------------------------------------------------------------------------- */

/* An operation of app number `index`; false when it has none of this kind. */
static bool find_in_app(const struct supervisor *s, size_t index, uint32_t code, struct op *op) {
  struct cursor cursor = plan_start(s->plan);
  for (size_t i = 0; i <= index; i++)
    if (!plan_find(&cursor, OP_APP, op)) return false;
  while (plan_next(&cursor, op) && op->code != OP_END)
    if (op->code == code) return true;
  return false;
}

/* The operation by which an app joins the cgroups of its limits. */
static bool find_cgroups(const struct supervisor *s, size_t index, struct op *op) {
  return find_in_app(s, index, OP_JOIN_CGROUPS, op);
}

/* `pid` is the host's. From here and not by the app itself: it may have no power over them (user namespaces). */
static int join_cgroups(const struct supervisor *s, size_t index, pid_t pid, struct report *r) {
  struct op op;
  char number[24];
  struct text t = TEXT(number);
  text_number(&t, (uint64_t)pid);
  if (!find_cgroups(s, index, &op)) return fail_why(r, EINVAL, "join cgroups", NULL, "the plan has none for this app");
  const char *at = op.f[JOIN_CGROUPS_DIRECTORIES].s;
  for (uint64_t i = 0; i < op.f[JOIN_CGROUPS_DIRECTORIES].n; i++)
    if (write_member(plan_string(&at), number, r) < 0) return -1;
  return 0;
}

/* How many processes the kernel killed in the app's cgroup for want of memory: `oom_kill N`. */
static uint64_t count_oom_kills(const char *path) {
  char text[2048];
  uint64_t count = 0;
  CLOSING int fd = path[0] == 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (n <= 0) return 0;
  text[n] = 0;
  const char *at = strncmp(text, "oom_kill ", 9) == 0 ? text : strstr(text, "\noom_kill ");
  if (at == NULL) return 0;
  for (at += at[0] == '\n' ? 10 : 9; *at >= '0' && *at <= '9'; at++) count = count * 10 + (uint64_t)(*at - '0');
  return count;
}

static void report_oom(const struct supervisor *s, size_t index, int status) {
  struct op op;
  if (!find_cgroups(s, index, &op)) return;
  uint64_t kills = count_oom_kills(op.f[JOIN_CGROUPS_OOM_FILE].s);
  if (kills == 0) return;
  const char *name = s->apps[index].name, *limit = op.f[JOIN_CGROUPS_MEMORY_LIMIT].s;
  char number[24];
  struct text t = TEXT(number);
  text_number(&t, kills);
  CLOSING int dir = openat(s->rkt_dir, "oom-kills", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (dir >= 0) write_number(dir, name, kills);
  if (status == 128 + SIGKILL)
    say(s->command, ": app \"", name, "\" was killed: it ran out of memory", limit[0] != 0 ? ", its limit is " : "", limit, NULL);
  else
    say(s->command, ": app \"", name, "\" ran out of memory", limit[0] != 0 ? ", its limit is " : "", limit,
        ": processes killed: ", number, NULL);
}

/* Without it a filter that kills looks like a program that crashes. */
static void report_filter(const struct supervisor *s, size_t index, int status) {
  struct op op;
  if (status != 128 + SIGSYS || !find_in_app(s, index, OP_FILTER, &op)) return;
  say(s->command, ": app \"", s->apps[index].name, "\" was killed (SIGSYS): it made a system call that its filter denies", NULL);
  say("  try: errno=EPERM in its seccomp filter; the kernel's log has the call's number", NULL);
}

static void lift(int dir, const char *file, const char *text) {
  CLOSING int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);
  if (fd >= 0) write_all(fd, text, strlen(text));
}

/* What is to die needs the CPU for it. A group that reclaimed memory may owe its bandwidth for minutes. */
static void lift_cpu_limits(const struct supervisor *s) {
  if (s->cgroup.code == 0) return;
  const char *at = s->cgroup.f[CGROUP_DIRECTORIES].s;
  for (uint64_t i = 0; i < s->cgroup.f[CGROUP_DIRECTORIES].n; i++) {
    CLOSING int dir = open(plan_string(&at), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) continue;
    lift(dir, "cpu.cfs_quota_us", "-1");
    lift(dir, "cpu.max", "max");
  }
}

/* --- decisions ------------------------------------------------------------------------------------------------------ */

static void order_stop(struct supervisor *s, int signal) {
  if (s->stopping == SIGKILL || s->stopping == signal || s->pod == 0) return;
  struct message m = {.type = MESSAGE_SIGNAL, .value = signal};
  s->stopping = signal;
  if (signal == SIGKILL) lift_cpu_limits(s);
  s->deadline = now_ms() + (signal == SIGKILL ? KILL_PATIENCE_MS : s->options.f[OPTIONS_GRACE_MS].n);
  if (!send_message(s->control, &m, -1)) kill(s->pod, SIGKILL);
}

static void pod_failed(struct supervisor *s, int status) {
  if (!s->failed) s->status = status;
  s->failed = true;
}

/* The set-up failed before any program of the pod ran: nothing deserves a grace period. */
static void give_up(struct supervisor *s) {
  pod_failed(s, STATUS_FAILED);
  if (s->pod != 0) kill(s->pod, SIGKILL);
}

static void app_ended(struct supervisor *s, struct supervised *a, int status) {
  if (a->ended) return;
  a->ended = true;
  int err = write_number(s->status_dir, a->name, (uint64_t)status);
  if (err != 0) say(s->command, ": cannot write the status of app \"", a->name, "\": ", strerror(err), NULL);
  report_oom(s, (size_t)(a - s->apps), status);
  report_filter(s, (size_t)(a - s->apps), status);
  bool all = true;
  for (size_t i = 0; i < s->count; i++) all = all && s->apps[i].ended;
  if (all) lift_cpu_limits(s); /* the end of PID 1 kills what they left */
  if (status == 0) return;
  pod_failed(s, status);
  order_stop(s, SIGTERM);
}

static void deadline_passed(struct supervisor *s) {
  if (s->stopping == SIGKILL)
    kill(s->pod, SIGKILL);
  else
    order_stop(s, SIGKILL);
}

static void announce_if_ready(struct supervisor *s) {
  if (s->announced) return;
  for (size_t i = 0; i < s->count; i++)
    if (!s->apps[i].started || s->apps[i].channel >= 0 || s->apps[i].failed) return;
  s->announced = true;
  symlinkat("ready", s->rkt_dir, "supervisor-status");
}

static void let_go_if_ready(struct supervisor *s) {
  if (s->going) return;
  for (size_t i = 0; i < s->count; i++)
    if (!s->apps[i].ready) return;
  s->going = true;
  struct message m = {.type = MESSAGE_GO};
  for (size_t i = 0; s->count > 1 && i < s->count; i++) send_message(s->apps[i].channel, &m, -1);
}

/* --- events --------------------------------------------------------------------------------------------------------- */

static void answer_join(struct supervisor *s, struct supervised *a, pid_t sender) {
  struct message m = {.type = MESSAGE_GO};
  struct report r = {.status = STATUS_FAILED};
  if (a->ready || sender <= 0) return; /* only our own code asks, and before any program runs */
  if (join_cgroups(s, (size_t)(a - s->apps), sender, &r) == 0) {
    send_message(a->channel, &m, -1);
    return;
  }
  a->failed = true;
  print_report(s->command, s->count > 1 ? a->name : NULL, &r);
  give_up(s);
}

static void read_channel(struct supervisor *s, struct supervised *a) {
  struct message m = {0};
  int got;
  while ((got = receive_message(a->channel, &m, false)) == 1) {
    switch (m.type) {
      case MESSAGE_JOIN:
        answer_join(s, a, m.sender);
        break;
      case MESSAGE_READY:
        a->ready = true;
        a->out.pid = a->err.pid = m.value;
        let_go_if_ready(s);
        break;
      case MESSAGE_STARTED:
        a->started = true;
        a->out.pid = a->err.pid = m.value;
        if (m.sender > 0) write_number(s->pids_dir, a->name, (uint64_t)m.sender);
        break;
      case MESSAGE_FAILED:
        a->failed = true;
        terminal_restore(&s->terminal);
        print_report(s->command, s->count > 1 ? a->name : NULL, &m.report);
        if (!a->started && !s->going) give_up(s);
        break;
      case MESSAGE_TERMINAL:
        a->out.fd = fcntl(m.fd, F_DUPFD_CLOEXEC, 3);
        terminal_attach(&s->terminal, m.fd);
        break;
      default:
        break;
    }
  }
  if (got == 0) {
    close_fd(a->channel);
    a->channel = -1;
    announce_if_ready(s);
  }
}

static void read_control(struct supervisor *s) {
  struct message m = {0};
  int got;
  while ((got = receive_message(s->control, &m, false)) == 1) {
    if (m.type == MESSAGE_EXITED && m.app < s->count) {
      /* What the app said before it ended comes first. */
      if (s->apps[m.app].channel >= 0) read_channel(s, &s->apps[m.app]);
      app_ended(s, &s->apps[m.app], m.value);
    }
    if (m.type == MESSAGE_FAILED) {
      print_report(s->command, NULL, &m.report);
      give_up(s);
    }
  }
  if (got == 0) {
    close_fd(s->control);
    s->control = -1;
  }
}

static void reap_pod(struct supervisor *s) {
  int status;
  if (waitpid(s->pod, &status, WNOHANG) != s->pod) return;
  if (s->control >= 0) read_control(s);
  s->pod = 0;
  bool all = true;
  for (size_t i = 0; i < s->count; i++) all = all && s->apps[i].ended;
  if (WIFSIGNALED(status) && !all && !s->failed && s->stopping == 0)
    say(s->command, ": the pod's first process was killed: ", strsignal(WTERMSIG(status)), NULL);
  if (!all) pod_failed(s, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : STATUS_FAILED);
}

static void read_signals(struct supervisor *s) {
  struct signalfd_siginfo info;
  while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
    switch ((int)info.ssi_signo) {
      case SIGCHLD:
        if (s->pod != 0) reap_pod(s);
        break;
      case SIGWINCH:
        terminal_resize(&s->terminal);
        break;
      default:
        if (s->pod == 0 || s->stopping != 0) {
          s->abandoned = true;
          order_stop(s, SIGKILL);
        } else {
          s->asked = true;
          order_stop(s, SIGTERM);
        }
    }
  }
}

static bool read_some(struct stream *s) {
  bool more = true;
  for (int i = 0; i < CALM_READS && more && stream_wants(s); i++) more = stream_read(s);
  return more;
}

static size_t add_fd(struct supervisor *s, size_t n, int fd, short events) {
  s->fds[n] = (struct pollfd){fd, events, 0};
  return n + 1;
}

/* What to wait for now. A stream whose sink is busy is left out: that is the back pressure. */
static size_t collect(struct supervisor *s, bool *typing) {
  size_t n = add_fd(s, 0, s->signals, POLLIN);
  n = add_fd(s, n, s->control, POLLIN);
  for (size_t i = 0; i < 2; i++) n = add_fd(s, n, sink_busy(&s->sinks[i]) ? s->sinks[i].fd : -1, POLLOUT);
  *typing = s->terminal.master >= 0;
  n = add_fd(s, n, *typing && terminal_wants_input(&s->terminal) ? STDIN_FILENO : -1, POLLIN);
  n = add_fd(s, n, *typing && !terminal_wants_input(&s->terminal) ? s->terminal.master : -1, POLLOUT);
  for (size_t i = 0; i < s->count; i++) {
    struct supervised *a = &s->apps[i];
    n = add_fd(s, n, a->channel, POLLIN);
    n = add_fd(s, n, stream_wants(&a->out) ? a->out.fd : -1, POLLIN);
    n = add_fd(s, n, stream_wants(&a->err) ? a->err.fd : -1, POLLIN);
  }
  return n;
}

static int timeout(const struct supervisor *s, bool active) {
  if (s->stopping == 0) return active ? IDLE_MS : -1;
  uint64_t now = now_ms();
  return now >= s->deadline ? 0 : (int)(s->deadline - now);
}

/* Until PID 1 is reaped. */
static void run(struct supervisor *s) {
  bool active = false;
  while (s->pod != 0) {
    bool typing;
    size_t n = collect(s, &typing);
    int ready = poll(s->fds, (nfds_t)n, timeout(s, active));
    if (ready == 0 && s->stopping == 0) {
      relay_trim(s->sinks, 2);
      active = false;
      continue;
    }
    if (s->stopping != 0 && now_ms() >= s->deadline) deadline_passed(s);
    if (ready <= 0) continue;
    const struct pollfd *fds = s->fds;
    if (fds[0].revents != 0) read_signals(s);
    for (size_t i = 0; i < s->count; i++)
      if (s->apps[i].channel >= 0 && fds[6 + 3 * i].revents != 0) read_channel(s, &s->apps[i]);
    if (fds[1].revents != 0 && s->control >= 0) read_control(s);
    for (size_t i = 0; i < 2; i++)
      if (fds[2 + i].revents != 0) sink_flush(&s->sinks[i]);
    if (typing && (fds[4].revents != 0 || fds[5].revents != 0) && !terminal_type(&s->terminal))
      order_stop(s, SIGTERM);
    for (size_t i = 0; i < s->count; i++) {
      struct supervised *a = &s->apps[i];
      if (fds[7 + 3 * i].revents != 0) active = true, read_some(&a->out);
      if (fds[8 + 3 * i].revents != 0) active = true, read_some(&a->err);
    }
  }
}

/* Every writer inside is dead, so that a stream is over when nothing comes (an outside process that was handed a
 * descriptor does not hold us). A slow reader is waited for, until a signal says not to; where one said so before
 * (`rkt stop` sends no second), for a grace period after the last that it took. */
static void drain(struct supervisor *s) {
  int patience = s->asked ? (int)s->options.f[OPTIONS_GRACE_MS].n : -1;
  for (bool left = true; left && !s->abandoned;) {
    left = false;
    for (size_t i = 0; i < s->count; i++) {
      struct supervised *a = &s->apps[i];
      struct stream *streams[2] = {&a->out, &a->err};
      for (size_t k = 0; k < 2; k++) {
        while (stream_wants(streams[k]) && stream_read(streams[k])) continue;
        if (streams[k]->fd >= 0 && sink_busy(streams[k]->sink)) left = true;
      }
    }
    struct pollfd fds[3] = {{s->signals, POLLIN, 0}, {-1, POLLOUT, 0}, {-1, POLLOUT, 0}};
    bool busy = false;
    for (size_t i = 0; i < 2; i++) {
      sink_flush(&s->sinks[i]);
      if (!sink_busy(&s->sinks[i])) continue;
      busy = left = true;
      fds[1 + i].fd = s->sinks[i].fd;
    }
    if (!busy) continue;
    if (poll(fds, 3, patience) == 0) return;
    if (fds[0].revents != 0) read_signals(s);
  }
}

static void remove_cgroups(const struct op *op) {
  const char *at = op->f[CGROUP_DIRECTORIES].s;
  for (uint64_t i = 0; i < op->f[CGROUP_DIRECTORIES].n; i++) rmdir(plan_string(&at));
}

static int finish(struct supervisor *s) {
  terminal_restore(&s->terminal);
  /* Empty by now. Where one is not (a process that `enter` brought in is being reaped), `rkt gc` removes it. */
  if (s->cgroup.code != 0 && limit_capabilities(AT_THE_END, AT_THE_END) == 0) remove_cgroups(&s->cgroup);
  return s->failed ? s->status : 0;
}

/* No process was made. rkt made the cgroups before the plan. */
static int fail_early(const struct plan *plan) {
  struct cursor cursor = plan_start(plan);
  struct op op;
  if (plan_find(&cursor, OP_CGROUP, &op)) remove_cgroups(&op);
  return STATUS_FAILED;
}

int supervise(const struct plan *plan, int lock, int users, unsigned sockets) {
  static struct supervisor state;
  struct supervisor *s = &state;
  struct report r = {.status = STATUS_FAILED};
  struct cursor start;
  s->lock = lock;
  s->users = users;
  s->sockets = sockets;
  s->plan = plan;
  s->command = "run";
  s->terminal.master = s->volumes.source = s->volumes.users = -1;
  s->signals = take_signals();
  if (prepare(s, plan, &start, &r) < 0) {
    print_report(s->command, NULL, &r);
    return fail_early(plan);
  }
  if (clone_pod(s, plan, start, &r) < 0 || give_up_power(s, &r) < 0) {
    print_report(s->command, NULL, &r);
    if (s->pod <= 0) return fail_early(plan);
    give_up(s);
  }
  run(s);
  drain(s);
  return finish(s);
}
