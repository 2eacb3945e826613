/* SPDX-License-Identifier: Apache-2.0
 * See process.h. */
#include "process.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util.h"

static struct rlimit file_limit;

/* The caller is our parent, unless it is init: then systemd's default for services. */
void remember_file_limit(void) {
  struct rlimit parent = {1024, 0};
  if (getrlimit(RLIMIT_NOFILE, &file_limit) < 0) return;
  if (getppid() > 1) prlimit(getppid(), RLIMIT_NOFILE, NULL, &parent);
  if (parent.rlim_cur < file_limit.rlim_cur) file_limit.rlim_cur = parent.rlim_cur;
}

static rlim_t parse_limit(const char *at) {
  rlim_t n = 0;
  if (*at == 'u') return RLIM_INFINITY; /* unlimited */
  for (; *at >= '0' && *at <= '9'; at++) n = n * 10 + (rlim_t)(*at - '0');
  return n;
}

/* Nobody may raise a hard limit without CAP_SYS_RESOURCE: then the lower of both. */
static int take_limit(int resource, struct rlimit wanted) {
  struct rlimit own;
  if (setrlimit(resource, &wanted) < 0) {
    if (errno != EPERM || getrlimit(resource, &own) < 0) return -1;
    if (wanted.rlim_max > own.rlim_max) wanted.rlim_max = own.rlim_max;
    if (wanted.rlim_cur > wanted.rlim_max) wanted.rlim_cur = wanted.rlim_max;
    if (setrlimit(resource, &wanted) < 0) return -1;
  }
  if (resource == RLIMIT_NOFILE) file_limit = wanted;
  return 0;
}

static ssize_t read_of_process(uint32_t pid, const char *file, char *out, size_t size) {
  char path[64];
  struct text t = TEXT(path);
  text_add(&t, "/proc/");
  text_number(&t, pid);
  text_add(&t, file);
  CLOSING int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
  if (n >= 0) out[n] = 0;
  return n;
}

/* Columns of /proc/PID/limits (proc(5)): a line for each resource, in the order of their numbers, below a heading.
 * prlimit(2) on another user's process would take CAP_SYS_RESOURCE. */
#define SOFT_COLUMN 26
#define HARD_COLUMN 47

int process_take_limits(uint32_t pid, struct report *r) {
  char text[4096];
  ssize_t n = read_of_process(pid, "/limits", text, sizeof text);
  const char *at = n < 0 ? NULL : strchr(text, '\n');
  if (at == NULL) return fail(r, n < 0 ? errno : EINVAL, "read the app's resource limits", NULL);
  for (int resource = 0; resource < RLIM_NLIMITS && at != NULL; resource++) {
    const char *end = strchr(at + 1, '\n');
    if (end == NULL || end - at <= HARD_COLUMN + 1) break;
    struct rlimit wanted = {parse_limit(at + 1 + SOFT_COLUMN), parse_limit(at + 1 + HARD_COLUMN)};
    if (take_limit(resource, wanted) < 0) return fail(r, errno, "take the app's resource limits", NULL);
    at = end;
  }
  n = read_of_process(pid, "/oom_score_adj", text, sizeof text);
  if (n < 0) return fail(r, errno, "read the app's OOM score", NULL);
  CLOSING int to = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  /* EACCES: it is lower than ours may be, and ours is no advantage. */
  if (to < 0 || (write(to, text, (size_t)n) != n && errno != EACCES)) return fail(r, errno, "set the OOM score", NULL);
  return 0;
}

int limit_capabilities(uint64_t kept, uint64_t used) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct now[2], data[2];
  if (syscall(SYS_capget, &header, now) < 0) return -1;
  /* Inheritable stays empty: CVE-2022-29162 and its kin. */
  memset(data, 0, sizeof data);
  for (int i = 0; i < 2; i++) {
    data[i].permitted = now[i].permitted & (uint32_t)(kept >> (32 * i));
    data[i].effective = data[i].permitted & (uint32_t)(used >> (32 * i));
  }
  return (int)syscall(SYS_capset, &header, data);
}

int write_member(const char *directory, const char *pid, struct report *r) {
  char path[4096 + 16];
  struct text t = TEXT(path);
  text_add(&t, directory);
  text_add(&t, "/cgroup.procs");
  CLOSING int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || !write_all(fd, pid, strlen(pid))) return fail(r, errno, "join cgroup", directory);
  return 0;
}

int write_proc(const char *path, const char *value, const char *action, struct report *r) {
  struct statfs fs;
  CLOSING int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  /* A volume may lie on /proc: what is written must go to the kernel (CVE-2019-16884). */
  if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type != PROC_SUPER_MAGIC)
    return fail_why(r, ENODEV, action, value, "a volume hides /proc");
  if (fd < 0 || !write_all(fd, value, strlen(value))) return fail(r, errno, action, value);
  return 0;
}

/* AppArmor has a directory of its own since Linux 5.8; SELinux, and AppArmor before, use the common file. */
static int set_label(const struct op *op, struct report *r) {
  const char *module = op->f[LABEL_MODULE].s, *text = op->f[LABEL_TEXT].s;
  const char *own = "/proc/self/attr/apparmor/exec";
  bool apparmor = strcmp(module, "apparmor") == 0 && access(own, F_OK) == 0;
  return write_proc(apparmor ? own : "/proc/self/attr/exec", text, "set the security label", r);
}

int limit_bounding(uint64_t kept) {
  for (unsigned long cap = 0; cap < 64; cap++) {
    if ((kept >> cap & 1) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) return errno == EINVAL ? 0 : -1; /* EINVAL: past the last one */
  }
  return 0;
}

void reset_signals(void) {
  /* The kernel's own structure, all zero: SIG_DFL. musl keeps signals 32 to 34 for itself and would refuse to
     reset them; ignored ones would break threads in the app (glibc cancels and changes ids by them). */
  const unsigned long action[4] = {0};
  for (int s = 1; s < 65; s++) syscall(SYS_rt_sigaction, s, action, NULL, sizeof(unsigned long));
  /* By system call: libc would not clear its own from the mask. */
  uint64_t none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}

static int set_groups(const struct field *groups) {
  gid_t list[1024];
  if (groups->n > sizeof list / sizeof list[0]) {
    errno = EINVAL;
    return -1;
  }
  for (size_t i = 0; i < groups->n; i++) list[i] = plan_number(groups, i);
  return (int)syscall(SYS_setgroups, (size_t)groups->n, list);
}

void process_set_filter(struct process *p, const struct op *op) {
  p->filter = op->f[FILTER_PROGRAM];
  p->filter_early = (op->f[FILTER_FLAGS].n & FILTER_IS_EARLY) != 0;
}

/* Needs CAP_SYS_ADMIN or no_new_privs (seccomp(2)): the plan sees to one of them. */
static int install_filter(const struct process *p, struct report *r) {
  union {
    const char *in;
    struct sock_filter *out;
  } code = {.in = p->filter.s}; /* the kernel copies it, from any address */
  struct sock_fprog program = {.len = (unsigned short)(p->filter.n / 8), .filter = code.out};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0) return 0;
  fail(r, errno, "install the seccomp filter", NULL);
  if (r->err == ENOSYS || r->err == EINVAL)
    remedy(r, "a kernel with CONFIG_SECCOMP_FILTER, or --insecure-options=seccomp");
  return -1;
}

#define TO_FINISH (1ull << CAP_SETUID | 1ull << CAP_SETGID | 1ull << CAP_KILL)

int process_limit(struct process *p, struct report *r) {
  /* While there is CAP_SYS_ADMIN: the program need not lose set-user-ID programs (no_new_privs) for its filter. */
  if (p->filter.n > 0 && p->filter_early && install_filter(p, r) < 0) return -1;
  /* Bounding first: it needs CAP_SETPCAP. */
  if (limit_bounding(p->bounding) < 0) return fail(r, errno, "limit capabilities", NULL);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
    return fail(r, errno, "clear ambient capabilities", NULL);
  uint64_t kept = p->bounding | TO_FINISH;
  if (limit_capabilities(kept, kept) < 0) return fail(r, errno, "limit capabilities", NULL);
  p->limited = true;
  return 0;
}

int process_leave_keyring(struct report *r) {
  /* A kernel without keys, or a filter around us that forbids the call to the programs as well. */
  if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EPERM)
    return fail(r, errno, "make a session keyring", NULL);
  return 0;
}

int process_restrict(struct process *p, bool as_root, struct report *r) {
  static const struct field no_groups = {NULL, 0};
  uint32_t uid = as_root ? 0 : p->uid, gid = as_root ? 0 : p->gid;
  /* Order: ids need CAP_SETUID and CAP_SETGID; a change of uid from 0 empties the permitted set, and for uid 0
   * execve makes it the bounding set (capabilities(7)). */
  if (!p->limited && process_limit(p, r) < 0) return -1;
  if (set_groups(as_root ? &no_groups : &p->groups) < 0) return fail(r, errno, "set supplementary groups", NULL);
  if (syscall(SYS_setresgid, gid, gid, gid) < 0) return fail(r, errno, "set group", NULL);
  if (syscall(SYS_setresuid, uid, uid, uid) < 0) return fail(r, errno, "set user", NULL);
  uint64_t kept = uid == 0 ? p->bounding : 0;
  if (limit_capabilities(kept, kept) < 0) return fail(r, errno, "limit capabilities", NULL);
  if (p->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    return fail(r, errno, "forbid new privileges", NULL);
  return 0;
}

/* char * vectors from a plan's strings, in memory of their own: their number is bounded by the plan's size. */
static char **vector(const struct field *strings) {
  char **list = mmap(NULL, (strings->n + 1) * sizeof(char *), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (list == MAP_FAILED) return NULL;
  const char *at = strings->s;
  for (size_t i = 0; i < strings->n; i++) {
    union {
      const char *in;
      char *out;
    } text = {.in = plan_string(&at)}; /* execve's type, not its behaviour, drops const */
    list[i] = text.out;
  }
  return list;
}

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_NONE
#endif

/* The interpreter that an ELF file asks for, from its own bytes (hostile: every offset is checked). */
static bool elf_interpreter(int fd, const Elf64_Ehdr *header, char *out, size_t size) {
  for (unsigned i = 0; i < header->e_phnum && i < 64; i++) {
    Elf64_Phdr program;
    uint64_t at = header->e_phoff + (uint64_t)i * sizeof program;
    if (at > INT64_MAX || pread(fd, &program, sizeof program, (off_t)at) != (ssize_t)sizeof program) return false;
    if (program.p_type != PT_INTERP) continue;
    if (program.p_filesz == 0 || program.p_filesz >= size || program.p_offset > INT64_MAX) return false;
    if (pread(fd, out, program.p_filesz, (off_t)program.p_offset) != (ssize_t)program.p_filesz) return false;
    out[program.p_filesz] = 0;
    return true;
  }
  return false;
}

/* `#! /bin/sh -e` -> `/bin/sh`, in place. */
static char *script_interpreter(char *line) {
  char *start = line + 2 + strspn(line + 2, " \t");
  start[strcspn(start, " \t\r\n")] = 0;
  return start;
}

static int fail_interpreter(struct report *r, int err, const char *path, const char *kind, const char *interpreter) {
  char why[512];
  struct text t = TEXT(why);
  text_add(&t, "its ");
  text_add(&t, kind);
  text_add(&t, " ");
  text_quote(&t, interpreter);
  text_add(&t, " is missing");
  return fail_why(r, err, "execute", path, why);
}

/* Why execve fails with `err`, from the file: -1 with the reason in `r`, or 0 when the file does not tell. */
static int diagnose(const char *path, int err, struct report *r) {
  struct stat st;
  union {
    char text[256];
    Elf64_Ehdr elf;
  } start;
  if (stat(path, &st) < 0) return fail(r, errno, "execute", path);
  if (err == EACCES && S_ISDIR(st.st_mode)) return fail_why(r, err, "execute", path, "it is a directory");
  if (err == EACCES && !S_ISREG(st.st_mode)) return fail_why(r, err, "execute", path, "it is not a regular file");
  if (err == EACCES && (st.st_mode & 0111) == 0) return fail_why(r, err, "execute", path, "it is not executable");
  CLOSING int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 || (err != ENOENT && err != ENOEXEC && err != EACCES)) return 0;
  memset(&start, 0, sizeof start);
  ssize_t n = pread(fd, start.text, sizeof start.text - 1, 0);
  if (n > 2 && start.text[0] == '#' && start.text[1] == '!') {
    const char *interpreter = script_interpreter(start.text);
    if (err == ENOENT && access(interpreter, F_OK) < 0)
      return fail_interpreter(r, err, path, "interpreter", interpreter);
  } else if (n >= (ssize_t)sizeof start.elf && memcmp(start.elf.e_ident, ELFMAG, SELFMAG) == 0) {
    char interpreter[256];
    if (err == ENOEXEC && (start.elf.e_machine != MACHINE || start.elf.e_ident[EI_CLASS] != ELFCLASS64))
      return fail_why(r, err, "execute", path, "it is a program for another kind of machine");
    if (err == ENOENT && start.elf.e_ident[EI_CLASS] == ELFCLASS64 &&
        elf_interpreter(fd, &start.elf, interpreter, sizeof interpreter) && access(interpreter, F_OK) < 0)
      return fail_interpreter(r, err, path, "ELF interpreter", interpreter);
  } else if (err == ENOEXEC) {
    return fail_why(r, err, "execute", path, n == 0 ? "it is empty" : "it is neither an ELF program nor a script with #!");
  }
  return 0;
}

/* A filter that comes last may forbid what it takes to say why execve failed: what the file tells is found out before. */
static int install_late(const struct process *p, const char *path, struct report *r) {
  if (access(path, X_OK) < 0 && diagnose(path, EACCES, r) < 0) return -1;
  if (diagnose(path, ENOENT, r) < 0 || diagnose(path, ENOEXEC, r) < 0) return -1;
  return install_filter(p, r);
}

/* sd_listen_fds(3): the sockets are for the process that is named. */
static void name_listener(char **env, size_t count) {
  static char text[32] = "LISTEN_PID=";
  for (size_t i = 0; i < count; i++) {
    if (strncmp(env[i], text, 11) != 0) continue;
    struct text t = {text + 11, sizeof text - 11, 0};
    text_number(&t, (uint64_t)syscall(SYS_getpid));
    env[i] = text;
    return;
  }
}

int process_execute(const struct process *p, const char *path, const struct field *argv, struct report *r) {
  char **args = vector(argv), **env = vector(&p->environment);
  bool late = p->filter.n > 0 && !p->filter_early;
  int err = ENOMEM;
  r->text[0] = 0;
  if (p->label.code != 0 && set_label(&p->label, r) < 0) return -1;
  if (args != NULL && env != NULL) {
    if (p->listens) name_listener(env, p->environment.n);
    if (file_limit.rlim_max > 0) setrlimit(RLIMIT_NOFILE, &file_limit);
    if (!late || install_late(p, path, r) == 0) {
      execve(path, args, env);
      err = errno;
      if (!late) diagnose(path, err, r);
    }
  }
  if (r->text[0] == 0) fail(r, err, "execute", path);
  r->status = STATUS_EXEC;
  return -1;
}
