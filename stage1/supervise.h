/* SPDX-License-Identifier: Apache-2.0
 * The supervisor: the process that was `rkt run`. */
#ifndef RKT_SUPERVISE_H
#define RKT_SUPERVISE_H

#include "plan.h"

/* Runs the pod of `plan` to its end and returns rkt's exit status. The working directory is the pod's. `lock` stays
 * open as long as the pod lives. `users`: the user namespace that the pod is to be in, or -1: a new one, if any.
 * `sockets`: how many there are for apps, from FIRST_SOCKET on. */
int supervise(const struct plan *plan, int lock, int users, unsigned sockets);

/* One sentence with its remedy on stderr: `COMMAND: TEXT`. */
struct report;
void print_report(const char *command, const char *app, const struct report *r);

/* Blocks the signals that the event loops take through a signalfd, which is returned. SIGPIPE is ignored. */
int take_signals(void);

#endif
