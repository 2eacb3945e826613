/* SPDX-License-Identifier: Apache-2.0
 * The program that tests run inside pods: one fact per word, so that no test needs an image with tools. Several
 * facts in one run are separated by "--". Static, without configuration. `inspect help` lists the facts. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int result; /* of the last fact: the exit status */

/* A fact that cannot be had is a fact too: "error: EACCES text". */
static void failed(const char *what) {
  printf("error: %s: %s\n", what, strerror(errno));
  result = 1;
}

static void print_file(const char *path, const char *only) {
  char line[8192];
  FILE *f = fopen(path, "r");
  if (f == NULL) {
    failed(path);
    return;
  }
  while (fgets(line, sizeof line, f) != NULL)
    if (only == NULL || strncmp(line, only, strlen(only)) == 0) fputs(line, stdout);
  fclose(f);
}

static void show_caps(char **args) {
  (void)args;
  print_file("/proc/self/status", "Cap");
  print_file("/proc/self/status", "NoNewPrivs");
  print_file("/proc/self/status", "Seccomp:");
}

static void show_ids(char **args) {
  (void)args;
  gid_t groups[256];
  int n = getgroups(256, groups);
  printf("uid=%d euid=%d gid=%d egid=%d groups=", getuid(), geteuid(), getgid(), getegid());
  for (int i = 0; i < n; i++) printf(i == 0 ? "%d" : ",%d", groups[i]);
  printf("\n");
}

static void show_cwd(char **args) {
  (void)args;
  char path[4096];
  if (getcwd(path, sizeof path) == NULL)
    failed("getcwd");
  else
    printf("%s\n", path);
}

static void show_env(char **args) {
  for (char **e = environ; *e != NULL; e++) {
    if (args[0] == NULL)
      puts(*e);
    else if (strncmp(*e, args[0], strlen(args[0])) == 0 && (*e)[strlen(args[0])] == '=')
      puts(*e + strlen(args[0]) + 1);
  }
}

static void show_fds(char **args) {
  (void)args;
  for (int fd = 0; fd < 4096; fd++) {
    char link[64], target[4096];
    if (fcntl(fd, F_GETFD) < 0) continue;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, target, sizeof target - 1);
    printf("%d %.*s\n", fd, n < 0 ? 0 : (int)n, target);
  }
}

static void show_mounts(char **args) {
  (void)args;
  print_file("/proc/self/mountinfo", NULL);
}

static void show_tty(char **args) {
  (void)args;
  struct winsize size = {0};
  char name[256] = "";
  for (int fd = 0; fd < 3; fd++) printf("%d %s\n", fd, isatty(fd) ? "tty" : "no");
  if (isatty(0) && ttyname_r(0, name, sizeof name) == 0 && ioctl(0, TIOCGWINSZ, &size) == 0)
    printf("name=%s rows=%d columns=%d\n", name, size.ws_row, size.ws_col);
}

static void show_signals(char **args) {
  (void)args;
  print_file("/proc/self/status", "Sig");
}

static void show_hostname(char **args) {
  (void)args;
  struct utsname u;
  uname(&u);
  puts(u.nodename);
}

static void show_namespaces(char **args) {
  (void)args;
  static const char *const names[] = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    char link[64], target[256];
    snprintf(link, sizeof link, "/proc/self/ns/%s", names[i]);
    ssize_t n = readlink(link, target, sizeof target - 1);
    printf("%s %.*s\n", names[i], n < 0 ? 0 : (int)n, target);
  }
}

static void show_stat(char **args) {
  struct stat st;
  if (args[0] == NULL || lstat(args[0], &st) < 0) {
    failed(args[0] == NULL ? "stat" : args[0]);
    return;
  }
  const char *kind = S_ISREG(st.st_mode) ? "file" : S_ISDIR(st.st_mode) ? "directory" : S_ISLNK(st.st_mode) ? "symlink"
                     : S_ISCHR(st.st_mode) ? "char" : S_ISBLK(st.st_mode) ? "block" : "other";
  printf("%s mode=%04o uid=%d gid=%d size=%lld rdev=%u:%u\n", kind, st.st_mode & 07777, st.st_uid, st.st_gid,
         (long long)st.st_size, major(st.st_rdev), minor(st.st_rdev));
}

static void show_readlink(char **args) {
  char target[4096];
  ssize_t n = args[0] == NULL ? -1 : readlink(args[0], target, sizeof target);
  if (n < 0)
    failed("readlink");
  else
    printf("%.*s\n", (int)n, target);
}

static void show_cat(char **args) {
  if (args[0] != NULL) print_file(args[0], NULL);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void show_ls(char **args) {
  char *names[4096];
  size_t n = 0;
  DIR *d = args[0] == NULL ? NULL : opendir(args[0]);
  if (d == NULL) {
    failed("opendir");
    return;
  }
  for (struct dirent *e; n < 4096 && (e = readdir(d)) != NULL;)
    if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) names[n++] = strdup(e->d_name);
  closedir(d);
  qsort(names, n, sizeof names[0], by_name);
  for (size_t i = 0; i < n; i++) puts(names[i]);
}

/* open PATH [r|w]: whether it can be opened. */
static void try_open(char **args) {
  bool write = args[0] != NULL && args[1] != NULL && args[1][0] == 'w';
  int fd = args[0] == NULL ? -1 : open(args[0], write ? O_WRONLY : O_RDONLY);
  if (fd < 0) {
    failed("open");
    return;
  }
  puts("opened");
  close(fd);
}

/* write PATH TEXT: makes or replaces a file. */
static void do_write(char **args) {
  if (args[0] == NULL || args[1] == NULL) return;
  int fd = open(args[0], O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, args[1], strlen(args[1])) < 0)
    failed(args[0]);
  else
    puts("written");
  if (fd >= 0) close(fd);
}

/* mknod PATH MAJOR MINOR: makes a character device and tries to open it. */
static void do_mknod(char **args) {
  if (args[0] == NULL || args[1] == NULL || args[2] == NULL) return;
  if (mknod(args[0], S_IFCHR | 0666, makedev((unsigned)atoi(args[1]), (unsigned)atoi(args[2]))) < 0)
    failed("mknod");
  else
    try_open((char *[]){args[0], NULL});
}

/* syscalls NUMBER...: each called with nothing in a process of its own, and what it said: "NUMBER errno N", "NUMBER ok",
 * "NUMBER signal N". Never for calls that nothing stops. */
static void try_syscalls(char **args) {
  for (; *args != NULL; args++) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
      /* The answer without the C library: the filter may allow next to nothing. */
      long got = syscall(strtol(*args, NULL, 10), 0, 0, 0, 0, 0, 0);
      _exit(got == 0 ? 0 : got == -1 ? errno : 255);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
      printf("%s signal %d\n", *args, WTERMSIG(status));
    else if (WEXITSTATUS(status) == 0)
      printf("%s ok\n", *args);
    else
      printf("%s errno %d\n", *args, WEXITSTATUS(status));
  }
}

/* clone FLAGS: whether a process with these flags (hexadecimal) can be made. */
static void do_clone(char **args) {
  unsigned long flags = args[0] == NULL ? 0 : strtoul(args[0], NULL, 16);
  fflush(stdout);
  long pid = syscall(SYS_clone, flags | (unsigned long)SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  if (pid < 0) {
    failed("clone");
    return;
  }
  waitpid((pid_t)pid, NULL, 0);
  puts("cloned");
}

/* foreign: a system call of the 32-bit table (x86 only), in a process of its own. */
static void try_foreign(char **args) {
  (void)args;
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
#if defined(__x86_64__)
    long got;
    __asm__ volatile("int $0x80" : "=a"(got) : "a"(20L) : "memory"); /* getpid */
    _exit(got > 0 ? 0 : 1);
#else
    _exit(2);
#endif
  }
  int status = 0;
  waitpid(pid, &status, 0);
  printf(WIFSIGNALED(status) ? "signal %d\n" : "status %d\n",
         WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* KEYCTL_GET_KEYRING_ID of KEY_SPEC_SESSION_KEYRING (keyctl(2)). */
static void show_keyring(char **args) {
  (void)args;
  printf("keyring=%ld\n", syscall(SYS_keyctl, 0, -3, 0));
}

static void show_umask(char **args) {
  (void)args;
  mode_t m = umask(0);
  umask(m);
  printf("%04o\n", m);
}

static void show_limits(char **args) {
  (void)args;
  struct rlimit l;
  getrlimit(RLIMIT_NOFILE, &l);
  printf("nofile=%llu:%llu\n", (unsigned long long)l.rlim_cur, (unsigned long long)l.rlim_max);
}

static void show_pids(char **args) {
  (void)args;
  printf("pid=%d ppid=%d sid=%d pgid=%d\n", getpid(), getppid(), getsid(0), getpgrp());
}

static void show_interfaces(char **args) {
  (void)args;
  print_file("/proc/net/dev", NULL);
}

static void show_args(char **args) {
  for (; *args != NULL; args++) puts(*args);
}

static void echo_to(FILE *f, char **args) {
  for (int i = 0; args[i] != NULL; i++) fprintf(f, i == 0 ? "%s" : " %s", args[i]);
  fputc('\n', f);
  fflush(f);
}
static void do_out(char **args) { echo_to(stdout, args); }
static void do_err(char **args) { echo_to(stderr, args); }

static void do_exit(char **args) {
  fflush(stdout);
  exit(args[0] == NULL ? 0 : atoi(args[0]));
}

/* sleep SECONDS; without it: for ever. */
static void do_sleep(char **args) {
  fflush(stdout);
  if (args[0] == NULL)
    for (;;) pause();
  double seconds = atof(args[0]);
  struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&t, NULL);
}

static void do_ignore(char **args) {
  for (; *args != NULL; args++) signal(atoi(*args), SIG_IGN);
}

static volatile sig_atomic_t caught;
static void on_signal(int s) { caught = s; }

/* await SIGNAL: says when it is ready, waits for the signal, says that it came. */
static void do_await(char **args) {
  int s = args[0] == NULL ? SIGTERM : atoi(args[0]);
  struct sigaction a = {.sa_handler = on_signal};
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, s);
  sigprocmask(SIG_BLOCK, &set, &old);
  sigaction(s, &a, NULL);
  printf("awaiting %d\n", s);
  fflush(stdout);
  while (caught == 0) sigsuspend(&old);
  printf("caught %d\n", (int)caught);
}

static void do_kill(char **args) {
  fflush(stdout);
  if (args[0] != NULL) kill(getpid(), atoi(args[0]));
}

/* hoard: opens files until there is no descriptor left, frees none. */
static void do_hoard(char **args) {
  (void)args;
  int n = 0;
  while (open("/dev/null", O_RDONLY) >= 0) n++;
  printf("hoarded %d\n", n);
  fflush(stdout);
}

/* orphans N: children of children that outlive this program; a good PID 1 reaps them. */
static void do_orphans(char **args) {
  int n = args[0] == NULL ? 1 : atoi(args[0]);
  fflush(stdout);
  for (int i = 0; i < n; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      if (fork() == 0) {
        usleep(1000);
        _exit(0);
      }
      _exit(0);
    }
    waitpid(pid, NULL, 0);
  }
}

/* zombies: how many processes of the pod are dead and unreaped. */
static void show_zombies(char **args) {
  (void)args;
  int n = 0;
  DIR *d = opendir("/proc");
  if (d == NULL) {
    failed("/proc");
    return;
  }
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    char path[300], line[512];
    snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
    FILE *f = e->d_name[0] >= '0' && e->d_name[0] <= '9' ? fopen(path, "r") : NULL;
    if (f == NULL) continue;
    const char *end = fgets(line, sizeof line, f) == NULL ? NULL : strrchr(line, ')');
    if (end != NULL && end[2] == 'Z') n++;
    fclose(f);
  }
  closedir(d);
  printf("%d\n", n);
}

/* daemon: a process in a session of its own that keeps the standard descriptors. */
static void do_daemon(char **args) {
  (void)args;
  fflush(stdout);
  if (fork() == 0) {
    setsid();
    for (;;) pause();
  }
}

/* flood BYTES [LINE]: that many bytes on stdout, in lines of LINE. */
static void do_flood(char **args) {
  static char block[1 << 18];
  unsigned long long left = args[0] == NULL ? 1 << 20 : strtoull(args[0], NULL, 10);
  size_t line = args[0] == NULL || args[1] == NULL ? 100 : (size_t)atoi(args[1]);
  memset(block, 'x', sizeof block);
  if (line > 0)
    for (size_t i = line - 1; i < sizeof block; i += line) block[i] = '\n';
  size_t whole = line > 0 ? sizeof block - sizeof block % line : sizeof block;
  fflush(stdout);
  while (left > 0) {
    ssize_t n = write(1, block, left < whole ? (size_t)left : whole);
    if (n <= 0) break;
    left -= (unsigned long long)n;
  }
}

/* swap A B: exchanges two names, over and over, until it is killed. */
static void do_swap(char **args) {
  puts("swapping");
  fflush(stdout);
  while (syscall(SYS_renameat2, AT_FDCWD, args[0], AT_FDCWD, args[1], 2 /* RENAME_EXCHANGE */) == 0) continue;
  failed(args[0]);
}

/* read: passes stdin to stdout until its end. */
static void do_read(char **args) {
  (void)args;
  char buffer[4096];
  ssize_t n;
  fflush(stdout);
  while ((n = read(0, buffer, sizeof buffer)) > 0)
    if (write(1, buffer, (size_t)n) < 0) break;
}

/* winch: waits for a change of the terminal's size and shows it. */
static void do_winch(char **args) {
  struct sigaction a = {.sa_handler = on_signal};
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGWINCH);
  sigprocmask(SIG_BLOCK, &set, &old);
  sigaction(SIGWINCH, &a, NULL);
  puts("waiting");
  fflush(stdout);
  while (caught == 0) sigsuspend(&old);
  show_tty(args);
}

static void show_help(char **args);

static const struct {
  const char *name;
  void (*run)(char **args);
} facts[] = {
    {"args", show_args},   {"await", do_await},         {"caps", show_caps},
    {"cat", show_cat},     {"clone", do_clone},         {"cwd", show_cwd},
    {"daemon", do_daemon}, {"foreign", try_foreign},    {"syscalls", try_syscalls},
    {"env", show_env},     {"err", do_err},             {"exit", do_exit},
    {"fds", show_fds},     {"flood", do_flood},         {"help", show_help},
    {"hoard", do_hoard}, {"hostname", show_hostname}, {"ids", show_ids},     {"ignore", do_ignore},
    {"interfaces", show_interfaces}, {"keyring", show_keyring}, {"kill", do_kill}, {"limits", show_limits},
    {"ls", show_ls},       {"mknod", do_mknod},         {"mounts", show_mounts},
    {"namespaces", show_namespaces}, {"open", try_open}, {"orphans", do_orphans},
    {"out", do_out},       {"pids", show_pids},         {"read", do_read},
    {"readlink", show_readlink}, {"signals", show_signals}, {"sleep", do_sleep},
    {"stat", show_stat},   {"swap", do_swap},           {"tty", show_tty},           {"umask", show_umask},
    {"winch", do_winch},   {"write", do_write},         {"zombies", show_zombies},
};

static void show_help(char **args) {
  (void)args;
  for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) puts(facts[i].name);
}

int main(int argc, char **argv) {
  int i = 1;
  while (i < argc) {
    char *name = argv[i];
    char **args = &argv[++i];
    while (i < argc && strcmp(argv[i], "--") != 0) i++;
    argv[i] = NULL; /* argv[argc] is NULL already; "--" becomes the end of this fact's words */
    i++;
    bool found = false;
    for (size_t k = 0; k < sizeof facts / sizeof facts[0] && !found; k++) {
      if (strcmp(facts[k].name, name) != 0) continue;
      found = true;
      result = 0;
      facts[k].run(args);
    }
    if (!found) {
      fprintf(stderr, "inspect: no such fact: %s\n", name);
      return 2;
    }
  }
  fflush(stdout);
  return result;
}
