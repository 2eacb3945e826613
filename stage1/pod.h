/* SPDX-License-Identifier: Apache-2.0
 * Inside the pod: PID 1, and the way of each app from its first operation to execve. */
#ifndef RKT_POD_H
#define RKT_POD_H

#include "plan.h"
#include "report.h"
#include "userns.h"
#include "volume.h"

/* Where the sockets are that rkt was given for apps (sd_listen_fds(3)). */
#define FIRST_SOCKET 5
#define MAX_SOCKETS 64

/* One app's descriptors on the pod's side; the supervisor made them before the clone. */
struct app_ends {
  int channel; /* messages; close-on-exec, so its end tells that the program runs */
  int out, err; /* write ends of the pipes, -1 with a terminal */
  pid_t pid;    /* PID 1's view */
  int stop;     /* what asks that process to end */
};

struct pod {
  const struct plan *plan;
  struct cursor start; /* behind `pod` */
  uint32_t flags;      /* OPTION_IS_* */
  int control;
  int gate[2]; /* pipe: a byte for each app, once PID 1 has given up its power */
  struct app_ends *apps;
  unsigned sockets; /* from FIRST_SOCKET on */
  struct volumes *volumes;
  struct loans *loans; /* NULL: no user namespace */
  size_t count;
};

/* PID 1's life. Never returns. */
_Noreturn void pod_main(struct pod *pod);

/* Standard descriptors, session, umask: what every program of ours starts with. `slave`: the terminal or -1. */
int take_stdio(int in, int out, int err, int slave, struct report *r);

#endif
