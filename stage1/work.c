/* SPDX-License-Identifier: Apache-2.0
 * See work.h. Landlock alone would not do: it knows nothing of chown(2), chmod(2) and setxattr(2), for which paths are
 * enough and which the worker has capabilities for. So whatever is not its own has no path at all. */
#include "work.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"
#include "process.h"
#include "tree.h"
#include "util.h"

#define PROGRAM 3
#define FIRST_KEPT 4
#define MAX_KEPT 16
#define HIDDEN (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
/* Directory of every Linux where the new root can be mounted for a moment. */
#define ANYWHERE "/proc"

static bool take_number(const char *word, uint64_t limit, uint64_t *n) {
  char *end;
  if (*word < '0' || *word > '9') return false;
  errno = 0;
  *n = strtoull(word, &end, 10);
  return errno == 0 && *end == 0 && *n <= limit;
}

bool worker_parse(struct worker *w, int argc, char **argv) {
  uint64_t id, descriptors, places;
  if (argc < 6 || !take_number(argv[0], UINT64_MAX, &w->capabilities) || !take_number(argv[1], 65534, &id) ||
      !take_number(argv[2], MAX_KEPT, &descriptors) || !take_number(argv[3], 64, &places))
    return false;
  if ((uint64_t)argc < 4 + places + 1) return false;
  w->id = (uint32_t)id;
  w->descriptors = (unsigned)descriptors;
  w->places = (unsigned)places;
  w->words = argv + 4;
  return true;
}

/* --- its root ------------------------------------------------------------------------------------------------- */

/* mkdir -p of a relative path, or of all but its last name; the directories are new, nobody else is in them. */
static int make_parents(char *path, bool all) {
  for (char *at = path; *at != 0; at++) {
    if (*at != '/') continue;
    *at = 0;
    int made = mkdir(path, 0755);
    *at = '/';
    if (made < 0 && errno != EEXIST) return -1;
  }
  return all && mkdir(path, 0755) < 0 && errno != EEXIST ? -1 : 0;
}

static int copy_link(const char *from, const char *to) {
  char target[PATH_MAX];
  ssize_t n = readlink(from, target, sizeof target - 1);
  if (n < 0) return -1;
  target[n] = 0;
  return symlink(target, to) < 0 && errno != EEXIST ? -1 : 0;
}

/* The directory `place` of the host, read-only, at the same path below the working directory; a link as a link. */
static int lend(const char *place, struct report *r) {
  struct stat st;
  char path[PATH_MAX];
  struct text t = TEXT(path);
  if (place[0] != '/' || strlen(place) >= sizeof path) return fail(r, EINVAL, "lend", place);
  text_add(&t, place + 1);
  if (lstat(place, &st) < 0) return errno == ENOENT ? 0 : fail(r, errno, "lend", place);
  if (!S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)) return fail(r, ENOTDIR, "lend", place);
  if (make_parents(path, S_ISDIR(st.st_mode)) < 0) return fail(r, errno, "make directory", path);
  if (S_ISLNK(st.st_mode)) return copy_link(place, path) < 0 ? fail(r, errno, "copy link", place) : 0;
  CLOSING int from = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
  CLOSING int at = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  CLOSING int mount = from < 0 ? -1 : tree_copy_mount(from, 0);
  if (at < 0 || mount < 0 || tree_set_attributes(mount, MOUNT_ATTR_RDONLY | HIDDEN, 0, 0) < 0 ||
      tree_move_mount(mount, at) < 0)
    return fail(r, errno, "lend", place);
  return 0;
}

static int new_file_system(const char *type, const char *option, uint64_t attributes) {
  CLOSING int context = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
  if (context < 0) return -1;
  /* "subset" is of Linux 5.8; without it there is more to read, of the kernel. */
  if (option != NULL) {
    char key[32];
    const char *equals = strchr(option, '=');
    struct text t = TEXT(key);
    for (const char *c = option; c < equals; c++) text_add(&t, (const char[]){*c, 0});
    syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, equals + 1, 0);
  }
  if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) return -1;
  return (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
}

static int make_proc(struct report *r) {
  CLOSING int mount = new_file_system("proc", "subset=pid", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC | HIDDEN);
  if (mount < 0 || (mkdir("proc", 0755) < 0 && errno != EEXIST)) return fail(r, errno, "mount", "/proc");
  CLOSING int at = open("proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return at < 0 || tree_move_mount(mount, at) < 0 ? fail(r, errno, "mount", "/proc") : 0;
}

static int enclose(const struct worker *w, struct report *r) {
  CLOSING int all = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (all < 0 || tree_set_attributes(all, 0, MS_PRIVATE, AT_SUBTREE) < 0)
    return fail(r, errno, "leave the host's mounts", NULL);
  CLOSING int at = open(ANYWHERE, O_PATH | O_DIRECTORY | O_CLOEXEC);
  CLOSING int root = new_file_system("tmpfs", "mode=755", HIDDEN);
  if (at < 0 || root < 0 || tree_move_mount(root, at) < 0 || fchdir(root) < 0)
    return fail(r, errno, "make a root", NULL);
  for (unsigned i = 0; i < w->places; i++)
    if (lend(w->words[i], r) < 0) return -1;
  if (make_proc(r) < 0 || tree_set_attributes(root, MOUNT_ATTR_RDONLY, 0, 0) < 0)
    return r->err != 0 ? -1 : fail(r, errno, "make the root read-only", NULL);
  return pivot_into(root, "/", r);
}

/* --- its power ------------------------------------------------------------------------------------------------ */

static int give_up(const struct worker *w, struct report *r) {
  const struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) < 0 || process_leave_keyring(r) < 0) return fail(r, errno, "limit", NULL);
  if (setgroups(0, NULL) < 0 || setresgid(w->id, w->id, w->id) < 0) return fail(r, errno, "leave groups", NULL);
  if (limit_bounding(w->capabilities) < 0 || setresuid(w->id, w->id, w->id) < 0 ||
      limit_capabilities(w->capabilities, w->capabilities) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    return fail(r, errno, "give up capabilities", NULL);
  /* Last: another identity takes it back (prctl(2)). */
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  return confine_worker(r);
}

static int become(const struct worker *w) {
  struct report r = {0};
  char *none[] = {NULL};
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  umask(022);
  /* Its input is nothing: a descriptor of the host's /dev/null would be enough to change that file's mode. */
  close(0);
  if (memfd_create("input", 0) != 0) return STATUS_FAILED;
  reset_signals();
  for (unsigned i = 0; i < w->descriptors; i++) fcntl((int)(FIRST_KEPT + i), F_SETFD, 0);
  if (enclose(w, &r) == 0 && give_up(w, &r) == 0) {
    syscall(SYS_execveat, PROGRAM, "", w->words + w->places, none, AT_EMPTY_PATH);
    fail(&r, errno, "start", w->words[w->places]);
  }
  say(r.text, NULL);
  return STATUS_FAILED;
}

int work(const struct worker *w) {
  int status;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  sys_close_range(FIRST_KEPT + w->descriptors, ~0u);
  fcntl(PROGRAM, F_SETFD, FD_CLOEXEC);
  pid_t pid = sys_clone(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, -1);
  if (pid == 0) _exit(become(w));
  if (pid < 0) {
    say("cannot make namespaces: ", strerror(errno), NULL);
    return STATUS_FAILED;
  }
  /* Whoever reads or writes the other ends must see its end, not ours. */
  close(0);
  close(1);
  sys_close_range(PROGRAM, ~0u);
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return STATUS_FAILED;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
