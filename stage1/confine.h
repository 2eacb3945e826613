/* SPDX-License-Identifier: Apache-2.0
 * The seccomp filters of our own processes, once they only watch: a list of what each still calls. Anything else kills
 * the process, and with it the pod. The apps' filters are another thing: they come with the plan. */
#ifndef RKT_CONFINE_H
#define RKT_CONFINE_H

#include "report.h"

/* The process that was `rkt run` or `rkt enter`: relays, logs, statuses, the end. Needs no_new_privs. */
int confine_supervisor(struct report *r);

/* PID 1 of the pod: reaps and passes signals on. Needs no_new_privs. */
int confine_pod(struct report *r);

/* rkt at work on hostile data (see work.h): no sockets, no processes, no mounts. Such calls fail, they do not kill: the
 * runtime tries some. Needs no_new_privs. */
int confine_worker(struct report *r);

#endif
