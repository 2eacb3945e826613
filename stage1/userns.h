/* SPDX-License-Identifier: Apache-2.0
 * A pod in a user namespace. Its processes have no power over the host's files and mounts, so the supervisor makes
 * what is of the host before they exist, each mount attached nowhere yet, and they inherit the descriptors. */
#ifndef RKT_USERNS_H
#define RKT_USERNS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "plan.h"
#include "report.h"

/* A mount that stands for what an operation of the plan would make. */
struct loan {
  uint32_t op;
  int mount; /* -1: taken */
};

struct loans {
  struct loan *list; /* memory for as many as the plan has operations that need one */
  size_t count;
};

/* How many of them a plan needs at most. */
size_t loans_needed(const struct plan *plan);
/* Makes them all: in a process that has mounts of its own and ends afterwards. */
int loans_make(struct loans *l, const struct plan *plan, int userns, struct report *r);
/* The mount for the operation with this index, the caller's to close; -1: there is none. */
int loans_take(struct loans *l, uint32_t op);
void loans_close(struct loans *l);

/* A namespace with the pod's map, for idmapped mounts, as a descriptor: only the map counts there, and the pod's own
 * does not exist yet. */
int userns_twin(const struct op *op, struct report *r);
/* The map of a process that was cloned with CLONE_NEWUSER. */
int userns_map(pid_t pid, const struct op *op, struct report *r);
/* Inside, once the map is written: uid and gid 0 of the namespace. */
int userns_become_root(struct report *r);
/* PID 1 as sys_clone makes it, in a user namespace that is there already and mapped (a descriptor). */
pid_t userns_clone(int users, uint64_t flags, int cgroup);
/* A program of its own: new user and network namespaces, a byte on stdout when they are there, the end with stdin. rkt
 * maps the one and configures the other, which belongs to it: only so has the pod's root power over its network. */
int userns_hold(void);
/* Why a clone with CLONE_NEWUSER failed. */
void userns_remedy(struct report *r);

#endif
