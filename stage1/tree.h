/* SPDX-License-Identifier: Apache-2.0
 * An app's file system tree: the operations of the plan that build it. The tree is hostile: every path in it is
 * resolved below its root by openat2(2), every mount is made by descriptor. */
#ifndef RKT_TREE_H
#define RKT_TREE_H

#include "plan.h"
#include "report.h"
#include "userns.h"
#include "volume.h"

#define AT_SUBTREE 0x8000u /* AT_RECURSIVE, which libc lacks */

struct tree {
  int root;   /* the mounted root */
  int null;   /* a mount of /dev/null, what masked files become */
  int empty;  /* an empty directory, what masked directories become */
  int slave;  /* the app's side of its terminal */
  int dev;    /* the app's /dev, whatever covers it later */
  struct volumes *volumes;
  struct loans *loans; /* with a user namespace: mounts that the supervisor made; else NULL */
};

#define TREE_NONE ((struct tree){-1, -1, -1, -1, -1, NULL, NULL})

/* One operation between `app` and `pivot`. `master` receives the terminal's other side. All return 0, or -1 with `r`
 * filled. */
int tree_apply(struct tree *t, const struct op *op, int *master, struct report *r);

/* Becomes the root of the calling process's mount namespace; the host's mounts go. Closes t's descriptors except
 * the terminal and /dev. */
int tree_pivot(struct tree *t, struct report *r);

/* The mount, which is nowhere yet, appears where `target` is. */
int tree_move_mount(int mount, int target);
/* A mount of what `fd` is, nowhere yet; AT_SUBTREE: with the mounts below it. */
int tree_copy_mount(int fd, unsigned recursive);
/* MOUNT_ATTR_* are added; `propagation` is one of MS_SLAVE, MS_PRIVATE, or 0: as it is. */
int tree_set_attributes(int mount, uint64_t attributes, uint64_t propagation, unsigned recursive);
/* Mounts that are attached nowhere yet, as descriptors, or -1 with `r` filled. `userns`: the user namespace whose ids
 * the files get, or -1. The root of `overlay` and of `bindRoot`; what `bind` binds (`base`: the app's root), where
 * r->err 0 says that the source is not there and need not be. */
int tree_overlay(const struct op *op, int userns, struct report *r);
int tree_root_copy(const struct op *op, struct report *r);
int tree_bind_copy(const struct op *op, int base, struct report *r);
/* The owners of files in a mount that is attached nowhere are seen through the user namespace's map: uid 0 on the disk
 * is its uid 0. EINVAL: the file system cannot do that. */
int tree_map_owners(int mount, int userns, bool recursive);

/* `scratch`: the working directory becomes a new tmpfs. */
int tree_scratch(const struct op *op, struct report *r);

/* A new file system attached at `target`, below `base` (AT_FDCWD: a path of the host). */
int mount_new(int base, const struct op *op, struct report *r);

/* pivot_root into the directory `fd`, then drop everything that was above. */
int pivot_into(int fd, const char *path, struct report *r);

#endif
