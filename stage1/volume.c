/* SPDX-License-Identifier: Apache-2.0
 * See volume.h. */
#include "volume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tree.h"
#include "util.h"

static int fail_volume(const struct volumes *v, const char *what, const char *why, struct report *r) {
  int err = errno;
  char action[512];
  struct text t = TEXT(action);
  text_add(&t, what);
  text_add(&t, " volume ");
  text_quote(&t, v->name);
  text_add(&t, " from");
  fail_why(r, err, action, v->path, why);
  if (err == EMFILE) remedy(r, "a higher limit of open files (ulimit -n): each mount of a volume takes one");
  return -1;
}

/* A device is lent only as the one that was looked at when the plan was made. */
static bool is_that_device(int fd, const struct op *op) {
  struct stat st;
  mode_t type = (op->f[VOLUME_FLAGS].n & VOLUME_IS_BLOCK) != 0 ? S_IFBLK : S_IFCHR;
  return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type &&
         st.st_rdev == makedev((unsigned)op->f[VOLUME_MAJOR].n, (unsigned)op->f[VOLUME_MINOR].n);
}

int volume_open(struct volumes *v, const struct op *op, struct report *r) {
  close_fd(v->source);
  v->name = op->f[VOLUME_NAME].s;
  v->path = op->f[VOLUME_SOURCE].s;
  /* What lies in the pod directory is ours and has no links. Elsewhere they are the host's business, but for those
   * that lead into a process (proc(5)): what they mean is for that process to say. */
  v->source = sys_openat2(AT_FDCWD, v->path, O_PATH, 0,
                          v->path[0] == '/' ? RESOLVE_NO_MAGICLINKS : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (v->source < 0)
    return fail_volume(v, "open", errno == ELOOP ? "a symbolic link leads in circles, or into a process" : NULL, r);
  if ((op->f[VOLUME_FLAGS].n & VOLUME_IS_DEVICE) == 0 || is_that_device(v->source, op)) return 0;
  errno = ENODEV;
  return fail_volume(v, "open", "it is not the device any more that it was a moment ago", r);
}

/* Slave: what the host mounts below the source later is seen by the apps, and nothing of theirs by the host. It comes as
 * the host mounted it, so that a read-only volume gets none of it. */
int volume_copy(struct volumes *v, const struct op *op, struct report *r) {
  unsigned recursive = (op->f[COPY_VOLUME_FLAGS].n & COPY_VOLUME_IS_RECURSIVE) != 0 ? AT_SUBTREE : 0;
  if (v->source < 0 || v->count == v->maximum)
    return fail_why(r, EINVAL, "copy a volume", NULL, "an operation is in the wrong place");
  uint64_t attributes = op->f[COPY_VOLUME_ATTRIBUTES].n;
  uint64_t propagation = (attributes & MOUNT_ATTR_RDONLY) != 0 ? MS_PRIVATE : MS_SLAVE;
  int mount = tree_copy_mount(v->source, recursive);
  if (mount < 0 || tree_set_attributes(mount, attributes, propagation, recursive) < 0) {
    fail_volume(v, "mount", NULL, r);
    close_fd(mount);
    return -1;
  }
  bool mapped = (op->f[COPY_VOLUME_FLAGS].n & COPY_VOLUME_IS_MAP_OWNERS) != 0 && v->users >= 0;
  if (mapped && tree_map_owners(mount, v->users, recursive != 0) < 0)
    say(v->command, ": warning: cannot map the owners of files in volume \"", v->name,
        "\": in the pod they are nobody's, and can be used as others may", NULL);
  v->copies[v->count++] = mount;
  return 0;
}

int volumes_part(struct volumes *v, struct report *r) {
  for (size_t i = 0; i < v->count; i++)
    if (tree_set_attributes(v->copies[i], 0, MS_PRIVATE, AT_SUBTREE) < 0) return fail(r, errno, "make volumes private", NULL);
  return 0;
}

int volume_take(struct volumes *v, uint64_t slot) {
  if (slot >= v->count) return -1;
  int mount = v->copies[slot];
  v->copies[slot] = -1;
  return mount;
}

void volumes_close(struct volumes *v) {
  close_fd(v->source);
  for (size_t i = 0; i < v->count; i++) close_fd(v->copies[i]);
  v->source = -1;
  v->count = 0;
}
