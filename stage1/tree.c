/* SPDX-License-Identifier: Apache-2.0
 * See tree.h. Mount calls are the ones by descriptor of Linux 5.2 and later: open_tree(2), fsopen(2), fsmount(2),
 * move_mount(2), mount_setattr(2). */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util.h"

#define EMPTY_PATH 0x1000 /* AT_EMPTY_PATH */
#define DETACH 2          /* MNT_DETACH */

#define KERNEL_PATH (RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
#define IMAGE_PATH (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

static int open_tree(int dir, const char *path, unsigned flags) {
  return (int)syscall(SYS_open_tree, dir, path, flags | OPEN_TREE_CLOEXEC);
}

int tree_move_mount(int mount, int target) {
  return (int)syscall(SYS_move_mount, mount, "", target, "",
                      MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int tree_copy_mount(int fd, unsigned recursive) { return open_tree(fd, "", EMPTY_PATH | OPEN_TREE_CLONE | recursive); }

int tree_set_attributes(int mount, uint64_t attributes, uint64_t propagation, unsigned recursive) {
  struct mount_attr attr = {.attr_set = attributes, .propagation = propagation};
  if (attributes == 0 && propagation == 0) return 0;
  return (int)syscall(SYS_mount_setattr, mount, "", EMPTY_PATH | recursive, &attr, sizeof attr);
}

static int set_attributes(int mount, uint64_t attributes, unsigned recursive) {
  return tree_set_attributes(mount, attributes, 0, recursive);
}

int tree_map_owners(int mount, int userns, bool recursive) {
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (__u64)(unsigned)userns};
  unsigned flags = EMPTY_PATH | (recursive ? AT_SUBTREE : 0);
  return (int)syscall(SYS_mount_setattr, mount, "", flags, &attr, sizeof attr);
}

static const char *mount_reason(int err) {
  if (err == ENOSPC) return "the limit of mounts is reached (/proc/sys/fs/mount-max)"; /* mount(2) */
  if (err == ELOOP) return "a symbolic link is in the way";
  return NULL;
}

/* What the file system itself said, "e overlay: text"; kept by the context (fsopen(2) "message retrieval"). */
static const char *context_reason(int context, char *buffer, size_t size, int err) {
  ssize_t n = read(context, buffer, size - 1);
  if (n <= 2) return mount_reason(err);
  buffer[n] = 0;
  while (n > 0 && buffer[n - 1] == '\n') buffer[--n] = 0;
  return buffer + 2;
}

/* --- file systems ------------------------------------------------------------------------------------------- */

static int config(int context, const char *option) {
  char key[64];
  const char *equals = strchr(option, '=');
  if (equals == NULL) return (int)syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, option, NULL, 0);
  size_t n = (size_t)(equals - option);
  if (n >= sizeof key) {
    errno = EINVAL;
    return -1;
  }
  memcpy(key, option, n);
  key[n] = 0;
  return (int)syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, equals + 1, 0);
}

static int fail_mount(struct report *r, int context, const char *type, const char *target) {
  int err = errno;
  char action[64], said[256];
  struct text t = TEXT(action);
  text_add(&t, "mount ");
  text_add(&t, type);
  text_add(&t, " at");
  return fail_why(r, err, action, target,
                  context < 0 ? mount_reason(err) : context_reason(context, said, sizeof said, err));
}

int tree_scratch(const struct op *op, struct report *r) {
  const char *target = op->f[SCRATCH_TARGET].s;
  CLOSING int at_target = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
  CLOSING int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
  CLOSING int mount = -1;
  if (at_target < 0 || context < 0 || config(context, "mode=755") < 0 ||
      syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ||
      (mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)) < 0 ||
      tree_move_mount(mount, at_target) < 0 || fchdir(mount) < 0)
    return fail_mount(r, context, "tmpfs", target);
  const char *at = op->f[SCRATCH_DIRECTORIES].s;
  for (uint64_t i = 0; i < op->f[SCRATCH_DIRECTORIES].n; i++) {
    const char *path = plan_string(&at);
    if (mkdir(path, 0755) < 0) return fail(r, errno, "make directory", path);
  }
  return 0;
}

int mount_new(int base, const struct op *op, struct report *r) {
  const char *type = op->f[MOUNT_TYPE].s, *target = op->f[MOUNT_TARGET].s;
  bool optional = (op->f[MOUNT_FLAGS].n & MOUNT_IS_OPTIONAL) != 0;
  CLOSING int at = base == AT_FDCWD ? open(target, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                                    : sys_openat2(base, target, O_PATH | O_DIRECTORY, 0, KERNEL_PATH);
  if (at < 0) return fail_mount(r, -1, type, target);
  CLOSING int context = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
  if (context < 0) return optional ? 0 : fail_mount(r, -1, type, target);
  const char *option = op->f[MOUNT_OPTIONS].s;
  syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", type, 0); /* for people who read mountinfo */
  for (uint64_t i = 0; i < op->f[MOUNT_OPTIONS].n; i++)
    if (config(context, plan_string(&option)) < 0) return fail_mount(r, context, type, target);
  CLOSING int mount = -1;
  if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ||
      (mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, (unsigned)op->f[MOUNT_ATTRIBUTES].n)) < 0 ||
      tree_move_mount(mount, at) < 0)
    return optional ? 0 : fail_mount(r, context, type, target);
  return 0;
}

/* The name of a descriptor as a path: short (fsconfig takes 255 bytes) and without characters to escape. */
static void descriptor_path(char *buffer, size_t size, const char *prefix, int fd) {
  struct text t = {buffer, size, 0};
  text_add(&t, prefix);
  text_add(&t, "/proc/self/fd/");
  text_number(&t, (uint64_t)fd);
}

/* One directory of an overlay: Linux 6.13 takes the descriptor, earlier ones its path. */
static int set_layer_path(int context, const char *key, int fd) {
  char path[64];
  descriptor_path(path, sizeof path, "", fd);
  return (int)syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, path, 0);
}

static int set_layer(int context, const char *key, int fd) {
  if (syscall(SYS_fsconfig, context, FSCONFIG_SET_FD, key, NULL, fd) == 0) return 0;
  return set_layer_path(context, key, fd);
}

/* Before Linux 6.5 the kernel collects an overlay's options unread, and a wrong one fails at the end only. */
static bool reads_options_late(void) {
  CLOSING int context = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
  return context >= 0 && syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, "rkt", NULL, 0) == 0;
}

/* The last component is the image's `rootfs`: never a link. */
static int open_layer(const char *path) { return open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); }

/* A lower directory; with a user namespace a mount of it of our own, whose files have owners of the pod. It is attached
 * somewhere because kernels before 6.15 take no other for an overlay: this process has mounts of its own. */
static int open_lower(const char *path, int userns, struct report *r) {
  int fd = open_layer(path);
  if (fd < 0) return fail(r, errno, "open layer", path);
  if (userns < 0) return fd;
  CLOSING int layer = fd, root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int mount = tree_copy_mount(layer, 0);
  if (mount >= 0 && tree_map_owners(mount, userns, false) == 0 && tree_move_mount(mount, root) == 0) return mount;
  fail_why(r, errno, "map the owners of files in", path,
           errno == EINVAL || errno == ENOSYS ? "this kernel cannot do that, or not on this file system" : NULL);
  remedy(r, "--no-overlay: the image's files are then copied with their owners changed");
  close_fd(mount);
  return -1;
}

/* The lower directories for a kernel without `lowerdir+`: one string, at most 255 bytes. */
static int set_lowers_as_string(int context, const struct field *lowers, int userns, struct report *r) {
  char value[256];
  struct text t = TEXT(value);
  const char *at = lowers->s;
  for (uint64_t i = 0; i < lowers->n; i++) {
    int fd = open_lower(plan_string(&at), userns, r); /* stays open until the process ends: it is looked up later */
    if (fd < 0) return -1;
    char one[64];
    descriptor_path(one, sizeof one, i == 0 ? "" : ":", fd);
    text_add(&t, one);
  }
  if (t.length + 1 == t.size) return fail_why(r, E2BIG, "mount overlay at", "/", "too many layers for this kernel");
  if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "lowerdir", value, 0) < 0)
    return fail_mount(r, context, "overlay", "/");
  return 0;
}

static int set_lowers(int context, const struct field *lowers, int userns, struct report *r) {
  const char *at = lowers->s;
  for (uint64_t i = 0; i < lowers->n; i++) {
    CLOSING int fd = open_lower(plan_string(&at), userns, r);
    if (fd < 0) return -1;
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_FD, "lowerdir+", NULL, fd) == 0) continue;
    if (i == 0 && reads_options_late()) return set_lowers_as_string(context, lowers, userns, r);
    if (set_layer_path(context, "lowerdir+", fd) < 0) return fail_mount(r, context, "overlay", "/");
  }
  return 0;
}

int tree_overlay(const struct op *op, int userns, struct report *r) {
  CLOSING int context = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
  if (context < 0) {
    fail_mount(r, -1, "overlay", "/");
    if (r->err == ENODEV) remedy(r, "modprobe overlay, or --no-overlay");
    return -1;
  }
  syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", "overlay", 0);
  /* Linux 5.10; an earlier one is slower without it, not wrong. */
  if ((op->f[OVERLAY_FLAGS].n & OVERLAY_IS_VOLATILE) != 0)
    syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, "volatile", NULL, 0);
  const char *upper_path = op->f[OVERLAY_SOURCE_UPPER].s, *work_path = op->f[OVERLAY_SOURCE_WORK].s;
  CLOSING int upper = open_layer(upper_path);
  if (upper < 0) return fail(r, errno, "open", upper_path);
  CLOSING int work = open_layer(work_path);
  if (work < 0) return fail(r, errno, "open", work_path);
  if (set_lowers(context, &op->f[OVERLAY_SOURCE_LOWERS], userns, r) < 0) return -1;
  int mount = -1;
  if (set_layer(context, "upperdir", upper) < 0 || set_layer(context, "workdir", work) < 0 ||
      syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ||
      (mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, (unsigned)op->f[OVERLAY_ATTRIBUTES].n)) < 0) {
    fail_mount(r, context, "overlay", "/");
    if (r->err == EINVAL) remedy(r, "--no-overlay, or a data directory (--dir) on ext4, xfs or btrfs");
  }
  return mount;
}

int tree_root_copy(const struct op *op, struct report *r) {
  const char *path = op->f[BIND_ROOT_SOURCE_PATH].s;
  CLOSING int at = open_layer(path);
  if (at < 0) return fail(r, errno, "open root", path);
  int mount = tree_copy_mount(at, AT_SUBTREE);
  if (mount >= 0 && set_attributes(mount, op->f[BIND_ROOT_ATTRIBUTES].n, 0) == 0) return mount;
  fail_mount(r, -1, "root", path);
  close_fd(mount);
  return -1;
}

/* `mount` becomes the root, at TARGET; it is closed when that fails. */
static int attach_root(struct tree *t, int mount, const char *target, struct report *r) {
  if (mount < 0) return -1;
  CLOSING int at = open_layer(target);
  if (at < 0 || tree_move_mount(mount, at) < 0) {
    fail_mount(r, -1, "root", target);
    close_fd(mount);
    return -1;
  }
  t->root = mount;
  return 0;
}

/* Made by the supervisor, or here. */
static int make_root(struct tree *t, const struct op *op, struct report *r) {
  bool overlay = op->code == OP_OVERLAY;
  const char *target = op->f[overlay ? OVERLAY_SOURCE_TARGET : BIND_ROOT_SOURCE_PATH].s;
  if (t->loans != NULL) {
    int mount = loans_take(t->loans, op->index);
    if (mount < 0) return fail_why(r, EINVAL, "mount root at", target, "nobody made it");
    return attach_root(t, mount, target, r);
  }
  return attach_root(t, overlay ? tree_overlay(op, -1, r) : tree_root_copy(op, r), target, r);
}

/* --- paths in the tree -------------------------------------------------------------------------------------- */

/* The directory that holds PATH, and in *name its last component. Symbolic links are refused. */
static int open_parent(const struct tree *t, const char *path, const char **name) {
  char parent[4096];
  const char *slash = strrchr(path, '/');
  size_t n = slash == NULL ? 0 : (size_t)(slash - path);
  if (n >= sizeof parent) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(parent, path, n);
  parent[n] = 0;
  *name = slash == NULL ? path : slash + 1;
  return sys_openat2(t->root, n == 0 ? "/" : parent, O_PATH | O_DIRECTORY, 0, KERNEL_PATH);
}

#define PATH_SIZE 4096
#define MAX_LINKS 40 /* as many as the kernel follows (path_resolution(7)) */

/* PATH up to NAME, then what the link NAME in PARENT says, then REST: the way that the kernel would go, were the
 * link's target there. */
static int splice_link(int parent, char *path, char *name, const char *rest) {
  char link[PATH_SIZE], joined[PATH_SIZE];
  ssize_t n = readlinkat(parent, name, link, sizeof link - 1);
  if (n <= 0) return -1;
  link[n] = 0;
  struct text t = TEXT(joined);
  *name = 0;
  if (link[0] != '/') text_add(&t, path);
  text_add(&t, link);
  if (rest != NULL) {
    text_add(&t, "/");
    text_add(&t, rest);
  }
  if (t.length + 1 == t.size) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(path, joined, t.length + 1);
  return 0;
}

static int make_entry(int parent, const char *name, bool directory, bool replace) {
  int made = directory ? mkdirat(parent, name, 0755) : mknodat(parent, name, S_IFREG | 0644, 0);
  if (made == 0 || errno != EEXIST || !replace) return made;
  unlinkat(parent, name, 0);
  return mknodat(parent, name, S_IFREG | 0644, 0);
}

/* Makes what is missing of PATH. 1: it leads over a link to something that is missing, and now says what the link
 * says: once more. */
static int make_missing(const struct tree *t, char *path, bool directory, bool replace_dangling) {
  CLOSING int parent = sys_openat2(t->root, "/", O_PATH | O_DIRECTORY, 0, IMAGE_PATH);
  for (char *at = path; parent >= 0;) {
    while (*at == '/') at++;
    if (*at == 0) return 0;
    char *slash = strchr(at, '/');
    const char *rest = slash == NULL ? NULL : slash + 1;
    while (rest != NULL && *rest == '/') rest++;
    if (slash != NULL) *slash = 0;
    bool last = rest == NULL || *rest == 0;
    int next = sys_openat2(t->root, path, O_PATH, 0, IMAGE_PATH);
    if (next < 0 && errno == ENOENT) {
      if (make_entry(parent, at, directory || !last, last && !directory && replace_dangling) < 0) {
        if (errno != EEXIST) return -1;
        return splice_link(parent, path, at, rest) < 0 ? -1 : 1;
      }
      next = sys_openat2(t->root, path, O_PATH, 0, IMAGE_PATH);
    }
    if (next < 0) return -1;
    close_fd(parent);
    parent = next;
    if (slash == NULL) return 0;
    *slash = '/';
    at = slash;
  }
  return -1;
}

/* A target for a mount, made when missing with its parents (0755, root). Links of the image are followed, below
 * its root. `directory`: the kind that is made and wanted. Returns an O_PATH descriptor. */
static int open_target(const struct tree *t, const char *path, bool directory, bool replace_dangling) {
  uint64_t kind = O_PATH | (directory ? O_DIRECTORY : 0u);
  int fd = sys_openat2(t->root, path, kind, 0, IMAGE_PATH);
  if (fd >= 0 || errno != ENOENT) return fd;
  char way[PATH_SIZE];
  if (strlen(path) >= sizeof way) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(way, path);
  int again = 1;
  for (int links = 0; again == 1; links++) {
    if (links > MAX_LINKS) {
      errno = ELOOP;
      return -1;
    }
    again = make_missing(t, way, directory, replace_dangling);
  }
  return again < 0 ? -1 : sys_openat2(t->root, way, kind, 0, IMAGE_PATH);
}

/* A plan's directories are fixed ones such as /proc: a symbolic link of the image in their place stays, and the
 * mount that follows refuses it. */
static int make_directory(const struct tree *t, const struct op *op, struct report *r) {
  const char *name, *path = op->f[MAKE_DIRECTORY_PATH].s;
  CLOSING int parent = open_parent(t, path, &name);
  if (parent < 0 || (mkdirat(parent, name, (mode_t)op->f[MAKE_DIRECTORY_MODE].n) < 0 && errno != EEXIST))
    return fail(r, errno, "make directory", path);
  return 0;
}

static int make_symlink(const struct tree *t, const struct op *op, struct report *r) {
  const char *name, *path = op->f[SYMLINK_PATH].s;
  CLOSING int parent = open_parent(t, path, &name);
  if (parent < 0) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return 0;
    return fail(r, errno, "make symbolic link", path);
  }
  if (symlinkat(op->f[SYMLINK_CONTENT].s, parent, name) < 0 && errno != EEXIST)
    return fail(r, errno, "make symbolic link", path);
  return 0;
}

/* --- devices ------------------------------------------------------------------------------------------------ */

/* Every mount of a pod is nodev, and each device is a mount of its own without it: an app that keeps CAP_MKNOD can
 * make a node and not open it. The node is new (a bind of the host's would share its owner and mode), unless the
 * kernel forbids mknod, as in a user namespace. */
static int make_node(struct tree *t, const struct op *op, struct report *r) {
  const char *name, *path = op->f[NODE_PATH].s;
  unsigned major = (unsigned)op->f[NODE_MAJOR].n, minor = (unsigned)op->f[NODE_MINOR].n;
  CLOSING int parent = open_parent(t, path, &name);
  if (parent < 0) return fail(r, errno, "make device", path);
  int mount;
  if (mknodat(parent, name, S_IFCHR | (mode_t)op->f[NODE_MODE].n, makedev(major, minor)) == 0) {
    mount = open_tree(parent, name, OPEN_TREE_CLONE);
  } else {
    if (errno != EPERM) return fail(r, errno, "make device", path);
    mount = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE);
    if (mount < 0 && errno == ENOENT) return 0; /* the host has none to lend */
    if (mount >= 0 && mknodat(parent, name, S_IFREG | 0644, 0) < 0) {
      close_fd(mount);
      mount = -1;
    }
  }
  if (mount < 0) return fail(r, errno, "make device", path);
  CLOSING int target = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (target < 0 || set_attributes(mount, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0) < 0 ||
      tree_move_mount(mount, target) < 0) {
    fail(r, errno, "make device", path);
    close_fd(mount);
    return -1;
  }
  if (major == 1 && minor == 3 && t->null < 0) {
    t->null = mount;
    t->dev = fcntl(parent, F_DUPFD_CLOEXEC, 3);
  } else {
    close_fd(mount);
  }
  return 0;
}

static int bind_terminal(const struct tree *t, unsigned number, struct report *r) {
  char path[32];
  struct text text = TEXT(path);
  text_add(&text, "/dev/pts/");
  text_number(&text, number);
  CLOSING int source = sys_openat2(t->root, path, O_PATH, 0, KERNEL_PATH);
  CLOSING int target = open_target(t, "/dev/console", false, false);
  CLOSING int mount = source < 0 ? -1 : tree_copy_mount(source, 0);
  if (target < 0 || mount < 0 || tree_move_mount(mount, target) < 0) return fail(r, errno, "bind terminal at", "/dev/console");
  return 0;
}

/* From the app's own devpts, so that its name inside is right (devpts(5): newinstance). */
static int make_terminal(struct tree *t, int *master, struct report *r) {
  int fd = sys_openat2(t->root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, 0, KERNEL_PATH);
  int unlock = 0;
  unsigned number = 0;
  if (fd < 0 || ioctl(fd, TIOCSPTLCK, &unlock) < 0 || ioctl(fd, (int)TIOCGPTN, &number) < 0) {
    close_fd(fd);
    return fail(r, errno, "open terminal at", "/dev/pts/ptmx");
  }
  t->slave = ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (t->slave < 0 || bind_terminal(t, number, r) < 0) {
    if (t->slave < 0) fail(r, errno, "open terminal at", "/dev/pts/ptmx");
    close_fd(fd);
    return -1;
  }
  /* Here and not only when the supervisor has the other end: the app must never see a terminal without size. */
  struct winsize size;
  if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) ioctl(fd, TIOCSWINSZ, &size);
  *master = fd;
  return 0;
}

/* --- binds, masks ------------------------------------------------------------------------------------------- */

static int fail_bind(struct report *r, const char *source, const char *target) {
  int err = errno;
  char action[512];
  struct text t = TEXT(action);
  text_add(&t, "mount ");
  text_quote(&t, source);
  text_add(&t, " at");
  const char *why = mount_reason(err);
  if (err == ENOTDIR) why = "one is a directory and the other is not";
  return fail_why(r, err, action, target, why);
}

int tree_bind_copy(const struct op *op, int base, struct report *r) {
  const char *source = op->f[BIND_SOURCE].s, *target = op->f[BIND_TARGET].s;
  uint64_t flags = op->f[BIND_FLAGS].n;
  unsigned recursive = (flags & BIND_IS_RECURSIVE) != 0 ? AT_SUBTREE : 0;
  CLOSING int from = (flags & BIND_IS_SOURCE_IN_ROOT) != 0 ? sys_openat2(base, source, O_PATH, 0, KERNEL_PATH)
                                                           : open(source, O_PATH | O_CLOEXEC);
  if (from < 0) {
    fail_why(r, errno, "open", source, NULL);
    if (errno == ENOENT && (flags & BIND_IS_OPTIONAL_SOURCE) != 0) r->err = 0;
    return -1;
  }
  int mount = tree_copy_mount(from, recursive);
  if (mount >= 0 && set_attributes(mount, op->f[BIND_ATTRIBUTES].n, recursive) == 0) return mount;
  fail_bind(r, source, target);
  close_fd(mount);
  return -1;
}

static int make_bind(const struct tree *t, const struct op *op, struct report *r) {
  const char *source = op->f[BIND_SOURCE].s, *target = op->f[BIND_TARGET].s;
  uint64_t flags = op->f[BIND_FLAGS].n;
  if ((flags & BIND_IS_IF_TARGET_MISSING) != 0) {
    CLOSING int present = sys_openat2(t->root, target, O_PATH, 0, IMAGE_PATH);
    if (present >= 0) return 0;
  }
  bool lent = t->loans != NULL && (flags & BIND_IS_LENT) != 0;
  r->err = 0;
  CLOSING int mount = lent ? loans_take(t->loans, op->index) : tree_bind_copy(op, t->root, r);
  if (mount < 0) return r->err == 0 ? 0 : -1; /* an optional source that is not there */
  struct stat st;
  if (fstat(mount, &st) < 0) return fail_bind(r, source, target);
  CLOSING int at = open_target(t, target, S_ISDIR(st.st_mode), (flags & BIND_IS_REPLACE_DANGLING) != 0);
  /* Not the mount: the file or directory to mount at found no room. */
  if (at < 0 && (errno == ENOSPC || errno == EDQUOT)) return fail(r, errno, "make mount point", target);
  if (at < 0 || tree_move_mount(mount, at) < 0) return fail_bind(r, source, target);
  return 0;
}

static int fail_attach(struct report *r, const struct op *op, const char *why) {
  int err = errno;
  char action[512];
  struct text t = TEXT(action);
  text_add(&t, "mount volume ");
  text_quote(&t, op->f[ATTACH_NAME].s);
  text_add(&t, " at");
  return fail_why(r, err, action, op->f[ATTACH_TARGET].s, why);
}

/* Why nothing is mounted here, however the image's links led to it; NULL: it may be. */
static const char *forbidden(const struct tree *t, int target, bool directory, const struct op *op) {
  struct stat root, st;
  struct statfs fs;
  if (fstat(t->root, &root) < 0 || fstat(target, &st) < 0 || fstatfs(target, &fs) < 0) return strerror(errno);
  if (S_ISDIR(st.st_mode) != directory) return "one is a directory and the other is not";
  /* The app would stay in the root below it. */
  if (st.st_dev == root.st_dev && st.st_ino == root.st_ino) return "it leads to the app's root";
  /* What we and the app's own runtime write to the kernel must reach it (CVE-2019-16884, CVE-2025-52881). */
  if (fs.f_type == PROC_SUPER_MAGIC && (op->f[ATTACH_FLAGS].n & ATTACH_IS_ON_PROC) == 0) return "it lies in /proc";
  return NULL;
}

static int attach(const struct tree *t, const struct op *op, struct report *r) {
  const char *target = op->f[ATTACH_TARGET].s;
  CLOSING int mount = volume_take(t->volumes, op->f[ATTACH_SLOT].n);
  struct stat st;
  if (mount < 0 || fstat(mount, &st) < 0)
    return fail_why(r, EINVAL, "mount a volume at", target, "an operation is in the wrong place");
  bool directory = S_ISDIR(st.st_mode);
  CLOSING int at = open_target(t, target, directory, false);
  if (at < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EROFS)) return fail(r, errno, "make mount point", target);
  if (at < 0) return fail_attach(r, op, errno == ENOTDIR ? "one is a directory and the other is not" : mount_reason(errno));
  errno = EPERM;
  const char *why = forbidden(t, at, directory, op);
  if (why != NULL) return fail_attach(r, op, why);
  return tree_move_mount(mount, at) < 0 ? fail_attach(r, op, mount_reason(errno)) : 0;
}

static int add_attributes(const struct tree *t, const struct op *op, struct report *r) {
  const char *path = op->f[ATTRIBUTES_PATH].s;
  CLOSING int at = sys_openat2(t->root, path, O_PATH, 0, KERNEL_PATH);
  if (at < 0 || set_attributes(at, op->f[ATTRIBUTES_ATTRIBUTES].n, 0) < 0)
    return fail(r, errno, "restrict the mount at", path);
  return 0;
}

/* An empty directory in /dev (a tmpfs of ours). It is unlinked before the app starts; mounts of it live on, and
 * nothing can be made in a directory that is unlinked. */
static int empty_directory(struct tree *t) {
  if (t->empty >= 0) return 0;
  if (t->dev < 0 || mkdirat(t->dev, ".masked", 0) < 0) return -1;
  t->empty = openat(t->dev, ".masked", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return t->empty < 0 ? -1 : 0;
}

static int mask(struct tree *t, const struct op *op, struct report *r) {
  const char *path = op->f[MASK_PATH].s;
  CLOSING int at = sys_openat2(t->root, path, O_PATH, 0, KERNEL_PATH);
  if (at < 0) return errno == ENOENT ? 0 : fail(r, errno, "mask", path);
  struct stat st;
  if (fstat(at, &st) < 0) return fail(r, errno, "mask", path);
  if (S_ISDIR(st.st_mode) && empty_directory(t) < 0) return fail(r, errno, "mask", path);
  CLOSING int mount = tree_copy_mount(S_ISDIR(st.st_mode) ? t->empty : t->null, 0);
  if (mount < 0 ||
      set_attributes(mount, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0) < 0 ||
      tree_move_mount(mount, at) < 0)
    return fail(r, errno, "mask", path);
  return 0;
}

static int protect(const struct tree *t, const struct op *op, struct report *r) {
  const char *path = op->f[PROTECT_PATH].s;
  CLOSING int at = sys_openat2(t->root, path, O_PATH, 0, KERNEL_PATH);
  if (at < 0) return errno == ENOENT ? 0 : fail(r, errno, "protect", path);
  CLOSING int mount = tree_copy_mount(at, AT_SUBTREE);
  if (mount < 0 ||
      set_attributes(mount, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, AT_SUBTREE) < 0 ||
      tree_move_mount(mount, at) < 0)
    return fail(r, errno, "protect", path);
  return 0;
}

int tree_apply(struct tree *t, const struct op *op, int *master, struct report *r) {
  switch (op->code) {
    case OP_OVERLAY:
    case OP_BIND_ROOT:
      return make_root(t, op, r);
    case OP_MAKE_DIRECTORY:
      return make_directory(t, op, r);
    case OP_SYMLINK:
      return make_symlink(t, op, r);
    case OP_MOUNT:
      return mount_new(t->root, op, r);
    case OP_NODE:
      return make_node(t, op, r);
    case OP_BIND:
      return make_bind(t, op, r);
    case OP_ATTACH:
      return attach(t, op, r);
    case OP_ATTRIBUTES:
      return add_attributes(t, op, r);
    case OP_MASK:
      return mask(t, op, r);
    case OP_PROTECT:
      return protect(t, op, r);
    case OP_TERMINAL:
      return make_terminal(t, master, r);
    case OP_PIVOT:
      return tree_pivot(t, r);
    default:
      return fail_why(r, EINVAL, "build the root", NULL, "an operation is in the wrong place");
  }
}

/* pivot_root(2) with both arguments ".": the old root ends up on top of the new one and is detached. No directory
 * for the old root is needed in the image. */
int pivot_into(int fd, const char *path, struct report *r) {
  if (fchdir(fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || syscall(SYS_umount2, ".", DETACH) < 0 ||
      chdir("/") < 0)
    return fail(r, errno, "change the root to", path);
  return 0;
}

int tree_pivot(struct tree *t, struct report *r) {
  if (t->empty >= 0 && unlinkat(t->dev, ".masked", AT_REMOVEDIR) < 0) return fail(r, errno, "remove", "/dev/.masked");
  if (pivot_into(t->root, "/", r) < 0) return -1;
  close_fd(t->root);
  close_fd(t->null);
  close_fd(t->empty);
  t->root = t->null = t->empty = -1;
  return 0;
}
