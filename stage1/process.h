/* SPDX-License-Identifier: Apache-2.0
 * What a process is allowed: identity, capabilities, signals, descriptors; and becoming the program. */
#ifndef RKT_PROCESS_H
#define RKT_PROCESS_H

#include "plan.h"
#include "report.h"

/* The rest of an app's operations, gathered until the program is executed. */
struct process {
  struct field environment;
  uint64_t bounding;
  bool no_new_privileges;
  uint32_t uid, gid;
  struct field groups;
  struct field filter; /* struct sock_filter[]; n 0: none */
  bool filter_early;   /* FILTER_IS_EARLY */
  bool limited;        /* process_limit was called */
  struct op label; /* for execve; code 0: none */
  bool listens;    /* LISTEN_PID in the environment becomes the calling process's */
};

/* Leaves at most `kept` of the calling process's capabilities (bits by number), of them `used` effective. */
int limit_capabilities(uint64_t kept, uint64_t used);

/* No program that is executed gets any but these. */
int limit_bounding(uint64_t kept);

/* rkt runs on Bun, which raises the soft limit of open files at its start. Notes what the caller had, for the
 * programs to get it back. */
void remember_file_limit(void);

/* For a program that goes beside process `pid` (host's number): that process's limits (getrlimit(2)) and readiness to be
 * killed for want of memory, where this one may have as much, and else its own. */
int process_take_limits(uint32_t pid, struct report *r);

/* Writes `pid` ("0": the calling process) into the cgroup `directory`. */
int write_member(const char *directory, const char *pid, struct report *r);

/* Writes `value` to a file of /proc, and to nothing that an app put in its place. */
int write_proc(const char *path, const char *value, const char *action, struct report *r);

/* Default dispositions, empty mask: Bun, and many a shell, leave SIGPIPE ignored, and exec keeps that. */
void reset_signals(void);

/* Takes the operation's fields, whatever an earlier one said. */
void process_set_filter(struct process *p, const struct op *op);

/* The first half of process_restrict, for a process that goes on working beside programs of the pod: from here on it
 * holds no capability that the programs may not have, other than those that the second half and a signal need. */
int process_limit(struct process *p, struct report *r);

/* A session keyring of its own (keyrings(7)): the one of whoever typed the command stays out of the pod. */
int process_leave_keyring(struct report *r);

/* Takes on identity and limits. Afterwards only exec is left. `as_root`: run as 0:0 without groups instead. */
int process_restrict(struct process *p, bool as_root, struct report *r);

/* A filter that is not early, then execve. Returns only with `r` filled: the sentence says which interpreter is missing and the like. */
int process_execute(const struct process *p, const char *path, const struct field *argv, struct report *r);

#endif
