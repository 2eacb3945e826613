/* SPDX-License-Identifier: Apache-2.0
 * An app's file system tree: the operations of the plan that build it. The tree is hostile: every path in it is
 * resolved below its root by openat2(2), every mount is made by descriptor. */
#ifndef RKT_TREE_H
#define RKT_TREE_H

#include "plan.h"
#include "report.h"

struct tree {
  int root;   /* the mounted root */
  int null;   /* a mount of /dev/null, what masked files become */
  int empty;  /* an empty directory, what masked directories become */
  int slave;  /* the app's side of its terminal */
};

#define TREE_NONE ((struct tree){-1, -1, -1, -1})

/* One operation between `app` and `pivot`. `master` receives the terminal's other side. All return 0, or -1 with `r`
 * filled. */
int tree_apply(struct tree *t, const struct op *op, int *master, struct report *r);

/* Becomes the root of the calling process's mount namespace; the host's mounts go. Closes t's descriptors except
 * the terminal. */
int tree_pivot(struct tree *t, struct report *r);

/* A new file system attached at `target`, below `base` (AT_FDCWD: a path of the host). */
int mount_new(int base, const struct op *op, struct report *r);

/* pivot_root into the directory `fd`, then drop everything that was above. */
int pivot_into(int fd, const char *path, struct report *r);

#endif
